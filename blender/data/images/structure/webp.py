"""The first chunk of a WebP, which tells its size; the rest is libwebp's, which is bounded by the size."""

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile

_HEAD_BYTES = 30


def read_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height from one of the three kinds of first chunk."""
    head = file.read_at(0, _HEAD_BYTES)
    chunk = head[12:16]
    if chunk == b"VP8L" and len(head) >= 25 and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(head) < _HEAD_BYTES:
        raise truncated("its header")
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    raise DamagedImage("unreadable", "its first chunk has no picture's header")


def vet(content: bytes) -> bytes:
    """Give the file as it is."""
    return content
