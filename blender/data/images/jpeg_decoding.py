"""Decode a JPEG with libjpeg-turbo and take its warnings seriously.

Pillow decodes with the same library, but drops what it warns of: "Corrupt JPEG data: premature end of data segment"
leaves a picture whose lower half is grey. The picture is decoded at an eighth of its size: all of its entropy-coded
data are decoded for that, which is where damage shows, and few pixels are computed.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from blender.data.images.damage import DamagedImage
from blender.data.images.decoding import explaining_damage, open_image
from blender.data.images.structure.jpeg import PROGRESSIVE, SOS, JpegWalk, strip

#: the value of a pixel whose data are missing
_DEAD = 128
#: share of the rows at the bottom that must be dead
_DEAD_SHARE = 0.1
#: warnings of a header that leaves a usable picture
_HARMLESS = re.compile("Unknown Adobe|unknown JFIF|Invalid SOS parameters|bad ICC", re.IGNORECASE)


def decode(content: bytes, walk: JpegWalk) -> None:
    """Decode a picture that :func:`blender.data.images.structure.jpeg_scans.check` found nothing wrong with.

    Args:
        content: The file.
        walk: What ``check`` returned.

    Raises:
        DamagedImage: The decoder fails or warns, or the lower part of the picture is dead.
    """
    assert walk.frame is not None
    if walk.num_stray:
        raise DamagedImage("damaged", f"{walk.num_stray:,} bytes before its pixels belong to no segment")
    plain = _plain(content, walk)
    channels = len(walk.frame.components)
    pixels = _decoded(plain, "CMYK" if channels == 4 else "GRAY")
    if channels != 4 and _num_dead_rows(pixels) and _num_dead_rows(_decoded(plain, "RGB")):
        share = _num_dead_rows(pixels) / len(pixels)
        raise DamagedImage("dead_area", f"the lower {share:.0%} of it are the grey of missing data")


def _plain(content: bytes, walk: JpegWalk) -> bytes:
    """Leave out what a decoder may warn of though it does not matter: metadata, fill bytes, what follows the end."""
    assert walk.frame is not None
    first = next(number for number, (marker, _, _) in enumerate(walk.segments) if marker == SOS)
    data = walk.segments[first][2]
    head = strip(content, walk.segments[: first + 1], set())
    if walk.frame.marker not in PROGRESSIVE and not head.endswith(b"\0\x3f\0"):
        # some cameras leave the bounds of the spectrum empty where there is but one choice
        head = head[:-3] + b"\0\x3f\0"
    return head + content[data : walk.position]


def _decoded(plain: bytes, colours: str) -> NDArray[np.uint8]:
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(plain, colours, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        words = str(error).strip()
        if "subsampling level" in words:
            return _decoded_by_pillow(plain, colours)
        if not _HARMLESS.search(words):
            raise DamagedImage("damaged", f"its decoder says: {words}") from error
        pixels = simplejpeg.decode_jpeg(plain, colours, min_height=1, min_width=1, strict=False)
    return pixels


def _decoded_by_pillow(plain: bytes, colours: str) -> NDArray[np.uint8]:
    """Decode what libjpeg-turbo's simple interface does not take: rare factors of subsampling."""
    with explaining_damage(), open_image(plain) as image:
        image.draft("L" if colours == "GRAY" else None, (1, 1))
        pixels = np.asarray(image)
    return pixels.reshape(image.height, image.width, -1)


def _num_dead_rows(pixels: NDArray[np.uint8]) -> int:
    """Count the rows at the bottom that have no value but that of missing data; 0 where they are few, or all."""
    alive = np.flatnonzero((pixels != _DEAD).any(axis=(1, 2)))
    dead = len(pixels) - 1 - int(alive[-1]) if len(alive) else 0
    return dead if dead >= max(1, _DEAD_SHARE * len(pixels)) and dead * 8 >= 16 else 0
