"""Check one image: its format, its size, and whether it can be used. Survey and ``verify`` share this.

Three levels, each seeing more than the one before:

- ``header``: the first kilobytes and the end mark; a format without end mark, or a file without it, is looked at as
  under ``auto``;
- ``auto``: checksums where the format has them (PNG), segments and scans to their ends (JPEG), else decoding;
- ``decode``: decoding, with the decoder's warnings.
"""

from dataclasses import dataclass

from msgspec import Struct

from blender.data.images.damage import Check, DamagedImage
from blender.data.images.decoding import decode_whole, require_format, require_pixels
from blender.data.images.files import ByteFile, MemoryFile
from blender.data.images.formats import JPEG, MARK_BYTES, PNG, TAIL_BYTES, Format
from blender.data.images.identity import sketch
from blender.data.images.structure import jpeg, jpeg_scans, png

_HEAD_BYTES = 16 * 1024
#: what is read at once where the whole file will be needed
_AT_ONCE = 4 * 1024 * 1024
_WINDOW = 64 * 1024


class ImageLimits(Struct, frozen=True):
    """What an image may cost those who read it."""

    #: width times height, as the header claims them
    max_pixels: int = 100_000_000
    #: length of the file
    max_bytes: int = 100_000_000


@dataclass
class Examined:
    """What is known of an image so far; also if it then turns out to be damaged."""

    num_bytes: int = 0
    size: tuple[int, int] = (0, 0)
    format: Format | None = None
    #: of its first and last bytes (:func:`blender.data.images.identity.sketch`)
    sketch: int | None = None


def examine_image(file: ByteFile, looked: Examined, limits: ImageLimits, check: Check) -> None:
    """Examine a picture, as closely as is asked.

    Args:
        file: The file; of a large one, or under ``header``, only parts are read.
        looked: Where to write down what is found.
        limits: What it may have at most.
        check: How closely to look.

    Raises:
        DamagedImage: It cannot be used.
        StoreError: The file cannot be read.
    """
    looked.num_bytes = file.num_bytes
    if file.num_bytes == 0:
        raise DamagedImage("empty", "it has no bytes")
    if file.num_bytes > limits.max_bytes:
        many = f"it has {file.num_bytes:,} bytes, more than the {limits.max_bytes:,} allowed"
        raise DamagedImage("too_many_bytes", many)
    at_once = check != "header" and file.num_bytes <= _AT_ONCE
    head = file.read_all() if at_once else file.read_at(0, _HEAD_BYTES)
    looked.format = kind = require_format(head[:MARK_BYTES])
    tail = _tail(file, head)
    looked.sketch = sketch(head[:_HEAD_BYTES], tail, file.num_bytes)
    if kind is JPEG and len(head) == file.num_bytes and check != "header":
        _check_jpeg(head, looked, limits, check)
        return
    looked.size = kind.read_size(_Near(file, head))
    require_pixels(looked.size, limits.max_pixels)
    if check == "header" and kind.is_complete(head, tail, file.num_bytes):
        return
    content = head if len(head) == file.num_bytes else file.read_all()
    if kind is JPEG:
        _check_jpeg(content, looked, limits, check)
    elif kind is not PNG:
        _decode_unmarked(kind, content, limits)
    elif not png.check(content) or check == "decode":
        decode_whole(content, limits.max_pixels)


def check_image(content: bytes, limits: ImageLimits, check: Check) -> tuple[int, int]:
    """Look at a picture whose bytes are at hand, and return its size.

    Raises:
        DamagedImage: It cannot be used.
    """
    looked = Examined()
    examine_image(MemoryFile(content), looked, limits, check)
    return looked.size


def _check_jpeg(content: bytes, looked: Examined, limits: ImageLimits, check: Check) -> None:
    walk = jpeg.JpegWalk(MemoryFile(content), content)
    frame = walk.to_frame()
    looked.size = frame.width, frame.height
    require_pixels(looked.size, limits.max_pixels)
    jpeg_scans.check(content, walk)
    if not frame.is_plain:
        decode_whole(content, limits.max_pixels)
    elif check == "decode":
        from blender.data.images import jpeg_decoding

        jpeg_decoding.decode(content, walk)


def _decode_unmarked(kind: Format, content: bytes, limits: ImageLimits) -> None:
    """Decode a picture; where its end is missing, that is why it cannot be."""
    try:
        decode_whole(content, limits.max_pixels)
    except DamagedImage as damage:
        cut = kind.has_end_mark and not kind.is_complete(content[:MARK_BYTES], content[-TAIL_BYTES:], len(content))
        if cut and damage.reason == "damaged":
            raise DamagedImage("truncated", damage.why) from damage
        raise


def _tail(file: ByteFile, head: bytes) -> bytes:
    if file.num_bytes <= len(head):
        return head[-TAIL_BYTES:]
    return file.read_at(max(0, file.num_bytes - TAIL_BYTES), TAIL_BYTES)


class _Near(ByteFile):
    """A file whose beginning has been read; of the rest, a window is read at a time."""

    def __init__(self, file: ByteFile, head: bytes) -> None:
        self.num_bytes = file.num_bytes
        self._file = file
        self._start, self._window = 0, head
        self._head = head

    def _read(self, offset: int, num_bytes: int) -> bytes:
        if offset + num_bytes <= len(self._head):
            return self._head[offset : offset + num_bytes]
        if not self._start <= offset <= offset + num_bytes <= self._start + len(self._window):
            self._start, self._window = offset, self._file.read_at(offset, max(num_bytes, _WINDOW))
        at = offset - self._start
        return self._window[at : at + num_bytes]
