"""Samples as they are stored, in the exact order, for those who bring their own encoding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from blender.data.sample import Sample
from blender.shards.read import StoredSample
from blender.stream.dealing import SingleDeal
from blender.stream.loader import Loader, LoaderSettings
from blender.stream.slots import Bytes, Sent, Slots, Span
from blender.stream.source import Source

Tags = Mapping[str, str]

_decode = msgspec.json.Decoder(Sample).decode


@dataclass(frozen=True)
class StoredBatch:
    """Samples with the bytes of their images."""

    samples: tuple[StoredSample, ...]
    #: of each sample: the path of its ``blend`` in the mixture
    tags: tuple[Tags, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[StoredSample]:
        return iter(self.samples)


@dataclass(frozen=True)
class _Put:
    """A sample whose bytes lie in a slot: its JSON first, then its images."""

    spans: list[Span]
    split: str
    shard: str
    tags: Tags


#: what becomes of a sample: in a worker, and without workers
_Item = _Put | tuple[StoredSample, Tags]


class StoredLoader(Loader[_Item, StoredBatch]):
    """Iterates over batches of samples as they are stored.

    Args:
        source: What to stream.
        settings: How to load; nothing can be packed.
        rank: Number of this rank; that of ``torch.distributed`` by default, and 0 without it.
        world: Number of ranks, likewise.
    """

    def __init__(
        self, source: Source, settings: LoaderSettings, rank: int | None = None, world: int | None = None
    ) -> None:
        if settings.pack:
            raise ValueError("samples that are not encoded have no length, and cannot be packed")
        deal = SingleDeal(source.root, settings.seed, settings.batch_size, settings.tail)
        largest = max(int(blend.split(source.split).sizes.max()) for blend in source.blends.values())
        passing = _Passing(Slots(settings.batch_size * largest, settings.workers, settings.prefetch + 1))
        super().__init__(source, deal, passing.put, passing.send, settings, rank, world)


class _Passing:
    """Passes samples on, out of a worker through its slots, one at a time as they are read."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def put(self, stored: StoredSample, tags: Tags) -> _Item:
        if not self._slots.are_used:
            return stored, tags
        parts = msgspec.json.encode(stored.sample), *stored.images
        spans = [self._slots.write(np.frombuffer(part, np.uint8)) for part in parts]
        return _Put(spans, stored.split, stored.shard, tags)

    def send(self, rows: list[list[_Item]]) -> StoredBatch | Sent[StoredBatch]:
        items = [item for row in rows for item in row]
        if self._slots.are_used:
            return self._slots.send(_unpack, items)
        kept = [item for item in items if isinstance(item, tuple)]
        return StoredBatch(tuple(stored for stored, _ in kept), tuple(tags for _, tags in kept))


def _unpack(content: Bytes, puts: Sequence[_Put]) -> StoredBatch:
    return StoredBatch(tuple(_take(content, put) for put in puts), tuple(put.tags for put in puts))


def _take(content: Bytes, put: _Put) -> StoredSample:
    text, *images = (content[start:end].tobytes() for start, end in put.spans)
    return StoredSample(_decode(text), tuple(images), put.split, put.shard)
