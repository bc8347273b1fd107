"""The only way to open an image with Pillow, in the whole program.

The format must be one of a list, and size and structure are read by our own code in linear time. What would cost a
decoder more time or memory than the image can be worth is refused before Pillow sees a byte of it.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image
from PIL.ImageFile import ImageFile

from blender.data.images.damage import DamagedImage
from blender.data.images.files import MemoryFile
from blender.data.images.formats import MARK_BYTES, NAMES, Format, foreign_kind, format_of

#: pixels of a picture: as many as Pillow itself opens
MAX_PIXELS = 178_956_970
#: what Pillow raises for damaged files, besides OSError
DAMAGE = (SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error, zlib.error)


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Open an image without decoding it yet.

    Args:
        content: The file's bytes.
        max_pixels: Width times height that it may claim.

    Raises:
        DamagedImage: It is no image of a known format, is too large, or its header is damaged; an OSError.
    """
    kind = require_format(content[:MARK_BYTES])
    require_pixels(kind.read_size(MemoryFile(content)), max_pixels)
    vetted = kind.vet(content)
    with explaining_damage():
        image = kind.reader(BytesIO(vetted), "")
    require_pixels(image.size, max_pixels)
    return image


def measure_image(content: bytes) -> tuple[int, int]:
    """Read width and height of an image from its header, and refuse what :func:`open_image` will; Pillow is not asked.

    Raises:
        DamagedImage: It is no image of a known format, or its header is damaged; an OSError.
    """
    kind = require_format(content[:MARK_BYTES])
    size = kind.read_size(MemoryFile(content))
    require_pixels(size, None)
    kind.vet(content)
    return size


def decode_whole(content: bytes, max_pixels: int) -> None:
    """Decode a picture (the first, where a file has several) to see whether that works.

    Raises:
        DamagedImage: It does not.
    """
    with explaining_damage(), open_image(content, max_pixels) as image:
        image.load()


def require_format(head: bytes) -> Format:
    """Return the format that a file's first bytes tell.

    Raises:
        DamagedImage: It is none that is read.
    """
    kind = format_of(head)
    if kind is not None:
        return kind
    foreign = foreign_kind(head)
    if foreign:
        raise DamagedImage("unsupported_format", f"it is {foreign}, which is not read")
    raise DamagedImage("not_an_image", f"it begins with {ascii(head[:MARK_BYTES])[1:]}, which is no {NAMES} file")


def require_pixels(size: tuple[int, int], max_pixels: int | None) -> None:
    """Refuse a size that is none, or too large.

    Raises:
        DamagedImage: It is.
    """
    width, height = size
    if width < 1 or height < 1:
        raise DamagedImage("unreadable", f"it claims a size of {width} x {height} pixels")
    if max_pixels is not None and width * height > max_pixels:
        raise DamagedImage(
            "too_many_pixels", f"it claims {width} x {height} pixels, more than the {max_pixels:,} allowed"
        )


@contextmanager
def explaining_damage() -> Iterator[None]:
    """Turn whatever Pillow raises for a damaged file into one error; it may warn of what leaves a usable picture.

    Raises:
        DamagedImage: Pillow raised something.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except DamagedImage:
        raise
    except (Image.DecompressionBombError, OSError, *DAMAGE) as error:
        words = str(error) or type(error).__name__
        early = any(sign in words.lower() for sign in ("truncated", "not enough image data", "eof"))
        reason = "truncated" if early else "damaged"
        raise DamagedImage(reason, f"it cannot be decoded: {words}") from error
