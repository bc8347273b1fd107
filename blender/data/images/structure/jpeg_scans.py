"""Follow a JPEG's scans to the end of the picture without decoding pixels, at the speed of memory.

Entropy-coded data hold no marker but restart markers, so the next marker of another kind ends a scan. What cannot be
seen this way is a change inside of the data that makes no marker: it changes pixels, and only ``decode`` sees it, if
anything does. Three signs of such a change cost little and are looked for: restart markers that are missing or out of
order, less data than so many blocks need, and a hole of zeros where the codes mean that no real picture has one.
"""

import threading
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from blender.data.images.damage import DamagedImage, truncated
from blender.data.images.structure.jpeg import EOI, PROGRESSIVE, RESTARTS, Frame, JpegWalk, Scan

#: zero bytes in a row that no photograph's data have, unless zeros are the code for an empty block
_HOLE = bytes(64)
#: bytes behind the end mark, ending in another end mark, that are taken for a part of the picture
_LONG_REST = 64
#: codes of the standard tables have two bits or more
_SHORTEST_STANDARD = 2
#: second bytes of markers that do not end a scan: restarts, and fill bytes before another marker
_PASSED = {*RESTARTS, 0xFF}
#: bytes of memory that are kept for the next file
_KEPT_SCRATCH = 4 * 1024 * 1024
_NO_CODES = np.empty(0, np.uint8)


def check(content: bytes, walk: JpegWalk) -> JpegWalk:
    """Follow segments and scans to the end of the (first) picture.

    Args:
        content: The file.
        walk: A walk over it that has come to no scan yet.

    Returns:
        The walk, at the picture's end: its segments, and among them the headers of the scans.

    Raises:
        DamagedImage: The end is missing, or something before it is not as a decoder expects it.
    """
    marks = None
    while scan := walk.to_scan():
        if marks is None:
            marks = _Marks(content, scan.data)
        assert walk.frame is not None
        end, restarts = marks.from_(scan.data)
        if end is None:
            raise truncated("the data of its pixels")
        _check_restarts(walk.frame, scan, restarts)
        _check_amount(walk.frame, scan, end - scan.data)
        _check_holes(content, walk.frame, scan, end)
        walk.position = end
    if walk.frame is None or not walk.scanned:
        raise truncated("its segments: it shows nothing")
    if len(walk.scanned) < len(walk.frame.components):
        raise DamagedImage("damaged", "it ends before all of its components were shown")
    _check_rest(content, walk.position)
    return walk


class _Scratch(threading.local):
    """Memory that a thread uses again for each file."""

    def __init__(self) -> None:
        self._first, self._second = (np.empty(0, np.bool_) for _ in range(2))

    def arrays(self, size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Give two arrays, valid until the next call; those of large files are not kept."""
        if size > _KEPT_SCRATCH:
            return np.empty(size, np.bool_), np.empty(size, np.bool_)
        if size > len(self._first):
            self._first, self._second = (np.empty(max(size, _KEPT_SCRATCH // 8), np.bool_) for _ in range(2))
        return self._first[:size], self._second[:size]


_own_scratch = _Scratch()


class _Marks:
    """All markers from a byte on: each 0xFF that is neither followed by a zero (then it is data) nor by another."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content, self._start = content, start
        data = np.frombuffer(content, np.uint8, offset=start)
        # every pass over the data counts, and so does fresh memory: they are most of what a check costs
        self._marked, followed = _own_scratch.arrays(max(0, len(data) - 1))
        np.equal(data[:-1], 0xFF, out=self._marked)
        np.not_equal(data[1:], 0, out=followed)
        self._marked &= followed

    def from_(self, start: int) -> tuple[int | None, NDArray[np.uint8]]:
        """Return where the data that begin at a byte end, and the restart markers up to there."""
        after = self._marked[start - self._start :]
        first = int(after.argmax()) if len(after) else 0
        if not len(after) or not after[first]:
            return None, _NO_CODES
        if self._content[start + first + 1] in _PASSED:
            return self._beyond_restarts(start)
        return start + first, _NO_CODES

    def _beyond_restarts(self, start: int) -> tuple[int | None, NDArray[np.uint8]]:
        first = int(self._positions.searchsorted(start))
        following = int(self._ends.searchsorted(first))
        if following == len(self._ends):
            return None, self._codes[first:]
        last = int(self._ends[following])
        return int(self._positions[last]), self._codes[first:last]

    @cached_property
    def _found(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        positions = self._marked.nonzero()[0] + self._start
        codes = np.frombuffer(self._content, np.uint8)[positions + 1]
        kept = codes != 0xFF
        return positions[kept], codes[kept]

    @property
    def _positions(self) -> NDArray[np.int64]:
        return self._found[0]

    @property
    def _codes(self) -> NDArray[np.uint8]:
        return self._found[1]

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return ((self._codes < RESTARTS.start) | (self._codes >= RESTARTS.stop)).nonzero()[0]


def _check_restarts(frame: Frame, scan: Scan, restarts: NDArray[np.uint8]) -> None:
    if not frame.is_plain and not scan.restart_interval:
        return
    expected = (frame.num_units(scan.components) - 1) // scan.restart_interval if scan.restart_interval else 0
    if len(restarts) and not np.array_equal(restarts, np.arange(len(restarts)) % 8 + RESTARTS.start):
        raise DamagedImage("damaged", "its restart markers are out of order")
    # some encoders close the last interval, too
    if frame.is_plain and not expected <= len(restarts) <= expected + bool(scan.restart_interval):
        raise DamagedImage("damaged", f"a scan has {len(restarts):,} restart markers instead of {expected:,}")


def _check_amount(frame: Frame, scan: Scan, num_bytes: int) -> None:
    """Compare the data with the least that so many blocks take: a code for each one's mean and one for its end."""
    if not frame.is_plain or frame.marker in PROGRESSIVE:
        return
    units, bits = frame.num_units(scan.components), 0
    for number, tables in zip(scan.components, scan.tables, strict=True):
        component = frame.components[number]
        blocks = component.across * component.down if len(scan.components) > 1 else 1
        bits += blocks * sum(table.shortest if table else _SHORTEST_STANDARD for table in tables)
    if num_bytes * 8 < units * bits:
        raise DamagedImage("truncated", f"{num_bytes:,} bytes of data are too few for its {units:,} units")


def _check_holes(content: bytes, frame: Frame, scan: Scan, end: int) -> None:
    if not frame.is_plain or frame.marker in PROGRESSIVE:
        return
    # zeros are the code of the first symbol; where that is no coefficient, they are an empty block in each component
    if any(table is None or (table.symbols and table.symbols[0] & 15) for _, table in scan.tables):
        hole = content.find(_HOLE, scan.data, end)
        if hole >= 0:
            raise DamagedImage("damaged", f"the data of its pixels are zeros from byte {hole:,} on")


def _check_rest(content: bytes, end: int) -> None:
    """Refuse an end mark inside of the data: the file continues with data of the same kind up to another end mark."""
    assert content[end - 1] == EOI
    if content.startswith(b"\xff\xd8", end):
        return
    rest = content[end:].rstrip(b"\0 \r\n\t")
    if len(rest) >= _LONG_REST and rest.endswith(b"\xff\xd9") and b"\xff\xd8" not in rest and b"\xff\0" in rest:
        raise DamagedImage("damaged", f"an end mark is inside of the data of its pixels (byte {end - 2:,})")
