"""The loader that a training loop iterates over: exact order, any number of ranks and workers, a small state.

Worker w of k makes batches w, w + k, w + 2k, … of its rank, each from the sampler alone; PyTorch's ``DataLoader`` takes
them from the workers in turn, so what a rank sees does not depend on k. The state counts batches that the loop
received, not those fetched ahead, and is the same on all ranks. :class:`StreamLoader` gives tensors; :class:`Loader`
gives the results of two functions of the user's.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from blender.core.errors import BlenderError, StreamError
from blender.core.parent import end_with_parent
from blender.shards.unpack import DamagedSample, StoredSample
from blender.stream.collate import Batch, Collator
from blender.stream.encode import Dropped, EncodedSample, Encoder, encode_sample
from blender.stream.killed_workers import explaining_killed_workers
from blender.stream.lengths import sample_lengths
from blender.stream.opening import OpenMixture
from blender.stream.reader import ReaderSettings, ShardReader
from blender.stream.sampler import START, BatchSampler, PackedBatchSampler, Row, StreamPosition, Tail
from blender.stream.sequence import SampleReference
from blender.stream.shared_buffers import SharedBatch, SharedBuffers
from blender.stream.skip import Outcome, SkipPolicy

Item = TypeVar("Item")
Content = TypeVar("Content")

#: makes an item of a sample and its tags, or says why not
Prepare = Callable[[StoredSample, Mapping[str, str]], Item | Dropped]
#: makes a batch of rows of items; a row may be empty
Combine = Callable[[list[list[Item]]], Any]

#: bytes of a position in a batch: five numbers
_BYTES_PER_POSITION = 40
#: for how many batches shards are fetched ahead, and after how many batches the list of shards is renewed
_BATCHES_AHEAD, _RENEW_EVERY = 64, 16


@dataclass(frozen=True)
class LoaderSettings:
    """How to load."""

    #: rows of a batch, over all ranks
    batch_size: int
    #: of the order
    seed: int = 0
    #: what happens to rows that do not fill a batch at the end of an epoch: ``drop`` or ``pad``
    tail: Tail = "drop"
    #: put several samples into a row of the encoder's ``max_tokens`` positions
    pack: bool = False
    #: consecutive samples that may share rows with each other
    pack_window: int = 256
    #: worker processes; 0 loads in this process
    workers: int = 0
    #: batches that each worker fetches ahead
    prefetch: int = 2
    #: move batches to page-locked memory
    pin_memory: bool = False
    #: of the workers: ``fork``, ``spawn`` or ``forkserver``; None for the system's default
    start_method: str | None = None
    #: more damaged samples in a row than this stop the run
    max_damaged: int = 16
    #: how shards are read
    reader: ReaderSettings = ReaderSettings()


class Loader(IterableDataset[Content], Generic[Item, Content]):
    """Iterates over the batches of a rank, one epoch per iteration, from the position of its state.

    It can also be used where a stateful dataset is expected, as by ``torchdata``'s ``StatefulDataLoader``; its workers
    are its own in any case.

    Args:
        mixture: What to stream.
        sampler: Which samples are in which batch.
        prepare: Called in a worker with each sample and its tags (``blend``: the path of its component).
        combine: Called in a worker with what ``prepare`` returned for a batch; the training loop gets the result.
        settings: How to load.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.
    """

    def __init__(
        self,
        mixture: OpenMixture,
        sampler: BatchSampler,
        prepare: Prepare[Item],
        combine: Combine[Item],
        settings: LoaderSettings,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.rank, self.world = _rank_and_world(rank, world)
        self.sampler = sampler
        #: where the next batch begins
        self.position = START
        self.skip_policy = SkipPolicy(settings.max_damaged)
        rows = partial(_rank_rows, sampler, self.rank, self.world)
        self._batches = _RankBatches(mixture, sampler, rows, prepare, combine, settings.reader)
        self._loader = _data_loader(self._batches, settings)

    @property
    def skipped(self) -> Counter[str]:
        """Samples that could not be used so far, by reason."""
        return self.skip_policy.skipped

    def __len__(self) -> int:
        """Count the batches that are left of the epoch, the same on every rank."""
        return self.sampler.num_batches(self.position)

    def __iter__(self) -> Iterator[Content]:
        """Yield batches to the end of the epoch.

        Raises:
            StreamError: A shard cannot be read, too many samples in a row are damaged, or this is a worker of another
                loader.
            WorkerError: A worker was killed.
        """
        if get_worker_info() is not None:
            raise StreamError(
                "a stream is iterated over in a worker of another loader, where its state would be lost",
                "give that loader num_workers=0, and this one `workers`",
            )
        self._batches.begin(self.position)
        for received in self._received():
            for outcome in received.outcomes:
                self.skip_policy.note(outcome)
            self.position = self.sampler.after(self.position)
            yield _opened(received.batch)

    def _received(self) -> "Iterator[_WorkerBatch]":
        """Yield what workers send, and raise their errors as they were raised there."""
        with explaining_killed_workers():
            for received in self._loader:
                if isinstance(received, _WorkerFailure):
                    raise received.error
                yield received

    def state_dict(self) -> dict[str, Any]:
        """Return the state: JSON, the same on all ranks, valid for any number of ranks, workers and rows of a batch."""
        return self.sampler.state_dict(self.position)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state.

        Raises:
            StreamError: The state is of another stream.
        """
        self.position = self.sampler.load_state_dict(state)


class StreamLoader(Loader[EncodedSample, Batch]):
    """Iterates over batches of tensors (:class:`Batch`).

    Args:
        mixture: What to stream.
        encoder: How samples are encoded.
        collator: How batches are made.
        settings: How to load.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.

    Raises:
        StreamError: An epoch does not fill a batch, or lengths cannot be counted because a shard cannot be read.
    """

    def __init__(
        self,
        mixture: OpenMixture,
        encoder: Encoder,
        collator: Collator,
        settings: LoaderSettings,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        sampler = _make_sampler(mixture, encoder, settings)
        _, num_ranks = _rank_and_world(rank, world)
        num_bytes = _buffer_bytes(encoder, -(-settings.batch_size // num_ranks))
        buffers = SharedBuffers(num_bytes, settings.workers, settings.prefetch + 1)
        combine = partial(_combine, collator, buffers)
        super().__init__(mixture, sampler, partial(_prepare, encoder), combine, settings, rank, world)


def _prepare(encoder: Encoder, stored: StoredSample, tags: Mapping[str, str]) -> EncodedSample | Dropped:
    return encode_sample(stored, encoder, tags)


def _combine(collator: Collator, buffers: SharedBuffers, rows: list[list[EncodedSample]]) -> Batch | SharedBatch[Batch]:
    return collator.send(rows, buffers) if buffers.are_used else collator(rows)


def _buffer_bytes(encoder: Encoder, num_rows: int) -> int:
    """Estimate the most bytes of a batch; a larger one is sent without a shared buffer."""
    length = encoder.max_tokens or 8192
    images = -(-length // encoder.text.image_positions)
    return num_rows * (length * _BYTES_PER_POSITION + images * prod(encoder.pixels.shape)) + 4096


def _rank_and_world(rank: int | None, world: int | None) -> tuple[int, int]:
    if rank is not None and world is not None:
        return rank, world
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _rank_rows(sampler: BatchSampler, rank: int, world: int, position: StreamPosition) -> list[Row]:
    return sampler.rows(position, rank, world)


def _make_sampler(mixture: OpenMixture, encoder: Encoder, settings: LoaderSettings) -> BatchSampler:
    if not settings.pack:
        return BatchSampler(mixture.mixture, settings.seed, settings.batch_size, settings.tail)
    assert encoder.max_tokens is not None, "rows are packed up to the encoder's max_tokens"
    lengths = {
        path: sample_lengths(blend, mixture.split, encoder, settings=settings.reader).astype(np.int64)
        for path, blend in mixture.blends.items()
    }
    return PackedBatchSampler(
        mixture.mixture,
        settings.seed,
        settings.batch_size,
        lengths,
        encoder.max_tokens,
        settings.pack_window,
        settings.tail,
    )


@dataclass(frozen=True)
class _WorkerBatch:
    """What a worker sends: a batch, and the outcome of each of its samples."""

    batch: Any
    outcomes: list[Outcome]

    def pin_memory(self) -> "_WorkerBatch":
        """Pin the batch, if it can be; called by a DataLoader that pins."""
        batch = _opened(self.batch)
        pin = getattr(batch, "pin_memory", None)
        return _WorkerBatch(pin() if pin else batch, self.outcomes)


@dataclass(frozen=True)
class _WorkerFailure:
    """What a worker sends when it cannot continue: an error, to be raised in the process of the loop."""

    error: BlenderError


def _opened(batch: Any) -> Any:
    return batch.open() if isinstance(batch, SharedBatch) else batch


def _data_loader(
    batches: "_RankBatches[Item]", settings: LoaderSettings
) -> "DataLoader[_WorkerBatch | _WorkerFailure]":
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=settings.workers,
        pin_memory=settings.pin_memory,
        persistent_workers=settings.workers > 0,
        prefetch_factor=settings.prefetch if settings.workers else None,
        worker_init_fn=_begin_worker if settings.workers else None,
        multiprocessing_context=settings.start_method if settings.workers else None,
    )


def _begin_worker(number: int) -> None:  # noqa: ARG001
    end_with_parent()


class _RankBatches(IterableDataset[_WorkerBatch | _WorkerFailure], Generic[Item]):
    """A rank's batches from a position to the end of its epoch; in a worker, that worker's part of them."""

    def __init__(
        self,
        mixture: OpenMixture,
        sampler: BatchSampler,
        rows: Callable[[StreamPosition], list[Row]],
        prepare: Prepare[Item],
        combine: Combine[Item],
        reading: ReaderSettings,
    ) -> None:
        self._sampler, self._rows, self._prepare, self._combine = sampler, rows, prepare, combine
        self._split = mixture.split
        self._tags = [{"blend": path} for path in mixture.blends]
        self._readers = [ShardReader(blend, reading) for blend in mixture.blends.values()]
        self._is_remote = any(blend.is_remote for blend in mixture.blends.values())
        # in shared memory, so that workers that stay alive learn where the next epoch begins
        self._start = _shared(torch.zeros(2, dtype=torch.int64))

    def begin(self, position: StreamPosition) -> None:
        """Set where the next iteration begins."""
        self._start.copy_(torch.tensor(position))

    def __iter__(self) -> Iterator[_WorkerBatch | _WorkerFailure]:
        try:
            yield from self._each()
        except BlenderError as error:
            if get_worker_info() is None:
                raise
            yield _WorkerFailure(error)

    def _each(self) -> Iterator[_WorkerBatch]:
        start = StreamPosition(*self._start.tolist())
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for number, batch in enumerate(range(first, self._sampler.num_batches(start), step)):
            position = self._sampler.after(start, batch)
            if self._is_remote and number % _RENEW_EVERY == 0:
                self._prefetch(position)
            yield self._make(self._rows(position))

    def _prefetch(self, position: StreamPosition) -> None:
        upcoming: list[dict[int, None]] = [{} for _ in self._readers]
        for reference in self._sampler.upcoming(position, _BATCHES_AHEAD):
            upcoming[reference.component][reference.shard] = None
        for reader, shards in zip(self._readers, upcoming, strict=True):
            reader.prefetch(self._split, list(shards))

    def _make(self, rows: list[Row]) -> _WorkerBatch:
        outcomes: list[Outcome] = []
        items: list[list[Item]] = []
        for row in rows:
            items.append([])
            for reference in row:
                item = self._item(reference)
                if isinstance(item, (Dropped, DamagedSample)):
                    outcomes.append(item)
                else:
                    outcomes.append(None)
                    items[-1].append(item)
        return _WorkerBatch(self._combine(items), outcomes)

    def _item(self, reference: SampleReference) -> Item | Dropped | DamagedSample:
        component, shard, row = reference
        stored = self._readers[component].try_read(self._split, shard, row)
        return stored if isinstance(stored, DamagedSample) else self._prepare(stored, self._tags[component])


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor
