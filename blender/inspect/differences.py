"""What changed between two blends: recipe, inputs, counts, and samples.

A sample is known by what it was made of, its make: its records and its images, in any order. Two samples of one make
are the same when dataset, split and content are; moved when only dataset or split is another; altered when the content
is. A blend may hold several samples of one make (``repeat``): those that are the same are paired first, then the moved,
then the altered, and what is left over was added or is gone. Keys play no part in this, for they only number the
samples: a sample that is the same under another key stands in another place.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from blender.core.pool import map_unordered
from blender.data.sample import Sample
from blender.inspect.lint.stored import StoredSamples
from blender.inspect.lint.tables import SampleChunk
from blender.shards.manifest import Manifest
from blender.shards.reader import Blend

#: what of a sample may be altered, each with what is hashed of it
_ASPECTS: dict[str, Callable[[Sample], object]] = {
    "text": lambda sample: sorted((turn.question, turn.answer, turn.system) for turn in sample.turns),
    "turns": lambda sample: [(turn.images, sample.sources[turn.source]) for turn in sample.turns],
    "template": lambda sample: sample.template,
    "images": lambda sample: sample.images,
    "rendering": lambda sample: sample.spans,
}
#: what a rendering follows from: only where none of it changed does another rendering mean anything
_CAUSES = ("text", "turns", "template")
_PLACE = ("dataset", "split")
_SCHEMA = {"row": pl.UInt32, "make": pl.UInt64, **dict.fromkeys(_ASPECTS, pl.UInt64)}


class ValueChange(Struct, frozen=True):
    """A value that is another one."""

    #: dotted path of a key, or ``source/file``
    path: str
    #: None where there was none
    before: Any
    #: None where there is none any more
    after: Any


class CountChange(Struct, frozen=True):
    """What a dataset has in a split, before and after."""

    dataset: str
    split: str
    samples: tuple[int, int]
    images: tuple[int, int]
    turns: tuple[int, int]


class SampleChange(Struct, frozen=True, omit_defaults=True):
    """What became of one sample."""

    kind: str
    #: key, dataset and split before; empty for an added sample
    key: str = ""
    dataset: str = ""
    split: str = ""
    #: key, dataset and split after; empty for one that is gone
    key_after: str = ""
    dataset_after: str = ""
    split_after: str = ""
    #: the records that it was made of
    sources: list[str] = []
    #: what was altered: text, turns, template, images, rendering
    aspects: list[str] = []
    #: lines that differ, each after ``- `` or ``+ ``
    lines: list[str] = []


class Differences(Struct, frozen=True):
    """What changed between two blends."""

    names: tuple[str, str]
    recipe: list[ValueChange]
    #: annotation files by ``source/file``, with their hashes
    files: list[ValueChange]
    #: version of the program and of the layout, template, ledger totals
    other: list[ValueChange]
    counts: list[CountChange]
    #: samples that are the same
    same: int
    #: samples that are the same under another key
    elsewhere: int
    moved: int
    altered: int
    added: int
    gone: int
    #: how many of the altered ones are so in text, turns, template, images, rendering
    aspects: dict[str, int]
    #: the first of each kind
    examples: list[SampleChange]

    @property
    def are_same(self) -> bool:
        """Whether both blends hold the same samples in the same order."""
        return not (self.elsewhere or self.moved or self.altered or self.added or self.gone)


def compare_blends(
    before: Blend,
    after: Blend,
    *,
    num_examples: int = 3,
    workers: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> Differences:
    """Compare two blends.

    Args:
        before: The one.
        after: The other.
        num_examples: Samples of each kind of change that are described.
        workers: Number of processes.
        tell: Called with (samples read, samples in both).

    Raises:
        ShardError: A sample cannot be read.
    """
    both = StoredSamples(before), StoredSamples(after)
    total, done = len(before) + len(after), 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        if tell:
            tell(done, total)

    found = _pair(*(_hashes(samples, workers, on_read) for samples in both))
    one, other = before.manifest, after.manifest
    return Differences(
        names=(one.name, other.name),
        recipe=list(_changes(_flat(one.recipe), _flat(other.recipe))),
        files=list(_changes(_files(one), _files(other))),
        other=list(_changes(_rest(one), _rest(other))),
        counts=list(_counts(one, other)),
        same=found.same.height,
        elsewhere=found.same.filter(pl.col("key") != pl.col("key_after")).height,
        moved=found.moved.height,
        altered=found.altered.height,
        added=found.added.height,
        gone=found.gone.height,
        aspects={name: int(found.altered.select(_is_altered(name).sum()).item()) for name in _ASPECTS},
        examples=list(_examples(found, *both, num_examples)),
    )


class _PairedSamples(Struct, frozen=True):
    """Samples of two blends, paired; columns of the second end in ``_after``."""

    same: pl.DataFrame
    moved: pl.DataFrame
    altered: pl.DataFrame
    gone: pl.DataFrame
    added: pl.DataFrame


def _hashes(samples: StoredSamples, workers: int, on_read: Callable[[int], None]) -> pl.DataFrame:
    """Return row, make, one hash for each aspect, key, dataset and split of every sample."""
    chunks = samples.chunks()
    pieces = [pl.DataFrame(schema=_SCHEMA)]
    for rows in map_unordered(_hash_some, chunks, workers if len(chunks) > 4 else 1):
        pieces.append(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))
        on_read(len(rows))
    names = samples.rows.select("key", pl.col(_PLACE).cast(pl.String))
    sizes = samples.image_sizes().hash()
    hashed = pl.concat([pl.concat(pieces).sort("row"), names], how="horizontal")
    return hashed.with_columns(images=pl.struct("images", sizes.alias("sizes")).hash())


def _hash_some(chunk: SampleChunk) -> list[tuple[int, ...]]:
    return [
        (row, _hash(_make(sample)), *(_hash(said(sample)) for said in _ASPECTS.values()))
        for row, sample in enumerate(chunk.samples(), chunk.first)
    ]


def _make(sample: Sample) -> object:
    return sorted(sample.sources), sorted((image.store, image.name) for image in sample.images)


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(value), digest_size=8).digest(), "big")


def _pair(before: pl.DataFrame, after: pl.DataFrame) -> _PairedSamples:
    """Pair samples by ever fewer columns; those of a kind are paired in their order."""
    same, before, after = _matched(before, after, ("make", *_ASPECTS, *_PLACE))
    moved, before, after = _matched(before, after, ("make", *_ASPECTS))
    near, before, after = _matched(before, after, ("make", *_PLACE))
    far, gone, added = _matched(before, after, ("make",))
    return _PairedSamples(same, moved, pl.concat([near, far]), gone, added)


def _matched(
    before: pl.DataFrame, after: pl.DataFrame, columns: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Pair rows with equal columns, the first with the first; also return what is left of both."""
    numbered = [frame.with_columns(nth=pl.int_range(pl.len()).over(columns)) for frame in (before, after)]
    on = [*columns, "nth"]
    other = numbered[1].select(pl.all().name.suffix("_after"))
    pairs = numbered[0].join(other, left_on=on, right_on=[f"{name}_after" for name in on], coalesce=False)
    left = [
        one.join(other, on=on, how="anti", maintain_order="left").drop("nth")
        for one, other in (numbered, reversed(numbered))
    ]
    return pairs.drop("nth", "nth_after").sort("row"), left[0], left[1]


def _is_altered(aspect: str) -> pl.Expr:
    other = [pl.col(name) != pl.col(f"{name}_after") for name in _CAUSES]
    differs = pl.col(aspect) != pl.col(f"{aspect}_after")
    return differs & ~pl.any_horizontal(other) if aspect == "rendering" else differs


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Write a recipe as values by dotted path; entries of the blend go by their names."""
    if isinstance(value, Mapping):
        parts = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, Mapping) for child in value):
        parts = [
            (str(child.get("name", number)) if isinstance(child, Mapping) else str(number), child)
            for number, child in enumerate(value)
        ]
    else:
        return {path: value}
    nested = (_flat(child, f"{path}.{key}" if path else key) for key, child in parts)
    return reduce(lambda one, other: one | other, nested, {})


def _files(manifest: Manifest) -> dict[str, str]:
    return {f"{file.source}/{file.file}": file.sha256 for file in manifest.files}


def _rest(manifest: Manifest) -> dict[str, Any]:
    said = {"program": manifest.program, "layout": manifest.layout}
    return said | _flat(manifest.ledger, "ledger")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ValueChange]:
    for path in dict.fromkeys([*before, *after]):
        if before.get(path) != after.get(path):
            yield ValueChange(path, before.get(path), after.get(path))


def _counts(before: Manifest, after: Manifest) -> Iterator[CountChange]:
    tables = [
        {(row.dataset, row.split): (row.samples, row.images, row.turns) for row in manifest.counts}
        for manifest in (before, after)
    ]
    for dataset, split in dict.fromkeys([*tables[0], *tables[1]]):
        had, has = (table.get((dataset, split), (0, 0, 0)) for table in tables)
        if had != has:
            yield CountChange(dataset, split, *zip(had, has, strict=True))


def _examples(
    found: _PairedSamples, before: StoredSamples, after: StoredSamples, number: int
) -> Iterator[SampleChange]:
    altered = found.altered.head(number).with_columns(_is_altered(name).alias(f"{name}_differs") for name in _ASPECTS)
    for row in altered.iter_rows(named=True):
        yield _altered(row, before.read(row["row"]), after.read(row["row_after"]))
    for row in found.moved.head(number).iter_rows(named=True):
        yield SampleChange("moved", *_names(row), *_names(row, "_after"), before.read(row["row"]).sources)
    for row in found.gone.head(number).iter_rows(named=True):
        yield SampleChange("gone", *_names(row), sources=before.read(row["row"]).sources)
    for row in found.added.head(number).iter_rows(named=True):
        key, dataset, split = _names(row)
        sources = after.read(row["row"]).sources
        yield SampleChange("added", key_after=key, dataset_after=dataset, split_after=split, sources=sources)


def _names(row: Mapping[str, Any], ending: str = "") -> tuple[str, str, str]:
    return row[f"key{ending}"], row[f"dataset{ending}"], row[f"split{ending}"]


def _altered(row: Mapping[str, Any], before: Sample, after: Sample) -> SampleChange:
    aspects = [name for name in _ASPECTS if row[f"{name}_differs"]]
    texts = ["".join(span.text for span in sample.spans).splitlines() for sample in (before, after)]
    lines = [line for line in difflib.ndiff(texts[0], texts[1]) if line.startswith(("- ", "+ "))]
    return SampleChange("altered", *_names(row), *_names(row, "_after"), before.sources, aspects, lines)
