"""The segments of a JPEG: size, tables and scans, up to each scan's entropy-coded data.

The rules are those by which libjpeg-turbo refuses a file (ITU T.81, annex B): what it only warns of is left to
``decode``. Fill bytes and bytes that belong to no segment are skipped, as libjpeg does, but only a few: Pillow takes
them one at a time.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.files import ByteFile, MemoryFile

#: fill bytes and bytes of no segment in a file
_MAX_STRAY = 4096
#: segments of a file: Pillow keeps each as an object
_MAX_SEGMENTS = 4096
#: scans of a file: each may cost a decoder a walk over the whole picture
_MAX_SCANS = 100
#: as many as encoders use; more than these, and scans times pixels are bounded, too
_USUAL_SCANS = 14
_MAX_WORK = 1_000_000_000
#: metadata that Pillow is given to read; more than this, and only what orientation and colours need is kept
_MAX_METADATA = 256 * 1024

_MARKER = re.compile(rb"\xff([^\x00\xff])")
SOI, EOI, SOS, DQT, DHT, DAC, DRI, DNL, COM, TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDD, 0xDC, 0xFE, 0x01
APP0, APP1, APP14, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
RESTARTS = range(0xD0, 0xD8)
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA}
_OTHER_FRAMES = {
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC8: "extended",
    0xCB: "lossless arithmetic",
    0xCD: "hierarchical",
    0xCE: "hierarchical",
    0xCF: "hierarchical",
}
PROGRESSIVE, ARITHMETIC = {0xC2, 0xCA}, {0xC9, 0xCA}
_LOSSLESS = 0xC3


class ColourComponent(NamedTuple):
    """A channel: how many blocks of it are in a unit of an interleaved scan, and its quantization table."""

    across: int
    down: int
    table: int


@dataclass(frozen=True)
class Frame:
    """What a start-of-frame segment says."""

    marker: int
    width: int
    height: int
    #: by identifier
    components: dict[int, ColourComponent]

    @property
    def is_plain(self) -> bool:
        """Whether it is coded with Huffman codes and a cosine transform, as nearly all JPEGs are."""
        return self.marker not in ARITHMETIC and self.marker != _LOSSLESS

    def takes_several_scans(self, num_components: int) -> bool:
        """Say whether more scans follow a first one that shows so many components."""
        return self.marker in PROGRESSIVE or num_components < len(self.components)

    @cached_property
    def _most(self) -> tuple[int, int]:
        parts = self.components.values()
        return max(part.across for part in parts), max(part.down for part in parts)

    def num_units(self, identifiers: list[int]) -> int:
        """Count the units (MCUs) of a scan of some components."""
        across, down = self._most
        if len(identifiers) > 1:
            return _ceil(self.width, 8 * across) * _ceil(self.height, 8 * down)
        only = self.components[identifiers[0]]
        width, height = _ceil(self.width * only.across, across), _ceil(self.height * only.down, down)
        return _ceil(width, 8) * _ceil(height, 8)


@dataclass(frozen=True, eq=False)
class HuffmanTable:
    """Code lengths and symbols; one object for all files that have the same."""

    #: number of codes of 1 to 16 bits
    counts: bytes
    symbols: bytes

    @cached_property
    def shortest(self) -> int:
        """Bits of the shortest code."""
        return next((length for length, count in enumerate(self.counts, 1) if count), 16)


class Scan(NamedTuple):
    """A scan: what its header says, and the tables that hold for it."""

    #: of the marker
    start: int
    #: of the entropy-coded data
    data: int
    components: list[int]
    #: (DC table, AC table) of each component; None for one of the standard tables, which need not be in a file
    tables: list[tuple[HuffmanTable | None, HuffmanTable | None]]
    spectral: tuple[int, int]
    restart_interval: int


@dataclass
class JpegWalk:
    """A walk over the segments of a file, from one scan to the next."""

    file: ByteFile
    #: the first bytes of the file, or all of them
    known: bytes = b""
    position: int = 2
    frame: Frame | None = None
    #: marker, start and end of every segment
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    scanned: set[int] = field(default_factory=set)
    num_scans: int = 0
    #: bytes of no segment, other than fill bytes
    num_stray: int = 0
    _num_skipped: int = 0
    _several_scans: bool = False
    _quantization: set[int] = field(default_factory=set)
    _huffman: dict[int, HuffmanTable] = field(default_factory=dict)
    _restart_interval: int = 0

    def to_scan(self) -> Scan | None:
        """Walk to the next scan; None at the end of the picture.

        Raises:
            DamagedImage: The file ends before, or a segment is none that a decoder accepts.
        """
        while True:
            marker, start = self._marker()
            if marker == EOI:
                return None
            if marker == SOI:
                raise _damaged(start, "another picture begins before this one ended")
            if marker in RESTARTS or marker == TEM:
                continue
            body = self._segment(marker, start)
            if marker == SOS:
                return self._scan(start, body)

    def to_frame(self) -> Frame:
        """Walk no farther than to the segment that tells the size."""
        while self.frame is None:
            marker, start = self._marker()
            if marker in (SOS, EOI, SOI):
                raise _damaged(start, "no size is said before its data begin")
            if marker not in RESTARTS and marker != TEM:
                self._segment(marker, start)
        return self.frame

    def _bytes(self, start: int, end: int) -> bytes:
        return self.known[start:end] if end <= len(self.known) else self.file.read_at(start, end - start)

    def _marker(self) -> tuple[int, int]:
        start, known = self.position, self.known
        if start + 2 <= len(known) and known[start] == 0xFF and 0 < known[start + 1] < 0xFF:
            self.position = start + 2
            return known[start + 1], start
        return self._stray_marker()

    def _stray_marker(self) -> tuple[int, int]:
        """Find a marker that was not read yet, or is behind fill bytes or bytes of no segment."""
        window = self.file.read_at(self.position, _MAX_STRAY + 4)
        match = _MARKER.search(window)
        skipped = window[: match.end() - 2] if match else window
        self._num_skipped += len(skipped)
        self.num_stray += len(skipped) - skipped.count(b"\xff")
        if self._num_skipped > _MAX_STRAY:
            raise DamagedImage(
                "unreadable", f"more than {_MAX_STRAY:,} bytes at byte {self.position:,} belong to no segment"
            )
        if match is None:
            raise truncated("its segments")
        start = self.position + match.end() - 2
        self.position = start + 2
        return match[1][0], start

    def _segment(self, marker: int, start: int) -> bytes:
        head = self._bytes(self.position, self.position + 2)
        length = int.from_bytes(head, "big")
        skipped = is_metadata(marker) or marker == DNL
        if skipped:
            # decoders take a length that does not count itself for an empty segment
            length = max(2, length)
        end = self.position + length
        if len(head) < 2 or end > self.file.num_bytes:
            raise truncated(f"its segment at byte {start:,}")
        if length < 2:
            raise _damaged(start, f"a segment claims a length of {length} bytes")
        if len(self.segments) == _MAX_SEGMENTS:
            raise DamagedImage("unreadable", f"it has more than {_MAX_SEGMENTS:,} segments")
        self.segments.append((marker, start, end))
        reader = _READERS.get(marker)
        if not (skipped or reader or marker in _FRAMES or marker == SOS):
            raise self._foreign(marker, start)
        body = b"" if skipped else self._bytes(self.position + 2, end)
        self.position = end
        if reader:
            reader(self, start, body)
        elif marker in _FRAMES:
            if self.frame is not None:
                raise _damaged(start, "its size is said twice")
            self.frame = _frame(marker, start, body)
        return body

    def _foreign(self, marker: int, start: int) -> DamagedImage:
        if marker in _OTHER_FRAMES:
            return DamagedImage("unsupported_format", f"it is a {_OTHER_FRAMES[marker]} JPEG, which is not read")
        return _damaged(start, f"marker 0x{marker:02X} has no meaning there")

    def _read_quantization(self, start: int, body: bytes) -> None:
        numbers = _quantization_tables(body)
        if numbers is None:
            raise _damaged(start, "a quantization table is malformed")
        self._quantization |= numbers

    def _read_huffman(self, start: int, body: bytes) -> None:
        tables = _huffman_tables(body)
        if tables is None:
            raise _damaged(start, "a Huffman table is malformed")
        self._huffman |= tables

    def _read_conditioning(self, start: int, body: bytes) -> None:
        pairs = list(zip(body[::2], body[1::2], strict=False))
        if len(body) % 2 or any(index > 31 or (index < 16 and value & 15 > value >> 4) for index, value in pairs):
            raise _damaged(start, "the conditioning of an arithmetic coder is malformed")

    def _read_interval(self, start: int, body: bytes) -> None:
        if len(body) != 2:
            raise _damaged(start, "the segment with the restart interval has a wrong length")
        self._restart_interval = int.from_bytes(body, "big")

    def _scan(self, start: int, body: bytes) -> Scan:
        if self.frame is None:
            raise _damaged(start, "its data begin before its size is said")
        count = body[0] if body else 0
        if not 1 <= count <= 4 or len(body) != 4 + 2 * count:
            raise _damaged(start, "the header of a scan has a wrong length")
        if self.num_scans and not self._several_scans:
            raise _damaged(start, "another scan begins after one that showed everything")
        self.num_scans += 1
        self._several_scans = self._several_scans or self.frame.takes_several_scans(count)
        if too_much_work(self.frame, self.num_scans):
            raise DamagedImage("unreadable", f"it has {self.num_scans} scans or more, which take too long to decode")
        components = list(body[1 : 1 + 2 * count : 2])
        parts = [self.frame.components.get(number) for number in components]
        if None in parts or len(set(components)) < count:
            raise _damaged(start, "a scan shows a component that the picture does not have")
        if any(part.table not in self._quantization for part in parts if part and self.frame.marker != _LOSSLESS):
            raise _damaged(start, "a quantization table is missing")
        if count > 1 and sum(part.across * part.down for part in parts if part) > 10:
            raise _damaged(start, "a scan has more than 10 blocks a unit")
        self._check_progression(start, body, count)
        self.scanned |= set(components)
        tables = [self._tables(start, body[at], body) for at in range(2, 2 + 2 * count, 2)]
        return Scan(start, self.position, components, tables, (body[-3], body[-2]), self._restart_interval)

    def _check_progression(self, start: int, body: bytes, count: int) -> None:
        assert self.frame is not None
        if self.frame.marker not in PROGRESSIVE:
            return
        first, last, high, low = body[-3], body[-2], body[-1] >> 4, body[-1] & 15
        spectral = last == 0 if first == 0 else first <= last < 64 and count == 1
        if not spectral or (high and low != high - 1) or low > 13:
            raise _damaged(start, "a scan of a progressive picture has impossible bounds")

    def _tables(self, start: int, chosen: int, body: bytes) -> tuple[HuffmanTable | None, HuffmanTable | None]:
        """Find the Huffman tables of a component, and check those that the scan will use."""
        assert self.frame is not None
        if self.frame.marker in ARITHMETIC:
            return None, None
        progressive, first, high = self.frame.marker in PROGRESSIVE, body[-3], body[-1] >> 4
        wanted = []
        for kind, number in ((0x00, chosen >> 4), (0x10, chosen & 15)):
            needed = (first == 0 and high == 0) == (kind == 0) and not (first == 0 and kind) if progressive else True
            if self.frame.marker == _LOSSLESS and kind:
                needed = False
            wanted.append(self._table(start, kind, number) if needed else None)
        return wanted[0], wanted[1]

    def _table(self, start: int, kind: int, number: int) -> HuffmanTable | None:
        table = self._huffman.get(kind | number)
        if table is None:
            assert self.frame is not None
            # a frame of motion JPEG leaves the standard tables out, and decoders put them in
            if number > 1 or self.frame.marker in PROGRESSIVE:
                raise _damaged(start, "a Huffman table is missing")
            return None
        if not _is_code(table, is_dc=kind == 0):
            raise _damaged(start, "a Huffman table is impossible")
        return table


_READERS = {
    DQT: JpegWalk._read_quantization,
    DHT: JpegWalk._read_huffman,
    DAC: JpegWalk._read_conditioning,
    DRI: JpegWalk._read_interval,
}


def read_size(file: ByteFile) -> tuple[int, int]:
    """Read width and height."""
    frame = JpegWalk(file).to_frame()
    return frame.width, frame.height


def vet(content: bytes) -> bytes:
    """Bound what Pillow will read before the first scan, and what a decoder will walk over.

    Returns:
        The file, without most of its metadata where these are many.
    """
    walk = JpegWalk(MemoryFile(content), content)
    first = walk.to_scan()
    if first is None:
        raise truncated("its segments: it shows nothing")
    _bound_scans(content, walk, first)
    metadata = [segment for segment in walk.segments if is_metadata(segment[0])]
    many_exif = sum(content[start + 4 : start + 10] == b"Exif\0\0" for _, start, _ in metadata) > 1
    if sum(end - start for _, start, end in metadata) > _MAX_METADATA or many_exif:
        return strip(content, walk.segments, _kept_for_pillow(content, metadata)) + content[first.data :]
    return content


def _bound_scans(content: bytes, walk: JpegWalk, first: Scan) -> None:
    """Refuse more scans than a decoder should walk through, where it walks through more than one."""
    assert walk.frame is not None
    if not walk.frame.takes_several_scans(len(first.components)):
        return
    end = content.find(b"\xff\xd9", first.data)
    num_scans = content.count(b"\xff\xda", first.data, end if end >= 0 else len(content)) + 1
    if too_much_work(walk.frame, num_scans):
        raise DamagedImage("unreadable", f"it has {num_scans:,} scans, which take too long to decode")


def too_much_work(frame: Frame, num_scans: int) -> bool:
    """Say whether so many scans of a picture are more than a decoder should be asked to walk over."""
    return num_scans > _MAX_SCANS or (num_scans > _USUAL_SCANS and num_scans * frame.width * frame.height > _MAX_WORK)


def is_metadata(marker: int) -> bool:
    """Say whether a segment tells about the picture rather than being a part of it."""
    return APP0 <= marker <= APP15 or marker == COM


def strip(content: bytes, segments: list[tuple[int, int, int]], kept: set[int]) -> bytes:
    """Put the segments of a file together again, of the metadata only those that begin at a byte in ``kept``."""
    parts = [content[start:end] for marker, start, end in segments if not is_metadata(marker) or start in kept]
    return content[:2] + b"".join(parts)


def _kept_for_pillow(content: bytes, metadata: list[tuple[int, int, int]]) -> set[int]:
    """Choose the first segment of each kind that orientation and colours depend on."""
    wanted = {(APP0, b"JFIF"), (APP1, b"Exif"), (APP1, b"http"), (APP14, b"Adob")}
    kept = set()
    for marker, start, _ in metadata:
        kind = marker, content[start + 4 : start + 8]
        if kind in wanted:
            wanted.remove(kind)
            kept.add(start)
    return kept


@lru_cache
def _frame(marker: int, start: int, body: bytes) -> Frame:
    """Read a start of frame; the pictures of a data set have few different ones."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise _damaged(start, "the segment that says its size has a wrong length")
    if body[0] != 8:
        raise DamagedImage("unsupported_format", f"it is a JPEG of {body[0]} bits a sample, which is not read")
    if body[5] not in (1, 3, 4):
        raise DamagedImage("unsupported_format", f"it is a JPEG of {body[5]} components, which is not read")
    components = {
        body[at]: ColourComponent(body[at + 1] >> 4, body[at + 1] & 15, body[at + 2]) for at in range(6, len(body), 3)
    }
    if len(components) != body[5]:
        raise _damaged(start, "two components have the same number")
    if not all(1 <= each.across <= 4 and 1 <= each.down <= 4 for each in components.values()):
        raise _damaged(start, "a component has no possible sampling factor")
    return Frame(marker, int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), components)


@lru_cache
def _quantization_tables(body: bytes) -> set[int] | None:
    """Read the numbers of the tables of a segment; None when it is malformed. Most files have the same segments."""
    at, numbers = 0, set[int]()
    while at < len(body):
        number, size = body[at] & 15, 129 if body[at] >> 4 else 65
        if number > 3 or at + size > len(body):
            return None
        numbers.add(number)
        at += size
    return numbers


@lru_cache
def _huffman_tables(body: bytes) -> dict[int, HuffmanTable] | None:
    """Read the tables of a segment; None when it is malformed. Most files have the same segments."""
    at, tables = 0, dict[int, HuffmanTable]()
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        if len(counts) < 16 or len(symbols) < sum(counts) or len(symbols) > 256 or body[at] & 0xEF > 3:
            return None
        tables[body[at]] = HuffmanTable(counts, symbols)
        at += 17 + len(symbols)
    return tables


@lru_cache
def _is_code(table: HuffmanTable, is_dc: bool) -> bool:
    """Say whether code lengths make a prefix code without the code of ones alone, as T.81 demands."""
    if is_dc and max(table.symbols, default=0) > 15:
        return False
    code, left = 0, sum(table.counts)
    for length, count in enumerate(table.counts, 1):
        code += count
        left -= count
        if count and code >= 1 << length:
            return False
        if not left:
            return True
        code <<= 1
    return True


def _damaged(start: int, why: str) -> DamagedImage:
    return DamagedImage("damaged", f"{why} (byte {start:,})")


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
