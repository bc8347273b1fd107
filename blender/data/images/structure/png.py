"""The chunks of a PNG: each has a checksum, so damage is found without decoding.

Pillow unpacks texts and profiles before it comes to the pixels, and refuses a picture whose text is long. Nothing here
needs them, so :func:`vet` leaves them out.
"""

import struct
import zlib
from collections.abc import Iterator

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile

_MARK = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">I4s")
#: chunks that are never many: those with pixels have kilobytes each, in files of all encoders
_FREE_CHUNKS = 4096
_BYTES_PER_CHUNK = 512
#: metadata that is not needed to show a picture
_METADATA = {b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"}
#: what tells the orientation, and how long it may be
_ORIENTING = (b"eXIf", b"iTXtXML:com.adobe.xmp\0")
_MAX_ORIENTING = 64 * 1024
#: colour type → bits per sample
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def read_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height."""
    head = file.read_at(0, 33)
    if head[12:16] != b"IHDR" and len(head) >= 16:
        raise DamagedImage("unreadable", "it does not begin with a header")
    if len(head) < 33:
        raise truncated("its header")
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def vet(content: bytes) -> bytes:
    """Bound the chunks, and leave out texts and profiles."""
    chunks = [(kind, start, end) for kind, start, end in _chunks(content) if start < len(content)]
    left_out = {start for kind, start, end in chunks if kind in _METADATA}
    if not left_out:
        return content
    for kind in _ORIENTING:
        oriented = (start for _, start, end in chunks if _begins(content, start, kind) and end - start < _MAX_ORIENTING)
        left_out.discard(next(oriented, -1))
    return _MARK + b"".join(content[start:end] for _, start, end in chunks if start not in left_out)


def _begins(content: bytes, start: int, kind: bytes) -> bool:
    return content.startswith(kind, start + 4) or (
        kind[:4] == b"iTXt" and content.startswith(b"iTXt", start + 4) and content.startswith(kind[4:], start + 8)
    )


def check(content: bytes) -> bool:
    """Check the order of the chunks and their checksums.

    Returns:
        Whether the end mark is there; without it only decoding tells whether all pixels are.

    Raises:
        DamagedImage: A checksum is wrong, or a chunk is missing, malformed or cut.
    """
    view, kinds = memoryview(content), list[bytes]()
    for kind, start, end in _chunks(content):
        if end > len(content):
            raise truncated(f"its chunk {_name(kind)} at byte {start:,}")
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise DamagedImage("damaged", f"the checksum of its chunk {_name(kind)} at byte {start:,} is wrong")
        _check_chunk(content, kind, start, end, kinds)
        kinds.append(kind)
    if b"IDAT" not in kinds:
        raise DamagedImage("damaged" if b"IEND" in kinds else "truncated", "it has no pixels")
    return kinds[-1] == b"IEND"


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk up to the end mark, the last one perhaps beyond the file's end."""
    at, num_chunks, most = len(_MARK), 0, _FREE_CHUNKS + len(content) // _BYTES_PER_CHUNK
    while at < len(content):
        if num_chunks == most:
            raise DamagedImage("unreadable", f"it has more than {most:,} chunks, each of few bytes")
        length, kind = _HEAD.unpack_from(content[at : at + 8].ljust(8, b"\0"))
        if length >= 1 << 31 or not (kind.isalpha() and kind.isascii()):
            if at + 8 > len(content):
                raise truncated("its chunks")
            raise DamagedImage("damaged", f"no chunk begins at byte {at:,}")
        yield kind, at, at + 12 + length
        if kind == b"IEND":
            return
        at, num_chunks = at + 12 + length, num_chunks + 1


def _check_chunk(content: bytes, kind: bytes, start: int, end: int, before: list[bytes]) -> None:
    length = end - start - 12
    if (kind == b"IHDR") != (not before):
        raise DamagedImage("damaged", "its header is not its first chunk, or not the only one")
    if kind == b"IHDR":
        _check_header(content[start + 8 : end - 4])
    elif kind == b"PLTE" and (length % 3 or not 3 <= length <= 768):
        raise DamagedImage("damaged", f"its palette has {length:,} bytes")
    elif kind == b"IDAT" and b"IDAT" in before and before[-1] != b"IDAT":
        raise DamagedImage("damaged", "its pixels are interrupted by another chunk")
    elif kind == b"IDAT" and content[25] == 3 and b"PLTE" not in before:
        raise DamagedImage("damaged", "its palette is missing")


def _check_header(header: bytes) -> None:
    if len(header) != 13:
        raise DamagedImage("damaged", f"its header has {len(header):,} bytes")
    depth, colours, compression, filters, interlace = header[8:13]
    if depth not in _DEPTHS.get(colours, ()) or compression or filters or interlace > 1:
        raise DamagedImage("damaged", "its header has values that mean nothing")


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "replace")
