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
from blender.stream.shared_buffers import Bytes, SharedBatch, SharedBuffers

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


class StoredLoader(Loader[_TaggedSample, StoredBatch]):
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
        super().__init__(mixture, sampler, _TaggedSample, partial(_combine, buffers), settings, rank, world)


def _combine(buffers: SharedBuffers, rows: list[list[_TaggedSample]]) -> StoredBatch | SharedBatch[StoredBatch]:
    batch = [sample for row in rows for sample in row]
    if buffers.are_used:
        pieces = [[np.frombuffer(piece, np.uint8)] for stored, _ in batch for piece in _encode(stored)]
        facts = [(len(stored.images), stored.split, stored.shard, tags) for stored, tags in batch]
        if (sent := buffers.send(pieces, partial(_unpack, facts))) is not None:
            return sent
    return StoredBatch(tuple(stored for stored, _ in batch), tuple(tags for _, tags in batch))


def _encode(stored: StoredSample) -> Sequence[bytes]:
    return msgspec.json.encode(stored.sample), *stored.images


def _unpack(facts: Sequence[tuple[int, str, str, Tags]], pieces: Sequence[Bytes]) -> StoredBatch:
    contents = (piece.tobytes() for piece in pieces)
    samples = []
    for num_images, split, shard, _ in facts:
        sample = _decode(next(contents))
        samples.append(StoredSample(sample, tuple(next(contents) for _ in range(num_images)), split, shard))
    return StoredBatch(tuple(samples), tuple(tags for *_, tags in facts))
