"""The loader that a training loop iterates over: exact order, any number of ranks and workers, a state of one point.

Worker w of k makes batches w, w + k, w + 2k, … of its rank, each from the plan alone; PyTorch's ``DataLoader`` takes
them from the workers in turn, so what a rank sees does not depend on k. The state counts batches that were handed out,
not those fetched ahead, and is the same on all ranks. :class:`StreamLoader` gives tensors; :class:`Loader` gives what
two functions make of the samples.
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
from blender.shards.read import StoredSample
from blender.stream.collate import Batch, Collator
from blender.stream.damage import DamagePolicy
from blender.stream.dealing import Deal, PackedDeal, Row, SingleDeal
from blender.stream.encode import Dropped, Encoded, Encoder, encode_sample
from blender.stream.killed import killed_workers_told
from blender.stream.lengths import sample_lengths
from blender.stream.mixture import mix
from blender.stream.plan import START, Draw, Point, Tail
from blender.stream.reader import ReaderSettings, ShardReader
from blender.stream.slots import Sent, Slots
from blender.stream.source import Source
from blender.stream.unpack import DamagedSample

Item = TypeVar("Item")
Content = TypeVar("Content")

#: makes something of a sample, which is given with its tags, or says why not
Prepare = Callable[[StoredSample, Mapping[str, str]], Item | Dropped]
#: makes a batch of rows of such things; a row may be empty
Combine = Callable[[list[list[Item]]], Any]

#: what became of a sample; None: it is used
_Outcome = DamagedSample | Dropped | None

#: of the five numbers at each position of a row
_BYTES_OF_POSITION = 40
#: batches whose shards are fetched ahead, and after how many the list is made anew
_AHEAD, _LOOK_EVERY = 64, 16


@dataclass(frozen=True)
class LoaderSettings:
    """How to load."""

    #: rows of a batch, over all ranks
    batch_size: int
    seed: int = 0
    #: what becomes of an epoch's end: ``drop`` or ``pad``
    tail: Tail = "drop"
    #: put several samples into a row of the encoder's ``max_tokens`` positions
    pack: bool = False
    #: samples that may share rows with each other
    pack_window: int = 256
    #: worker processes; 0 loads in this one
    workers: int = 0
    #: batches that each worker fetches ahead
    prefetch: int = 2
    pin_memory: bool = False
    #: ``fork``, ``spawn`` or ``forkserver``; None for the system's own
    start_method: str | None = None
    #: more damaged samples in a row than this stop the run
    max_damaged: int = 16
    reader: ReaderSettings = ReaderSettings()


@dataclass(frozen=True)
class _Made:
    """What a worker makes: a batch, and what became of its samples."""

    batch: Any
    outcomes: list[_Outcome]

    def pin_memory(self) -> "_Made":
        """Pin the batch, if it can be; called by a DataLoader that pins."""
        batch = _opened(self.batch)
        pin = getattr(batch, "pin_memory", None)
        return _Made(pin() if pin else batch, self.outcomes)


@dataclass(frozen=True)
class _Failed:
    """What a worker makes when it cannot go on: an error that is raised in the loop's own process, as it is."""

    error: BlenderError


def _opened(batch: Any) -> Any:
    return batch.open() if isinstance(batch, Sent) else batch


class Loader(IterableDataset[Content], Generic[Item, Content]):
    """Iterates over the batches of a rank, an epoch at a time, from where its state stands.

    Where a dataset is wanted, as by ``torchdata``'s ``StatefulDataLoader``, it is one, with workers of its own.

    Args:
        source: What to stream.
        deal: How its samples are dealt out to batches.
        prepare: Called in a worker with each sample and its tags (the path of its ``blend``).
        combine: Called in a worker with what ``prepare`` made for a batch; its result goes to the training loop.
        settings: How to load.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.
    """

    def __init__(
        self,
        source: Source,
        deal: Deal,
        prepare: Prepare[Item],
        combine: Combine[Item],
        settings: LoaderSettings,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.rank, self.world = _place(rank, world)
        self.deal = deal
        self.point = START
        #: samples that could not be used so far, by reason
        self.skipped: Counter[str] = Counter()
        self.damage = DamagePolicy(settings.max_damaged)
        dealt = _Dealt(deal, self.rank, self.world)
        self._batches = _Batches(source, dealt, prepare, combine, settings.reader)
        self._loader = _data_loader(self._batches, settings)

    def __len__(self) -> int:
        """Count the batches that are left of the epoch, the same on every rank."""
        return self.deal.num_batches(self.point)

    def __iter__(self) -> Iterator[Content]:
        """Go on to the end of the epoch.

        Raises:
            StreamError: A shard cannot be had, too many samples in a row are damaged, or this is a worker of another
                loader.
        """
        if get_worker_info() is not None:
            raise StreamError(
                "a stream is iterated over in a worker of another loader, where its state would be lost",
                "give that loader num_workers=0, and this one `workers`",
            )
        self._batches.begin(self.point)
        for made in self._fetched():
            for outcome in made.outcomes:
                self._note(outcome)
            self.point = self.deal.after(self.point)
            yield _opened(made.batch)

    def _fetched(self) -> Iterator[_Made]:
        """Yield what workers make, and raise what they could not, as it was raised there."""
        with killed_workers_told():
            for made in self._loader:
                if isinstance(made, _Failed):
                    raise made.error
                yield made

    def state_dict(self) -> dict[str, Any]:
        """Write down where the stream stands: JSON, the same on all ranks, valid for any number of them."""
        return self.deal.state_dict(self.point)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a stream stood.

        Raises:
            StreamError: The state is of another stream.
        """
        self.point = self.deal.load_state_dict(state)

    def _note(self, outcome: _Outcome) -> None:
        if isinstance(outcome, Dropped):
            self.skipped[outcome.reason] += 1
        elif self.damage.take(outcome or True) is None:
            self.skipped["damaged"] += 1


class StreamLoader(Loader[Encoded, Batch]):
    """Iterates over batches of tensors.

    Args:
        source: What to stream.
        encoder: How samples become tensors.
        collator: How they become batches.
        settings: How to load.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        collator: Collator,
        settings: LoaderSettings,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        deal = _make_deal(source, encoder, settings)
        slots = Slots(_most_bytes(encoder, settings.batch_size), settings.workers, settings.prefetch + 1)
        send = partial(_send, collator, slots)
        super().__init__(source, deal, partial(_encode, encoder), send, settings, rank, world)


def _encode(encoder: Encoder, stored: StoredSample, tags: Mapping[str, str]) -> Encoded | Dropped:
    return encode_sample(stored, encoder, tags)


def _send(collator: Collator, slots: Slots, rows: list[list[Encoded]]) -> Batch | Sent[Batch]:
    return collator.send(rows, slots) if slots.are_used else collator(rows)


def _most_bytes(encoder: Encoder, batch_size: int) -> int:
    """Give about the most bytes of a batch; one that has more after all is sent in the usual way."""
    length = encoder.max_tokens or 8192
    images = -(-length // encoder.text.image_positions)
    return batch_size * (length * _BYTES_OF_POSITION + images * prod(encoder.pixels.shape)) + 4096


def _place(rank: int | None, world: int | None) -> tuple[int, int]:
    if rank is not None and world is not None:
        return rank, world
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed:
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def _make_deal(source: Source, encoder: Encoder, settings: LoaderSettings) -> Deal:
    if not settings.pack:
        return SingleDeal(source.root, settings.seed, settings.batch_size, settings.tail)
    assert encoder.max_tokens is not None, "rows are packed up to the encoder's max_tokens"
    lengths = {
        path: sample_lengths(blend, source.split, encoder, settings=settings.reader).astype(np.int64)
        for path, blend in source.blends.items()
    }
    return PackedDeal(
        source.root,
        settings.seed,
        settings.batch_size,
        lengths,
        encoder.max_tokens,
        settings.pack_window,
        settings.tail,
    )


def _data_loader(batches: "_Batches[Item]", settings: LoaderSettings) -> "DataLoader[_Made | _Failed]":
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


@dataclass(frozen=True)
class _Dealt:
    """The part of one rank."""

    deal: Deal
    rank: int
    world: int

    def rows(self, point: Point) -> list[Row]:
        return self.deal.rows(point, self.rank, self.world)


class _Batches(IterableDataset[_Made | _Failed], Generic[Item]):
    """A rank's batches from a point to the end of its epoch; a worker's share of them."""

    def __init__(
        self,
        source: Source,
        dealt: _Dealt,
        prepare: Prepare[Item],
        combine: Combine[Item],
        reading: ReaderSettings,
    ) -> None:
        self._dealt, self._prepare, self._combine, self._split = dealt, prepare, combine, source.split
        paths = _leaf_paths(source)
        self._tags = [{"blend": path} for path in paths]
        self._readers = [ShardReader(source.blends[path], reading) for path in paths]
        self._is_remote = any(blend.is_remote for blend in source.blends.values())
        # workers that live on are told here where the next epoch begins
        self._start = _shared(torch.zeros(2, dtype=torch.int64))

    def begin(self, point: Point) -> None:
        """Say where the next iteration begins."""
        self._start.copy_(torch.tensor(point))

    def __iter__(self) -> Iterator[_Made | _Failed]:
        try:
            yield from self._each()
        except BlenderError as error:
            if get_worker_info() is None:
                raise
            yield _Failed(error)

    def _each(self) -> Iterator[_Made]:
        start, deal = Point(*self._start.tolist()), self._dealt.deal
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for turn, batch in enumerate(range(first, deal.num_batches(start), step)):
            point = deal.after(start, batch)
            if self._is_remote and turn % _LOOK_EVERY == 0:
                self._look_ahead(point)
            yield self._make(self._dealt.rows(point))

    def _look_ahead(self, point: Point) -> None:
        wanted: list[dict[int, None]] = [{} for _ in self._readers]
        for draw in self._dealt.deal.upcoming(point, _AHEAD):
            wanted[draw.leaf][draw.shard] = None
        for reader, shards in zip(self._readers, wanted, strict=True):
            reader.prefetch(self._split, list(shards))

    def _make(self, rows: list[Row]) -> _Made:
        outcomes: list[_Outcome] = []
        made: list[list[Item]] = []
        for row in rows:
            made.append([])
            for draw in row:
                item = self._item(draw)
                if isinstance(item, (Dropped, DamagedSample)):
                    outcomes.append(item)
                else:
                    outcomes.append(None)
                    made[-1].append(item)
        return _Made(self._combine(made), outcomes)

    def _item(self, draw: Draw) -> Item | Dropped | DamagedSample:
        try:
            stored = self._readers[draw.leaf].read(self._split, draw.shard, draw.row)
        except DamagedSample as error:
            return error
        return self._prepare(stored, self._tags[draw.leaf])


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def _leaf_paths(source: Source) -> list[str]:
    """List the leaves in the order in which the mixture numbers them."""
    return [place.path for place in mix(source.root).places]
