"""Shared memory through which batches come from worker processes.

Usually, what a worker sends goes through a pipe, or through shared memory that is allocated anew for each tensor. That
costs a tenth of decoding, and a third of reading. Here every worker has a few buffers and fills them in turn. A worker
is never more than ``prefetch`` batches ahead of what has been received, so with one buffer more than that none is
filled again before its contents have been copied out; each buffer holds the number of its batch, to verify that.
Memory that is never written takes no room.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from multiprocessing.heap import Arena
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

Content = TypeVar("Content")
Bytes = NDArray[np.uint8]

#: makes a batch of its pieces, copying what it keeps of them
Unpack = Callable[[list[Bytes]], Content]

_ALIGNMENT = 64
#: the number of the batch comes before its pieces
_HEADER = _ALIGNMENT
#: number of a batch that is being written
_UNFINISHED = -1
_ids = count()
#: the buffers of this process, for batches that arrive from its workers
_all_buffers: "WeakValueDictionary[int, SharedBuffers]" = WeakValueDictionary()


@dataclass(frozen=True)
class SharedBatch(Generic[Content]):
    """A batch in a shared buffer, on its way from a worker."""

    #: number of the :class:`SharedBuffers` in the process that made them
    buffers: int
    worker: int
    #: how many batches this worker sent before
    number: int
    #: where each piece begins and ends in the buffer
    spans: list[tuple[int, int]]
    unpack: Unpack[Content]

    def open(self) -> Content:
        """Copy the batch out of its buffer, in the process that made the buffers."""
        return _all_buffers[self.buffers].receive(self)


class SharedBuffers:
    """The buffers of all workers of a loader.

    Args:
        num_bytes: Most bytes of a batch.
        workers: Number of workers; with 0 there are no buffers.
        per_worker: Buffers of each worker: one more than the batches that it may prepare ahead.
    """

    def __init__(self, num_bytes: int, workers: int, per_worker: int) -> None:
        shape = workers, per_worker, _HEADER + _aligned(num_bytes)
        # travels to spawned workers, unlike an anonymous mmap, and leaves no file behind after a kill
        self._arena, self._shape = Arena(max(1, prod(shape))), shape
        self._id = next(_ids)
        #: of this worker
        self._num_sent = 0
        self._view_memory()
        _all_buffers[self._id] = self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the view of the memory, which would be pickled as a copy."""
        return {name: value for name, value in vars(self).items() if name != "_memory"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """View the same memory in a spawned worker."""
        vars(self).update(state)
        self._view_memory()

    def _view_memory(self) -> None:
        memory = np.frombuffer(self._arena.buffer, np.uint8)
        self._memory = memory[: prod(self._shape)].reshape(self._shape)

    @property
    def are_used(self) -> bool:
        """Whether this is a worker process, which has buffers to fill."""
        return get_worker_info() is not None

    def send(self, pieces: Sequence[Sequence[Bytes]], unpack: Unpack[Content]) -> SharedBatch[Content] | None:
        """Write a batch into the next buffer of this worker.

        Args:
            pieces: The batch in pieces, each given as parts that are written one after the other.
            unpack: Makes the batch of the pieces, in the process that receives it.

        Returns:
            What is sent instead of the batch; None if it is too large for a buffer.
        """
        sizes = [sum(len(part) for part in parts) for parts in pieces]
        if sum(map(_aligned, sizes)) > self._shape[2] - _HEADER:
            return None
        info = get_worker_info()
        assert info is not None, "only workers fill buffers"
        worker, number = int(info.id), self._num_sent
        buffer = self._memory[worker, number % self._shape[1]]
        self._number_of(buffer)[0] = _UNFINISHED
        spans, start = [], _HEADER
        for parts, size in zip(pieces, sizes, strict=True):
            np.concatenate(parts, out=buffer[start : start + size])
            spans.append((start, start + size))
            start += _aligned(size)
        self._number_of(buffer)[0] = number
        self._num_sent += 1
        return SharedBatch(self._id, worker, number, spans, unpack)

    def receive(self, batch: SharedBatch[Content]) -> Content:
        """Copy a batch out of its buffer."""
        buffer = self._memory[batch.worker, batch.number % self._shape[1]]
        content = batch.unpack([buffer[start:end] for start, end in batch.spans])
        assert int(self._number_of(buffer)[0]) == batch.number, "a worker was farther ahead than it is ever asked to be"
        return content

    def _number_of(self, buffer: Bytes) -> NDArray[np.int64]:
        return buffer[:8].view(np.int64)


def _aligned(num_bytes: int) -> int:
    return num_bytes + -num_bytes % _ALIGNMENT
