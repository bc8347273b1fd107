"""Shared memory through which batches come from worker processes.

Usually, what a worker sends goes through a pipe, or through shared memory that is allocated anew for each tensor. That
costs a tenth of decoding, and a third of reading. Here every worker has a few buffers and fills them in turn. A worker
is never more than ``prefetch`` batches ahead of what has been received, so with one buffer more than that none is
filled again before its contents have been copied out; each buffer holds the number of its batch, to verify that.
Memory that is never written takes no room.
"""

from collections.abc import Callable, Iterable
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

#: where a piece begins and ends in its buffer
Span = tuple[int, int]
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
    spans: list[Span]
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
        #: of this worker: batches that it sent, and the end of what is written of the next one
        self._num_sent, self._end = 0, _HEADER
        self._buffer: Bytes | None = None
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

    def fits(self, sizes: Iterable[int]) -> bool:
        """Return whether pieces of so many bytes fit into the buffer that is being filled, beside what is in it."""
        return self._end + sum(map(_aligned, sizes)) <= self._shape[2]

    def write(self, *parts: Bytes) -> Span:
        """Write a piece of the next batch, given in parts; it must fit."""
        if self._buffer is None:
            self._buffer = self._memory[_worker_number(), self._num_sent % self._shape[1]]
            self._number_of(self._buffer)[0] = _UNFINISHED
        start = end = self._end
        for part in parts:
            self._buffer[end : end + len(part)] = part
            end += len(part)
        self._end = _aligned(end)
        return start, end

    def send(self, spans: list[Span], unpack: Unpack[Content]) -> SharedBatch[Content]:
        """End the batch; the next piece is written to the next buffer.

        Args:
            spans: Where its pieces are.
            unpack: Makes the batch of the pieces, in the process that receives it.
        """
        worker, number = _worker_number(), self._num_sent
        self._number_of(self._memory[worker, number % self._shape[1]])[0] = number
        self._num_sent, self._end, self._buffer = number + 1, _HEADER, None
        return SharedBatch(self._id, worker, number, spans, unpack)

    def receive(self, batch: SharedBatch[Content]) -> Content:
        """Copy a batch out of its buffer."""
        buffer = self._memory[batch.worker, batch.number % self._shape[1]]
        content = batch.unpack([buffer[start:end] for start, end in batch.spans])
        assert int(self._number_of(buffer)[0]) == batch.number, "a worker was farther ahead than it is ever asked to be"
        return content

    def _number_of(self, buffer: Bytes) -> NDArray[np.int64]:
        return buffer[:8].view(np.int64)


def _worker_number() -> int:
    info = get_worker_info()
    assert info is not None, "only workers fill buffers"
    return int(info.id)


def _aligned(num_bytes: int) -> int:
    return num_bytes + -num_bytes % _ALIGNMENT
