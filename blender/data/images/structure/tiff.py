"""The first directory of a TIFF: its size, and bounds on what it makes a reader collect."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile, MemoryFile

_MAX_ENTRIES = 2_000
#: numbers in one entry, such as the places of strips or tiles; Pillow makes an object of each
_MAX_NUMBERS = 500_000
_WIDTH, _HEIGHT = 256, 257
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_PLAIN_BYTES = (1, 2, 6, 7)


class _DirectoryEntry(NamedTuple):
    tag: int
    kind: int
    num_values: int
    #: the value, or its place in the file
    value: bytes


class _ByteLayout(NamedTuple):
    """How numbers are written."""

    order: str
    big: bool

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self.order == "<" else "big")


def read_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height."""
    layout, entries = _directory(file)
    sizes = {entry.tag: entry for entry in entries if entry.tag in (_WIDTH, _HEIGHT)}
    if len(sizes) < 2 or any(entry.kind not in (3, 4, 16) for entry in sizes.values()):
        raise DamagedImage("unreadable", "its directory does not say its size")
    return _value(layout, sizes[_WIDTH]), _value(layout, sizes[_HEIGHT])


def vet(content: bytes) -> bytes:
    """Bound the numbers in the directory, and the bytes that its values claim."""
    _, entries = _directory(MemoryFile(content))
    claimed = 0
    for entry in entries:
        if entry.kind not in _PLAIN_BYTES and entry.num_values > _MAX_NUMBERS:
            raise DamagedImage("unreadable", f"entry {entry.tag} of its directory claims {entry.num_values:,} numbers")
        claimed += entry.num_values * _TYPE_BYTES.get(entry.kind, 0)
    if claimed > len(content) + 65_536:
        raise DamagedImage("damaged", f"its directory claims {claimed:,} bytes, more than the file has")
    return content


def _directory(file: ByteFile) -> tuple[_ByteLayout, list[_DirectoryEntry]]:
    head = file.read_at(0, 16)
    if len(head) < 8:
        raise truncated("its header")
    order = "<" if head[:2] == b"II" else ">"
    layout = _ByteLayout(order, head[2:4] in (b"+\0", b"\0+"))
    start = layout.number(head[8:16] if layout.big else head[4:8])
    width = 8 if layout.big else 2
    entry = struct.Struct(order + ("HHQ8s" if layout.big else "HHL4s"))
    count = file.read_at(start, width) if start < 1 << 63 else b""
    if len(count) < width:
        raise truncated("it, before its directory")
    num_entries = layout.number(count)
    if num_entries > _MAX_ENTRIES:
        raise DamagedImage("unreadable", f"its directory claims {num_entries:,} entries")
    block = file.read_at(start + width, num_entries * entry.size)
    if len(block) < num_entries * entry.size:
        raise truncated("its directory")
    return layout, list(_entries(entry, block))


def _entries(entry: struct.Struct, block: bytes) -> Iterator[_DirectoryEntry]:
    return (_DirectoryEntry(*values) for values in entry.iter_unpack(block))


def _value(layout: _ByteLayout, entry: _DirectoryEntry) -> int:
    return layout.number(entry.value[: _TYPE_BYTES[entry.kind]])
