"""What kind of picture a file is, how large, and whether its end is there: all from its first and last bytes.

Pillow's readers are chosen here by the file's own mark, from a short list, rather than by ``Image.open``: nothing
outside the list is ever tried on a stranger's file, and a header that claims a gigapixel is told by its numbers instead
of by Pillow's warning.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

#: enough to hold the mark of any known format
MARK_BYTES = 32
#: enough of the end of a file to find its end marker behind some padding
TAIL_BYTES = 256

_PADDING = b"\0 \r\n\t"
_PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))

_FOREIGN = {
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL ": "a JPEG XL image",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"<svg": "an SVG drawing",
}
_BRANDS = {b"avif": "an AVIF image", b"avis": "an AVIF image", b"heic": "a HEIC image", b"heix": "a HEIC image"}
_BRANDS |= {b"mif1": "a HEIF image", b"msf1": "a HEIF image"}


@dataclass(frozen=True)
class Format:
    """A kind of picture that is read."""

    name: str
    #: the extension for files whose name has none
    extension: str
    reader: Callable[[IO[bytes], str], ImageFile]
    #: says from the last bytes and the first ones and the size whether the file is surely complete
    is_complete: Callable[[bytes, bytes, int], bool]

    @property
    def has_end_mark(self) -> bool:
        """Whether a complete file can be told without decoding it."""
        return self.is_complete is not _never_sure


def _jpeg_complete(head: bytes, tail: bytes, num_bytes: int) -> bool:
    return tail.rstrip(_PADDING).endswith(b"\xff\xd9")


def _png_complete(head: bytes, tail: bytes, num_bytes: int) -> bool:
    return tail.endswith(_PNG_END)


def _gif_complete(head: bytes, tail: bytes, num_bytes: int) -> bool:
    return tail.rstrip(b"\0").endswith(b"\0;")


def _webp_complete(head: bytes, tail: bytes, num_bytes: int) -> bool:
    return int.from_bytes(head[4:8], "little") + 8 <= num_bytes


def _never_sure(head: bytes, tail: bytes, num_bytes: int) -> bool:
    return False


JPEG = Format("JPEG", "jpg", JpegImageFile, _jpeg_complete)
PNG = Format("PNG", "png", PngImageFile, _png_complete)
GIF = Format("GIF", "gif", GifImageFile, _gif_complete)
WEBP = Format("WebP", "webp", WebPImageFile, _webp_complete)
BMP = Format("BMP", "bmp", BmpImageFile, _never_sure)
TIFF = Format("TIFF", "tiff", TiffImageFile, _never_sure)
PPM = Format("PPM", "ppm", PpmImageFile, _never_sure)

_MARKS = {
    b"\xff\xd8\xff": JPEG,
    b"\x89PNG\r\n\x1a\n": PNG,
    b"GIF87a": GIF,
    b"GIF89a": GIF,
    b"BM": BMP,
    b"II*\0": TIFF,
    b"MM\0*": TIFF,
    b"II+\0": TIFF,
    b"MM\0+": TIFF,
}


def format_of(head: bytes) -> Format | None:
    """Tell the format by a file's first bytes; None when it is none that is read."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return PPM
    return next((kind for mark, kind in _MARKS.items() if head.startswith(mark)), None)


def foreign_kind(head: bytes) -> str | None:
    """Name a kind of picture that is known but not read, such as "a HEIC image"."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((words for mark, words in _FOREIGN.items() if head.startswith(mark)), None)


def size_in(kind: Format, file: IO[bytes]) -> tuple[int, int]:
    """Read width and height from a file's header, without decoding and whatever they are.

    Raises:
        Exception: Whatever Pillow raises on a header that it cannot read; often because more of the file is needed.
    """
    if kind is WEBP:
        return _webp_size(file.read(MARK_BYTES))
    return kind.reader(file, "").size


def decode(kind: Format, data: bytes) -> None:
    """Decode a picture (the first, where a file has several) to see whether that works.

    Raises:
        Exception: Whatever Pillow raises on a picture that it cannot decode.
    """
    with kind.reader(io.BytesIO(data), "") as picture:
        picture.load()


def _webp_size(head: bytes) -> tuple[int, int]:
    """Read the size from one of the three kinds of first chunk; Pillow would need the whole file for it."""
    chunk = head[12:16]
    if chunk == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and len(head) >= 30 and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    raise ValueError("a WebP file without a picture's header")
