"""The headers of a BMP and of the PNM family (PBM, PGM, PPM), and what their decoders may be asked to do.

Pillow decodes most of them in C. What it decodes in Python, a pixel at a time, is held to so many pixels that it takes
half a second or so.
"""

import re

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile, MemoryFile

#: pixels, or samples, that Pillow decodes in Python
_MAX_SLOW = 4_000_000
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_RLE = (1, 2)
#: bytes of a PNM's header, comments included
_MAX_PNM_HEADER = 16 * 1024
#: comments among the numbers of a plain PNM: Pillow copies a megabyte for each
_MAX_COMMENTS = 256
_SPACES = rb"(?:[ \t\r\n\x0b\x0c]|#[^\r\n]*[\r\n])+"
_BITMAP = re.compile(rb"P[14]" + _SPACES + rb"(\d+)" + _SPACES + rb"(\d+)\s")
_PIXMAP = re.compile(rb"P[2356]" + _SPACES + rb"(\d+)" + _SPACES + rb"(\d+)" + _SPACES + rb"(\d+)\s")
#: numbers that Pillow reads in Python, by kind: those with other values than a byte's range, too
_CHANNELS = {b"1": 1, b"2": 1, b"3": 3, b"4": 1, b"5": 1, b"6": 3}


def read_bmp_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height of a BMP."""
    head = file.read_at(14, 24)
    size = int.from_bytes(head[:4], "little")
    if len(head) < (12 if size == 12 else 24):
        raise truncated("its header")
    if size not in _BMP_HEADERS:
        raise DamagedImage("unreadable", f"its header has {size:,} bytes, which is the length of none")
    if size == 12:
        return int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")
    width, height = (int.from_bytes(head[at : at + 4], "little") for at in (4, 8))
    # a picture that is stored from its top has a negative height; Pillow takes no other number for one
    return width, (1 << 32) - height if height >> 24 == 0xFF else height


def vet_bmp(content: bytes) -> bytes:
    """Bound the pixels of a run-length coded BMP."""
    width, height = read_bmp_size(MemoryFile(content))
    runs = content[14] != 12 and int.from_bytes(content[30:34], "little") in _RLE
    if runs and width * height > _MAX_SLOW:
        raise DamagedImage(
            "too_many_pixels", f"it is run-length coded and claims {width} x {height} pixels; {_MAX_SLOW:,} are read"
        )
    return content


def read_pnm_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height of a PBM, PGM or PPM."""
    width, height, _ = _pnm_numbers(file)
    return width, height


def vet_pnm(content: bytes) -> bytes:
    """Bound the samples that Pillow reads in Python, and the comments among them."""
    width, height, largest = _pnm_numbers(MemoryFile(content))
    kind = content[1:2]
    samples, plain = width * height * _CHANNELS[kind], kind in b"123"
    slow = plain or (kind in b"56" and largest != 255 and not (kind == b"5" and largest == 65_535))
    if slow and samples > _MAX_SLOW:
        raise DamagedImage(
            "too_many_pixels",
            f"it claims {samples:,} samples of a kind that is slow to read; {_MAX_SLOW:,} of it are read",
        )
    if plain and content.count(b"#") > _MAX_COMMENTS:
        raise DamagedImage("unreadable", f"it has more than {_MAX_COMMENTS:,} comments")
    return content


def _pnm_numbers(file: ByteFile) -> tuple[int, int, int]:
    """Read width, height and the largest value (1 for a bitmap)."""
    head = file.read_at(0, _MAX_PNM_HEADER)
    match = (_BITMAP if head[1:2] in b"14" else _PIXMAP).match(head)
    if match is None:
        if len(head) == _MAX_PNM_HEADER:
            raise DamagedImage("unreadable", f"its header has more than {_MAX_PNM_HEADER:,} bytes, or is malformed")
        raise DamagedImage("unreadable", "its header is malformed, or the file ends inside of it")
    if any(len(number) > 9 for number in match.groups()):
        raise DamagedImage("too_many_pixels", "its header claims more than a billion pixels in a row or column")
    width, height, largest = (*(int(number) for number in match.groups()), 1)[:3]
    return width, height, largest
