"""Small pictures of images, as WebP: sharp enough to see what a sample is about, small enough for one file with many.

A JPEG is decoded at reduced size from the start, which takes a quarter of the time. Pictures are upright.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from msgspec import Struct
from PIL import Image, ImageOps

from blender.data.images.decoding import explaining_damage, open_image

#: of the encoder: three times as fast as its default, for a tenth more bytes
_METHOD = 1


@dataclass(frozen=True)
class Size:
    """How large pictures are made."""

    #: pixels of the longer side, at most
    side: int
    #: of the WebP, from 0 to 100
    quality: int


#: from the best down; what is not half of a usual size takes three times as long to make
SIZES = (Size(512, 70), Size(320, 62), Size(256, 55), Size(208, 50), Size(160, 45))


class Thumbnail(Struct, frozen=True):
    """A picture, or why there is none."""

    #: WebP
    content: bytes
    fault: str | None = None


def make_thumbnail(content: bytes, size: Size) -> Thumbnail:
    """Make a small picture of an image; one that cannot be decoded gives a fault, not an error."""
    try:
        with explaining_damage(), open_image(content) as opened:
            shrink = max(1.0, max(opened.size) / size.side)
            opened.draft("RGB", (int(opened.width / shrink), int(opened.height / shrink)))
            picture = ImageOps.exif_transpose(opened)
            picture = picture if picture.mode in ("RGB", "RGBA") else _in_colour(picture)
            picture.thumbnail((size.side, size.side), Image.Resampling.BICUBIC)
            buffer = BytesIO()
            picture.save(buffer, "WEBP", quality=size.quality, method=_METHOD)
    except OSError as error:
        return Thumbnail(b"", f"cannot be decoded: {error}")
    return Thumbnail(buffer.getvalue())


def _in_colour(picture: Image.Image) -> Image.Image:
    transparent = picture.mode in ("LA", "PA", "La") or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def choose_size(pilot: Sequence[bytes], num_images: int, max_bytes: int) -> Size:
    """Choose the largest size at which all pictures of a report stay within some bytes.

    Args:
        pilot: Some of the images, taken to be like the rest.
        num_images: Number of all images.
        max_bytes: Bytes that all pictures together may take.
    """
    for size in SIZES:
        taken = [len(make_thumbnail(content, size).content) for content in pilot]
        if sum(taken) / max(1, len(taken)) * num_images <= max_bytes:
            return size
    return SIZES[-1]
