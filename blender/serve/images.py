"""Decode the images of a conversation as the vision encoder takes them, and tell equal images by their bytes."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from blender.core.errors import SessionError
from blender.data.images.decoding import measure_image
from blender.encoding.image_processor import PixelSpec
from blender.stream.pixels import decode_image

#: pixels that an image may have
MAX_PIXELS = 100_000_000
#: bytes of a digest; wide enough that no stranger finds two images with the same one
DIGEST_BYTES = 16


@dataclass(frozen=True)
class InputImage:
    """A decoded image and the digest of its file. ``C`` channels, ``H`` height, ``W`` width."""

    #: (C, H, W) uint8
    pixels: NDArray[np.uint8]
    digest: bytes


def decode_input_image(content: bytes, name: str, spec: PixelSpec) -> InputImage:
    """Decode an image to the size that the vision encoder takes.

    Args:
        content: The bytes of the file.
        name: How error messages call the image.
        spec: Size and cropping of the model's image processor.

    Raises:
        SessionError: The file is damaged or no image, or the image has too many pixels.
    """
    try:
        width, height = measure_image(content)
        if width * height > MAX_PIXELS:
            message = f"{name} has {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} allowed"
            raise SessionError(message, "make it smaller")
        pixels = decode_image(content, spec)
    except OSError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "use a JPEG, PNG, WebP, GIF, BMP or TIFF file"
        raise SessionError(f"{name} cannot be read: {reason}", hint) from error
    return InputImage(pixels.copy(), blake2b(content, digest_size=DIGEST_BYTES).digest())
