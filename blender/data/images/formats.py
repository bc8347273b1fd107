"""The image formats that are read: how each is recognised, measured, bounded, checked and opened.

Pillow's readers are chosen by the first bytes of a file, from a short list, instead of by ``Image.open``: no other
reader is ever tried on a file from a stranger. They also come last: size and bounds are read first, by
:mod:`blender.data.images.structure`.
"""

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

from blender.data.images.files import ByteFile
from blender.data.images.structure import bitmap, gif, jpeg, png, tiff, webp

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
    #: reads width and height from the header, without decoding and whatever they are
    read_size: Callable[[ByteFile], tuple[int, int]]
    #: refuses what would cost a decoder too much, and gives the bytes that it may see
    vet: Callable[[bytes], bytes]

    @property
    def has_end_mark(self) -> bool:
        """Whether a file's last bytes tell that it is complete."""
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


JPEG = Format("JPEG", "jpg", JpegImageFile, _jpeg_complete, jpeg.read_size, jpeg.vet)
PNG = Format("PNG", "png", PngImageFile, _png_complete, png.read_size, png.vet)
GIF = Format("GIF", "gif", GifImageFile, _gif_complete, gif.read_size, gif.vet)
WEBP = Format("WebP", "webp", WebPImageFile, _webp_complete, webp.read_size, webp.vet)
BMP = Format("BMP", "bmp", BmpImageFile, _never_sure, bitmap.read_bmp_size, bitmap.vet_bmp)
TIFF = Format("TIFF", "tiff", TiffImageFile, _never_sure, tiff.read_size, tiff.vet)
PPM = Format("PPM", "ppm", PpmImageFile, _never_sure, bitmap.read_pnm_size, bitmap.vet_pnm)
#: all of them, for messages
NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF or PPM"

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
