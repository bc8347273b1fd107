"""What the checks look at: a blend, or a plan of one, as a few narrow tables.

Both come through the same door: samples, a thousand at a time, stored ones read from their shards, planned ones made
as a writer would make them. Each thousand is looked through where it is read (``gather``), and only numbers, hashes and
yes-or-no columns stay; texts and pictures are read again for the few examples that a report shows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import polars as pl

from blender.data.sample import Sample


class OriginFile(NamedTuple):
    """An annotation file that samples came from."""

    source: str
    #: as in a sample's ``sources``
    label: str
    sha256: str


class SampleChunk(Protocol):
    """Some samples in a row, for another process to read."""

    @property
    def first(self) -> int:
        """Row of the first one."""

    def samples(self) -> Iterator[Sample]:
        """Read them, in order."""


class Readable(Protocol):
    """The bytes of a picture, wherever they lie."""

    def read(self) -> bytes:
        """Read them."""


class Samples(Protocol):
    """The samples of a blend or of a plan."""

    @property
    def name(self) -> str:
        """Name of the recipe."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe, resolved."""

    @property
    def files(self) -> Sequence[OriginFile]:
        """The annotation files."""

    @property
    def rows(self) -> pl.DataFrame:
        """Columns key, dataset, split; one row per sample."""

    @property
    def cut(self) -> pl.DataFrame:
        """Columns source, turns, records: turns that long conversations lost to a limit; rows where there are any."""

    def chunks(self) -> list[SampleChunk]:
        """Cut them up."""

    def read(self, row: int) -> Sample:
        """Read one sample without its images."""

    def picture_bytes(self, images: pl.DataFrame) -> pl.Series:
        """Say the size in bytes of images (image, store, name, sample, position); null where it is not known."""

    def pictures(self, images: pl.DataFrame) -> list[Readable]:
        """Say where images lie; their columns are those of :meth:`picture_bytes`."""


@dataclass(frozen=True)
class LintTables:
    """Everything that checks look at; row n of ``samples`` is sample n."""

    source: Samples
    #: key, dataset, split; with a tokenizer also positions, kept_turns and fault
    samples: pl.DataFrame
    #: sample, turn (from 0), file (number in ``source.files``; null: unknown), hashes of pair, answer and origin
    #: (record and pair), telling (whether a repeated pair says anything), and a yes or no for each check of texts
    turns: pl.DataFrame
    #: sample, position (from 1), image
    shows: pl.DataFrame
    #: image (hash of place and name), store, name, width and height (0: not known), sample and position of one showing
    images: pl.DataFrame
    #: image, digest: where two images of the same size might be the same; None where images stay closed
    digests: pl.DataFrame | None
    #: image, image_other: pairs in one sample that look the same; None where images stay closed
    alike: pl.DataFrame | None
    #: positions that a sample may take; None where no tokenizer is given
    max_tokens: int | None


def sum_cut(ledger: pl.DataFrame) -> pl.DataFrame:
    """Sum the turns that a ledger counts as cut by source: source, turns, records."""
    cut = ledger.filter(pl.col("turns_cut") > 0).group_by("source", maintain_order=True)
    return cut.agg(pl.col("turns_cut").sum().alias("turns"), pl.len().alias("records"))


#: columns of what a check finds: sample and turn are null where none is at fault, detail where it is said later
HITS = {"sample": pl.UInt32, "turn": pl.UInt16, "dataset": pl.String, "detail": pl.String}


def no_hits() -> pl.DataFrame:
    """Return a table of hits without a row."""
    return pl.DataFrame(schema=HITS)


def hits_in(material: LintTables, found: pl.DataFrame) -> pl.DataFrame:
    """Make hits of rows that name a sample, and may name a turn and say a detail."""
    missing = [pl.lit(None, HITS[name]).alias(name) for name in ("turn", "detail") if name not in found.columns]
    named = found.with_columns(*missing, dataset=material.samples["dataset"].gather(found["sample"]).cast(pl.String))
    return named.select(pl.col(name).cast(kind) for name, kind in HITS.items()).sort("sample", "turn")


def flag_rows(turns: pl.DataFrame, rows: Iterable[int]) -> pl.Series:
    """Return True for the given row numbers of a table, False for its other rows."""
    flagged = pl.Series(sorted(rows), dtype=pl.UInt32)
    return pl.Series(range(turns.height), dtype=pl.UInt32).is_in(flagged.implode())


def hits_beyond(details: Sequence[tuple[str | None, str]]) -> pl.DataFrame:
    """Make hits of (dataset, detail) that no single sample is at fault for."""
    rows = [(None, None, dataset, detail) for dataset, detail in details]
    return pl.DataFrame(rows, schema=HITS, orient="row")
