"""Shared memory through which batches come from worker processes.

What crosses from a worker to the training process usually goes through a pipe, or through shared memory that is made
anew for each batch and tensor; where pages are dear that costs a tenth of decoding, and several times as much as
reading. Here every worker has a few *slots* and fills them in turn. A worker is never more than ``prefetch`` batches
ahead of what has been received, so with one slot more than that none is filled again before its bytes have been taken
out; each carries the number of its batch, to be sure of it. Memory that is never written takes no room.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

Content = TypeVar("Content")
Bytes = NDArray[np.uint8]

#: where in a slot something lies: first byte, and the one after the last
Span = tuple[int, int]
#: makes a batch of what lies in a slot, taking copies, and of what was sent beside it
Unpack = Callable[[Bytes, Any], Content]

_ALIGNED = 64
#: stands for the batch in a slot that is being filled
_UNFINISHED = -1
_ids = count()
#: the slots of this process, for what arrives from its workers
_slots: "WeakValueDictionary[int, Slots]" = WeakValueDictionary()


@dataclass(frozen=True)
class Sent(Generic[Content]):
    """A batch in a slot, on its way."""

    slots: int
    worker: int
    #: how many batches this worker sent before
    number: int
    unpack: Unpack[Content]
    beside: Any

    def open(self) -> Content:
        """Take the batch out of its slot, in the process that made the slots."""
        return _slots[self.slots].take(self)


class Slots:
    """Slots of all workers of a loader.

    Args:
        num_bytes: Size of a slot.
        workers: Number of workers; with 0 there are no slots.
        per_worker: Slots of each: one more than the batches that may be asked of it ahead.
    """

    def __init__(self, num_bytes: int, workers: int, per_worker: int) -> None:
        num_bytes = _aligned(num_bytes)
        self._content = _shared(workers * per_worker * num_bytes).view(workers, per_worker, num_bytes)
        #: the batch in each slot
        self._numbers = _shared(workers * per_worker * 8).view(torch.int64).view(workers, per_worker)
        self._id = next(_ids)
        #: of this worker: batches that it sent, and bytes of the next one
        self._num_sent = self._used = 0
        self._filled: Bytes | None = None
        _slots[self._id] = self

    @property
    def are_used(self) -> bool:
        """Whether this is a worker process, which has slots to fill."""
        return get_worker_info() is not None

    def has_room(self, sizes: Sequence[int]) -> bool:
        """Tell whether so many bytes more, each to be written with one call, fit into the slot that is filled now."""
        return self._used + sum(_aligned(size) for size in sizes) <= self._content.shape[2]

    def write(self, *pieces: Bytes) -> Span:
        """Put bytes, piece after piece, into the slot that is filled now."""
        if self._filled is None:
            self._filled = self._begin()
        start = end = self._used
        for piece in pieces:
            self._filled[end : end + len(piece)] = piece
            end += len(piece)
        self._used = _aligned(end)
        return start, end

    def send(self, unpack: Unpack[Content], beside: Any) -> Sent[Content]:
        """End the batch, and say how it is taken out."""
        sent = Sent(self._id, self._worker(), self._num_sent, unpack, beside)
        self._note(self._num_sent)
        self._num_sent, self._used, self._filled = self._num_sent + 1, 0, None
        return sent

    def take(self, sent: Sent[Content]) -> Content:
        """Take a batch out of its slot."""
        place = sent.worker, sent.number % self._numbers.shape[1]
        taken = sent.unpack(self._content[place].numpy(), sent.beside)
        assert int(self._numbers[place]) == sent.number, "a worker was farther ahead than it is ever asked to be"
        return taken

    def _worker(self) -> int:
        worker = get_worker_info()
        assert worker is not None, "only workers fill slots"
        return int(worker.id)

    def _begin(self) -> Bytes:
        self._note(_UNFINISHED)
        slot: Bytes = self._content[self._worker(), self._num_sent % self._content.shape[1]].numpy()
        return slot

    def _note(self, number: int) -> None:
        self._numbers[self._worker(), self._num_sent % self._numbers.shape[1]] = number


def _aligned(num_bytes: int) -> int:
    return num_bytes + -num_bytes % _ALIGNED


def _shared(num_bytes: int) -> torch.Tensor:
    """Make shared memory that nothing was written to, as PyTorch's own collating makes it."""
    storage = torch.UntypedStorage._new_shared(max(1, num_bytes))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)[:num_bytes]
