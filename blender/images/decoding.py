"""Open a picture for looking at it: only the formats that a survey lets pass, and never larger than it allowed."""

import warnings
from io import BytesIO

from PIL import Image

#: Pillow's names of the formats that are read; a multi-picture JPEG is a JPEG
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


def open_image(content: bytes) -> Image.Image:
    """Open an image without decoding it yet.

    Args:
        content: The file's bytes.

    Raises:
        OSError: It is no image of a known format, or its header is damaged.
    """
    with warnings.catch_warnings():
        # the size of an image in a shard was checked against the recipe's limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(BytesIO(content), formats=FORMATS)
        except (Image.DecompressionBombError, ValueError, SyntaxError) as error:
            raise OSError(str(error)) from error
