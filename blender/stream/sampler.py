"""The batch sampler: which samples are in which row of which batch, for every rank.

All samplers cut the same sequence (:mod:`blender.stream.sequence`) into rows, and the rows into batches. Row n of an
epoch belongs to batch n // batch size, and a rank gets a contiguous part of each batch: consecutive samples are of all
components by their shares, so each rank's part is, too. With every W-th sample instead, one of two ranks could get the
samples of one of two components alone.

Batches depend on the mixture, the seed and the batch size, not on ranks, workers or interruptions::

    sampler = BatchSampler(mixture, seed=0, batch_size=64)
    position = sampler.load_state_dict(state) if state else START
    while training:
        rows = sampler.rows(position, rank, world)   # every batch, or every k-th with sampler.after(position, k)
        position = sampler.after(position)
    state = sampler.state_dict(position)
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from blender.core.errors import StreamError
from blender.stream.mixture import Mixture
from blender.stream.packing import PackedRows, pack_rows
from blender.stream.sequence import SampleReference, SampleSequence

Ints = npt.NDArray[np.int64]

#: windows that are packed at once
_WINDOWS_AT_ONCE = 1024
#: epochs whose packed rows are kept: the one that ends, and the next one
_CACHED_EPOCHS = 2

Tail = Literal["drop", "pad"]

#: the samples of a row; none for a row of padding
Row = list[SampleReference]


class StreamPosition(NamedTuple):
    """Where a batch begins: all the state that a stream has."""

    epoch: int = 0
    #: rows of the epoch, over all ranks, that come before; a row is one sample, unless rows are packed
    row: int = 0


START = StreamPosition()


class BatchSampler:
    """Batches of one sample a row.

    Args:
        mixture: What to stream.
        seed: The seed of all orders.
        batch_size: Rows in a batch, over all ranks.
        tail: What happens to the rows that do not fill a batch at the end of an epoch: ``drop`` leaves them out (of
            this epoch; the next one has its own order), ``pad`` gives a last batch with empty rows.

    Raises:
        StreamError: The batch size is below 1, or an epoch does not fill a batch.
    """

    #: what a row is, for messages
    _unit = "samples"

    def __init__(self, mixture: Mixture, seed: int, batch_size: int, tail: Tail = "drop") -> None:
        self.sequence = SampleSequence(mixture, seed)
        self.batch_size, self.tail = batch_size, tail
        if batch_size < 1:
            raise StreamError(f"the batch size is {batch_size}", "it must be at least 1")
        if not self.num_batches():
            raise StreamError(
                f"an epoch has {self.num_rows(0)} {self._unit}, which do not fill a batch of {batch_size}",
                "make the batch smaller, or the tail `pad`",
            )

    def num_rows(self, epoch: int) -> int:
        """Count the rows of an epoch, those of the tail included."""
        del epoch
        return len(self.sequence)

    def num_batches(self, position: StreamPosition = START) -> int:
        """Count the batches from a position to the end of its epoch, the same for every rank."""
        left = self.num_rows(position.epoch) - position.row
        return left // self.batch_size if self.tail == "drop" else -(-left // self.batch_size)

    def after(self, position: StreamPosition, num_batches: int = 1) -> StreamPosition:
        """Return where the batch begins that comes ``num_batches`` after the one at a position.

        The end of an epoch is the beginning of the next one.
        """
        while num_batches >= (left := self.num_batches(position)):
            position, num_batches = StreamPosition(position.epoch + 1, 0), num_batches - left
        return StreamPosition(position.epoch, position.row + num_batches * self.batch_size)

    def rows(self, position: StreamPosition, rank: int, world: int) -> list[Row]:
        """Return a rank's rows of the batch at a position.

        Args:
            position: Where the batch begins.
            rank: Number of the rank, from 0.
            world: Number of ranks.

        Returns:
            ceil(batch size / ``world``) rows, the same number for every rank and batch. Rows without samples come last;
            there are some where the batch size is no multiple of ``world``, and in a padded last batch.
        """
        filled = min(self.batch_size, self.num_rows(position.epoch) - position.row)
        start, stop = (position.row + part * filled // world for part in (rank, rank + 1))
        rows = self._slice(position.epoch, start, stop)
        return rows + [[] for _ in range(-(-self.batch_size // world) - len(rows))]

    def upcoming(self, position: StreamPosition, num_batches: int) -> list[SampleReference]:
        """Return the samples of all ranks in the next batches of the epoch, in order."""
        stop = min(position.row + num_batches * self.batch_size, self.num_rows(position.epoch))
        return [reference for row in self._slice(position.epoch, position.row, stop) for reference in row]

    def state_dict(self, position: StreamPosition) -> dict[str, Any]:
        """Return a position for JSON; it is valid for any batch size and number of ranks."""
        return self.sequence.state_dict(*position)

    def load_state_dict(self, state: dict[str, Any]) -> StreamPosition:
        """Return the position of a state.

        Raises:
            StreamError: The state is of another stream.
        """
        if "packing" in state:
            raise StreamError("the stream state was made with packing, and this stream packs nothing", "pack again")
        return self.after(StreamPosition(*self.sequence.load_state_dict(state)), 0)

    def _slice(self, epoch: int, start: int, stop: int) -> list[Row]:
        """Return the rows of an epoch from one to another."""
        return [[SampleReference(*fields)] for fields in self.sequence.slice(epoch, start, stop).tolist()]


class PackedBatchSampler(BatchSampler):
    """Batches of packed rows: as many samples in a row as fit.

    The rows of an epoch are planned as a whole, from the lengths of its samples, before anything is read.

    Args:
        mixture: What to stream.
        seed: The seed of all orders.
        batch_size: Rows in a batch, over all ranks.
        lengths: (S,) positions of each sample of each component, by its path, in the order of the split; 0 for a sample
            that will be dropped.
        max_tokens: Positions of a row.
        window: Consecutive samples that may share rows with each other.
        tail: As for :class:`BatchSampler`.

    Raises:
        StreamError: As for :class:`BatchSampler`.
    """

    _unit = "packed rows"

    def __init__(
        self,
        mixture: Mixture,
        seed: int,
        batch_size: int,
        lengths: Mapping[str, Ints],
        max_tokens: int,
        window: int = 256,
        tail: Tail = "drop",
    ) -> None:
        self._max_tokens, self._window = max_tokens, window
        self._lengths = [lengths[path] for path in mixture.components]
        self._first_rows = [np.cumsum([0, *component.shard_sizes]) for component in mixture.components.values()]
        self._epochs: LRUCache[int, PackedRows] = LRUCache(_CACHED_EPOCHS)
        super().__init__(mixture, seed, batch_size, tail)

    def num_rows(self, epoch: int) -> int:
        """Count the rows of an epoch, those of the tail included."""
        return len(self._packed(epoch))

    def state_dict(self, position: StreamPosition) -> dict[str, Any]:
        """Return a position for JSON; it is valid for any batch size and number of ranks."""
        state = self.sequence.state_dict(position.epoch, 0)
        return {**state, "packing": self._packing, "rows": position.row}

    def load_state_dict(self, state: dict[str, Any]) -> StreamPosition:
        """Return the position of a state.

        Raises:
            StreamError: The state is of another stream.
        """
        if state.get("packing") != self._packing:
            raise StreamError(
                "the stream state was made with another packing: other lengths, max_tokens or window, or none",
                "continue with the tokenizer, template and packing that it was made with",
            )
        sequence_state = {key: value for key, value in state.items() if key not in ("packing", "rows")}
        epoch, _ = self.sequence.load_state_dict(sequence_state)
        return self.after(StreamPosition(epoch, state["rows"]), 0)

    @cached_property
    def _packing(self) -> str:
        digest = hashlib.sha256(f"{self._max_tokens} {self._window}".encode())
        for lengths in self._lengths:
            digest.update(np.ascontiguousarray(lengths, dtype="<i4").tobytes())
        return digest.hexdigest()

    def _slice(self, epoch: int, start: int, stop: int) -> list[Row]:
        packed = self._packed(epoch)
        positions = packed.order[packed.starts[start] : packed.starts[stop]].astype(np.int64)
        if not len(positions):
            return []
        low, high = int(positions.min()), int(positions.max()) + 1
        references = self.sequence.slice(epoch, low, high)[positions - low].tolist()
        samples = iter([SampleReference(*fields) for fields in references])
        return [list(islice(samples, int(count))) for count in np.diff(packed.starts[start : stop + 1])]

    def _packed(self, epoch: int) -> PackedRows:
        packed: PackedRows | None = self._epochs.get(epoch)
        if packed is None:
            packed = self._epochs[epoch] = self._pack(epoch)
        return packed

    def _pack(self, epoch: int) -> PackedRows:
        """Pack an epoch, some windows at a time, as they do not depend on each other."""
        size = len(self.sequence)
        order: npt.NDArray[Any] = np.empty(size, np.int32 if size < 1 << 31 else np.int64)
        starts = [np.zeros(1, np.int64)]
        for first in range(0, size, self._window * _WINDOWS_AT_ONCE):
            references = self.sequence.slice(epoch, first, min(size, first + self._window * _WINDOWS_AT_ONCE))
            # a sample that will be dropped has length 0; it is packed as one position and gives nothing
            packed = pack_rows(np.maximum(self._lengths_of(references), 1), self._max_tokens, self._window)
            order[first : first + len(packed.order)] = packed.order + first
            starts.append(packed.starts[1:] + first)
        return PackedRows(order, np.concatenate(starts))

    def _lengths_of(self, references: Ints) -> Ints:
        components, shards, rows = references.T
        lengths = np.empty(len(references), np.int64)
        for component, known in enumerate(self._lengths):
            own = components == component
            lengths[own] = known[self._first_rows[component][shards[own]] + rows[own]]
        return lengths
