"""The loader that a training loop iterates over: exact order, any number of ranks and workers, a state of one point.

Worker w of k makes batches w, w + k, w + 2k, … of its rank, each from the plan alone; PyTorch's ``DataLoader`` takes
them from the workers in turn, so what a rank sees does not depend on k. The state counts batches that were handed out,
not those fetched ahead, and is the same on all ranks.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from blender.stream.collate import Batch, Collator
from blender.stream.damage import DamagePolicy
from blender.stream.dealing import Deal, PackedDeal, Row, SingleDeal
from blender.stream.encode import Dropped, Encoded, Encoder, encode_sample
from blender.stream.lengths import sample_lengths
from blender.stream.mixture import mix
from blender.stream.plan import START, Draw, Point, Tail
from blender.stream.reader import ReaderSettings, ShardReader
from blender.stream.source import Source
from blender.stream.unpack import DamagedSample

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


class _Made(NamedTuple):
    """What a worker makes: a batch, and what it could not use, sample by sample (None: used)."""

    batch: Batch
    outcomes: list[DamagedSample | Dropped | None]


class StreamLoader:
    """Iterates over the batches of a rank, an epoch at a time, from where its state stands.

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
        self.rank, self.world = _place(rank, world)
        self.deal = _make_deal(source, encoder, settings)
        self.point = START
        #: samples that could not be used so far, by reason
        self.skipped: Counter[str] = Counter()
        self.damage = DamagePolicy(settings.max_damaged)
        self._batches = _Batches(source, encoder, collator, settings, self.deal, self.rank, self.world)
        self._loader = _data_loader(self._batches, settings)

    def __len__(self) -> int:
        """Count the batches that are left of the epoch, the same on every rank."""
        return self.deal.num_batches(self.point)

    def __iter__(self) -> Iterator[Batch]:
        """Go on to the end of the epoch.

        Raises:
            StreamError: A shard cannot be had, or too many samples in a row are damaged.
        """
        self._batches.begin(self.point)
        for made in self._loader:
            for outcome in made.outcomes:
                self._note(outcome)
            self.point = self.deal.after(self.point)
            yield made.batch

    def state_dict(self) -> dict[str, Any]:
        """Write down where the stream stands: JSON, the same on all ranks, valid for any number of them."""
        return self.deal.state_dict(self.point)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where a stream stood.

        Raises:
            StreamError: The state is of another stream.
        """
        self.point = self.deal.load_state_dict(state)

    def _note(self, outcome: DamagedSample | Dropped | None) -> None:
        if isinstance(outcome, Dropped):
            self.skipped[outcome.reason] += 1
        elif self.damage.take(outcome or True) is None:
            self.skipped["damaged"] += 1


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


def _data_loader(batches: "_Batches", settings: LoaderSettings) -> "DataLoader[_Made]":
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=settings.workers,
        pin_memory=settings.pin_memory,
        persistent_workers=settings.workers > 0,
        prefetch_factor=settings.prefetch if settings.workers else None,
        multiprocessing_context=settings.start_method if settings.workers else None,
    )


class _Batches(IterableDataset[_Made]):
    """A rank's batches from a point to the end of its epoch; a worker's share of them."""

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        collator: Collator,
        settings: LoaderSettings,
        deal: Deal,
        rank: int,
        world: int,
    ) -> None:
        self._encoder, self._collator, self._deal = encoder, collator, deal
        self._rank, self._world, self._split = rank, world, source.split
        self._paths = _leaf_paths(source)
        self._readers = [ShardReader(source.blends[path], settings.reader) for path in self._paths]
        self._is_remote = any(blend.is_remote for blend in source.blends.values())
        # workers that live on are told here where the next epoch begins
        self._start = _shared(torch.zeros(2, dtype=torch.int64))

    def begin(self, point: Point) -> None:
        """Say where the next iteration begins."""
        self._start.copy_(torch.tensor(point))

    def __iter__(self) -> Iterator[_Made]:
        start = Point(*self._start.tolist())
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for turn, batch in enumerate(range(first, self._deal.num_batches(start), step)):
            point = self._deal.after(start, batch)
            if self._is_remote and turn % _LOOK_EVERY == 0:
                self._look_ahead(point)
            yield self._make(self._deal.rows(point, self._rank, self._world))

    def _look_ahead(self, point: Point) -> None:
        wanted: list[dict[int, None]] = [{} for _ in self._readers]
        for draw in self._deal.upcoming(point, _AHEAD):
            wanted[draw.leaf][draw.shard] = None
        for reader, shards in zip(self._readers, wanted, strict=True):
            reader.prefetch(self._split, list(shards))

    def _make(self, rows: list[Row]) -> _Made:
        outcomes: list[DamagedSample | Dropped | None] = []
        made = []
        for row in rows:
            samples = [self._encode(draw) for draw in row]
            outcomes += [None if isinstance(sample, Encoded) else sample for sample in samples]
            made.append([sample for sample in samples if isinstance(sample, Encoded)])
        return _Made(self._collator(made), outcomes)

    def _encode(self, draw: Draw) -> Encoded | Dropped | DamagedSample:
        try:
            stored = self._readers[draw.leaf].read(self._split, draw.shard, draw.row)
        except DamagedSample as error:
            return error
        return encode_sample(stored, self._encoder, {"blend": self._paths[draw.leaf]})


def _shared(tensor: torch.Tensor) -> torch.Tensor:
    tensor.share_memory_()  # type: ignore[no-untyped-call]
    return tensor


def _leaf_paths(source: Source) -> list[str]:
    """List the leaves in the order in which the mixture numbers them."""
    return [place.path for place in mix(source.root).places]
