"""Samples as they are stored, in the exact order, for users with their own encoding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np

from blender.data.sample import Sample
from blender.shards.unpack import StoredSample
from blender.stream.loader import Loader, LoaderSettings
from blender.stream.opening import OpenMixture
from blender.stream.sampler import BatchSampler
from blender.stream.shared_buffers import Bytes, SharedBatch, SharedBuffers, Span

Tags = Mapping[str, str]

_decode = msgspec.json.Decoder(Sample).decode


@dataclass(frozen=True)
class StoredBatch:
    """Samples with the bytes of their images."""

    samples: tuple[StoredSample, ...]
    #: of each sample: ``blend`` is the path of its component in the mixture
    tags: tuple[Tags, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[StoredSample]:
        return iter(self.samples)


class _TaggedSample(NamedTuple):
    stored: StoredSample
    tags: Tags


class _WrittenSample(NamedTuple):
    """A sample in a shared buffer: its JSON, then its images."""

    spans: list[Span]
    split: str
    shard: str
    tags: Tags


_Item = _TaggedSample | _WrittenSample


class StoredLoader(Loader[_Item, StoredBatch]):
    """Iterates over batches of samples as they are stored.

    Args:
        mixture: What to stream.
        settings: How to load; packing is not possible.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.

    Raises:
        ValueError: The settings ask for packing.
    """

    def __init__(
        self, mixture: OpenMixture, settings: LoaderSettings, rank: int | None = None, world: int | None = None
    ) -> None:
        if settings.pack:
            raise ValueError("samples that are not encoded have no length, and cannot be packed")
        sampler = BatchSampler(mixture.mixture, settings.seed, settings.batch_size, settings.tail)
        largest = max(int(blend.split(mixture.split).sizes.max()) for blend in mixture.blends.values())
        buffers = SharedBuffers(settings.batch_size * largest, settings.workers, settings.prefetch + 1)
        prepare, combine = partial(_prepare, buffers), partial(_combine, buffers)
        super().__init__(mixture, sampler, prepare, combine, settings, rank, world)


def _prepare(buffers: SharedBuffers, stored: StoredSample, tags: Tags) -> _Item:
    """Write a sample to the buffer at once, in a worker: its memory is then used for the next sample."""
    if buffers.are_used:
        pieces = msgspec.json.encode(stored.sample), *stored.images
        if buffers.fits(map(len, pieces)):
            spans = [buffers.write(np.frombuffer(piece, np.uint8)) for piece in pieces]
            return _WrittenSample(spans, stored.split, stored.shard, tags)
    return _TaggedSample(stored, tags)


def _combine(buffers: SharedBuffers, rows: list[list[_Item]]) -> StoredBatch | SharedBatch[StoredBatch]:
    items = [item for row in rows for item in row]
    if not buffers.are_used:
        return _unpack(items, [])
    spans = [span for item in items if isinstance(item, _WrittenSample) for span in item.spans]
    return buffers.send(spans, partial(_unpack, items))


def _unpack(items: Sequence[_Item], pieces: Sequence[Bytes]) -> StoredBatch:
    contents = iter(pieces)
    samples = []
    for item in items:
        if isinstance(item, _WrittenSample):
            text, *images = (next(contents).tobytes() for _ in item.spans)
            samples.append(StoredSample(_decode(text), tuple(images), item.split, item.shard))
        else:
            samples.append(item.stored)
    return StoredBatch(tuple(samples), tuple(item.tags for item in items))
