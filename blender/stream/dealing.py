"""Which samples make up each row of each batch: one sample a row, or several, packed.

Both deal out the same sequence of the plan. Packed rows are planned over the whole epoch from the lengths of its
samples, in windows that follow each other, before anything is read; so they do not depend on ranks, workers or
interruptions either. A position counts samples in the one case and rows in the other.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from blender.core.errors import StreamError
from blender.stream.collate import PackedRows, pack_rows
from blender.stream.mixture import Node
from blender.stream.plan import START, Columns, Draw, Point, StreamPlan, Tail

Ints = npt.NDArray[np.int64]

#: windows that are packed at once
_WINDOWS_AT_ONCE = 1024

#: the samples of a row; none for a row that stays empty
Row = list[Draw]


class Deal(Protocol):
    """Batches of rows, for every rank."""

    def num_batches(self, point: Point = START) -> int:
        """Count the batches from a point to the end of its epoch, the same for every rank."""

    def after(self, point: Point, num_batches: int = 1) -> Point:
        """Return where the batch begins that comes so many batches after the one at a point."""

    def rows(self, point: Point, rank: int, world: int) -> list[Row]:
        """Return a rank's rows of the batch at a point; as many for every rank and batch."""

    def upcoming(self, point: Point, num_batches: int) -> list[Draw]:
        """Return the samples of all ranks in the next batches of the epoch, in order."""

    def state_dict(self, point: Point) -> dict[str, Any]:
        """Write down a point, for JSON."""

    def load_state_dict(self, state: dict[str, Any]) -> Point:
        """Read a point that was written down, whatever the batch size and the world size were."""


class SingleDeal:
    """One sample a row."""

    def __init__(self, root: Node, seed: int, batch_size: int, tail: Tail = "drop") -> None:
        self._plan = StreamPlan(root, seed, batch_size, tail)
        self.num_batches = self._plan.num_batches
        self.after = self._plan.after
        self.state_dict = self._plan.state_dict

    def rows(self, point: Point, rank: int, world: int) -> list[Row]:
        """Return a rank's rows of the batch at a point."""
        return [[draw] if draw else [] for draw in self._plan.rank_slice(point, rank, world)]

    def upcoming(self, point: Point, num_batches: int) -> list[Draw]:
        """Return the samples of all ranks in the next batches of the epoch."""
        stop = min(point.position + num_batches * self._plan.batch_size, self._plan.num_samples)
        return self._plan.draws(point.epoch, point.position, stop)

    def load_state_dict(self, state: dict[str, Any]) -> Point:
        """Read a point; see :class:`Deal`.

        Raises:
            StreamError: The state is of another stream.
        """
        if "packing" in state:
            raise StreamError("the stream state was made with packing, and this stream packs nothing", "pack again")
        return self._plan.load_state_dict(state)


class PackedDeal:
    """Several samples a row, as many as fit.

    Args:
        root: What to stream.
        seed: The seed of all orders.
        batch_size: Rows in a batch, over all ranks.
        lengths: (S,) positions of each sample of each leaf, by its path, in the order of the split.
        max_tokens: Positions of a row.
        window: Samples that may share rows with each other.
        tail: As for :class:`StreamPlan`, for rows.
    """

    def __init__(
        self,
        root: Node,
        seed: int,
        batch_size: int,
        lengths: Mapping[str, Ints],
        max_tokens: int,
        window: int = 256,
        tail: Tail = "drop",
    ) -> None:
        self._plan = StreamPlan(root, seed, 1)
        self._batch_size, self._tail = batch_size, tail
        self._max_tokens, self._window = max_tokens, window
        places = self._plan.mixture.places
        self._lengths = [lengths[place.path] for place in places]
        self._first_rows = [np.cumsum([0, *place.leaf.shard_sizes]) for place in places]
        self._epochs: dict[int, PackedRows] = {}
        if not self.num_batches():
            raise StreamError(
                f"an epoch has {len(self._packed(0))} packed rows, which do not fill a batch of {batch_size}",
                "make the batch smaller, or the tail `pad`",
            )

    def num_batches(self, point: Point = START) -> int:
        """Count the batches from a point to the end of its epoch."""
        left = len(self._packed(point.epoch)) - point.position
        return left // self._batch_size if self._tail == "drop" else -(-left // self._batch_size)

    def after(self, point: Point, num_batches: int = 1) -> Point:
        """Return where the batch begins that comes so many batches after the one at a point."""
        while num_batches >= (left := self.num_batches(point)):
            point, num_batches = Point(point.epoch + 1, 0), num_batches - left
        return Point(point.epoch, point.position + num_batches * self._batch_size)

    def rows(self, point: Point, rank: int, world: int) -> list[Row]:
        """Return a rank's rows of the batch at a point."""
        filled = min(self._batch_size, len(self._packed(point.epoch)) - point.position)
        start, stop = (point.position + turn * filled // world for turn in (rank, rank + 1))
        num_slots = -(-self._batch_size // world)
        dealt = self._deal(point.epoch, start, stop)
        return dealt + [[] for _ in range(num_slots - len(dealt))]

    def upcoming(self, point: Point, num_batches: int) -> list[Draw]:
        """Return the samples of all ranks in the next batches of the epoch."""
        stop = min(point.position + num_batches * self._batch_size, len(self._packed(point.epoch)))
        return [draw for row in self._deal(point.epoch, point.position, stop) for draw in row]

    def state_dict(self, point: Point) -> dict[str, Any]:
        """Write down a point, for JSON."""
        return {**self._plan.state_dict(Point(point.epoch, 0)), "packing": self._packing, "rows": point.position}

    def load_state_dict(self, state: dict[str, Any]) -> Point:
        """Read a point; see :class:`Deal`.

        Raises:
            StreamError: The state is of another stream.
        """
        if state.get("packing") != self._packing:
            raise StreamError(
                "the stream state was made with another packing: other lengths, max_tokens or window, or none",
                "continue with the tokenizer, template and packing that it was made with",
            )
        inner = {key: value for key, value in state.items() if key not in ("packing", "rows")}
        point = Point(self._plan.load_state_dict(inner).epoch, state["rows"])
        return point if self.num_batches(point) > 0 else self.after(point, 0)

    @cached_property
    def _packing(self) -> str:
        digest = hashlib.sha256(f"{self._max_tokens} {self._window}".encode())
        for lengths in self._lengths:
            digest.update(np.ascontiguousarray(lengths, dtype="<i4").tobytes())
        return digest.hexdigest()

    def _deal(self, epoch: int, start: int, stop: int) -> list[Row]:
        """Return the rows of an epoch from one to another."""
        packed = self._packed(epoch)
        places = packed.order[packed.starts[start] : packed.starts[stop]].astype(np.int64)
        if not len(places):
            return []
        low, high = int(places.min()), int(places.max()) + 1
        draws = iter(self._plan.columns(epoch, low, high).draws(places))
        return [list(islice(draws, int(count))) for count in np.diff(packed.starts[start : stop + 1])]

    def _packed(self, epoch: int) -> PackedRows:
        """Pack an epoch; the latest two are kept."""
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                del self._epochs[next(iter(self._epochs))]
            self._epochs[epoch] = self._pack(epoch)
        return self._epochs[epoch]

    def _pack(self, epoch: int) -> PackedRows:
        """Pack an epoch, some windows at a time: they do not depend on each other."""
        size = self._plan.num_samples
        order: npt.NDArray[Any] = np.empty(size, np.int32 if size < 1 << 31 else np.int64)
        starts = [np.zeros(1, np.int64)]
        for first in range(0, size, self._window * _WINDOWS_AT_ONCE):
            columns = self._plan.columns(epoch, first, min(size, first + self._window * _WINDOWS_AT_ONCE))
            # what cannot be encoded has length 0; it takes a place and gives nothing
            packed = pack_rows(np.maximum(self._lengths_of(columns), 1), self._max_tokens, self._window)
            order[first : first + len(packed.order)] = packed.order + first
            starts.append(packed.starts[1:] + first)
        return PackedRows(order, np.concatenate(starts))

    def _lengths_of(self, columns: Columns) -> Ints:
        lengths = np.empty(len(columns.leaves), np.int64)
        for leaf, known in enumerate(self._lengths):
            mine = columns.leaves == leaf
            lengths[mine] = known[self._first_rows[leaf][columns.shards[mine]] + columns.rows[mine]]
        return lengths
