"""Run a loader alone and measure it."""

import time
from collections import Counter
from collections.abc import Iterator

import msgspec

from blender.stream.collate import Batch
from blender.stream.loader import StreamLoader


class StreamReport(msgspec.Struct, frozen=True):
    """Counts and rates of a run of the loader."""

    batches: int
    samples: int
    images: int
    #: positions that are not padding, image positions included
    tokens: int
    #: positions with loss
    trained_tokens: int
    seconds: float
    #: from the start to the first batch, starting the workers included
    seconds_to_first_batch: float
    samples_per_second: float
    images_per_second: float
    tokens_per_second: float
    #: share of positions that are padding
    padding_share: float
    #: share of samples, by blend and dataset
    mix: dict[str, float]
    #: shapes of the tensors of the first batch
    shapes: dict[str, list[int]]
    #: samples that could not be used, by reason
    skipped: dict[str, int]


def measure(loader: StreamLoader, num_batches: int) -> tuple[StreamReport, Batch]:
    """Take batches from a loader and measure them; rates leave out the first batch, during which the workers start.

    Args:
        loader: The loader; it is iterated over again when an epoch ends.
        num_batches: At least 1.

    Returns:
        The report, and the first batch.
    """
    begun = time.perf_counter()
    batches = _endless(loader)
    first = next(batches)
    to_first = time.perf_counter() - begun
    totals, mix, positions = _count(first), Counter(_names(first)), first.segment_ids.numel()
    rest = Counter[str]()
    begun = time.perf_counter()
    for _ in range(num_batches - 1):
        batch = next(batches)
        rest += _count(batch)
        mix.update(_names(batch))
        positions += batch.segment_ids.numel()
    seconds = time.perf_counter() - begun
    rates = (rest, seconds) if num_batches > 1 else (totals, to_first)
    totals = totals + rest
    samples = mix.total()
    report = StreamReport(
        batches=num_batches,
        samples=samples,
        images=totals["images"],
        tokens=totals["tokens"],
        trained_tokens=totals["trained"],
        seconds=to_first + seconds,
        seconds_to_first_batch=to_first,
        samples_per_second=rates[0]["samples"] / rates[1],
        images_per_second=rates[0]["images"] / rates[1],
        tokens_per_second=rates[0]["tokens"] / rates[1],
        padding_share=1 - totals["tokens"] / positions,
        mix={name: count / samples for name, count in sorted(mix.items())},
        shapes={name: list(getattr(first, name).shape) for name in ("input_ids", "labels", "image_index", "pixels")},
        skipped=dict(sorted(loader.skipped.items())),
    )
    return report, first


def _endless(loader: StreamLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def _count(batch: Batch) -> Counter[str]:
    return Counter(
        samples=sum(map(len, batch.keys)),
        images=len(batch.pixels),
        tokens=batch.num_tokens,
        trained=int((batch.labels >= 0).sum()),
    )


def _names(batch: Batch) -> Iterator[str]:
    for tags, datasets in zip(batch.tags, batch.datasets, strict=True):
        for tag, dataset in zip(tags, datasets, strict=True):
            yield f"{tag['blend']}: {dataset}"
