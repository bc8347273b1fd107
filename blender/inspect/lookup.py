"""Look things up in a blend: samples by their text, records by what became of them."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct

from blender.core.errors import InspectionError
from blender.data.sample import Sample
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.search_index import open_search_index
from blender.recipe.document import suggestion
from blender.shards.reader import Blend

#: words, and phrases between quotation marks, as the search index reads them
_TERM = re.compile(r'"([^"]+)"|(\S+)')


class Match(Struct, frozen=True):
    """A sample that a text was found in."""

    key: str
    dataset: str
    split: str
    #: ``question`` or ``answer`` of a turn, ``image`` or ``record``
    where: str
    #: number of the turn, from 1; 0 where no turn is
    turn: int
    #: the text around the first word of the query
    excerpt: str


def find_texts(
    blend: Blend,
    query: str,
    *,
    dataset: str | None = None,
    workers: int = 1,
    tell: Callable[[int, int], None] | None = None,
    cache: Path | None = None,
) -> list[int]:
    """Find the samples that hold every word, and every phrase between quotation marks, of a query.

    Args:
        blend: The blend.
        query: What to look for in questions, answers, names of images, and records; case does not matter.
        dataset: Look in this dataset only.
        workers: Number of processes that read the texts, where this is the first search of this blend.
        tell: Called meanwhile with (samples done, samples in all).
        cache: Where what was read is kept.

    Returns:
        Numbers of samples, rising.

    Raises:
        InspectionError: The query is empty, or the cache cannot be written.
        ShardError: A sample cannot be read.
    """
    if not _TERM.search(query):
        raise InspectionError("there is nothing to look for in an empty text", "name a word or a phrase")
    found = open_search_index(blend, workers, tell, cache).search(query)
    rows = pl.Series("row", found, dtype=pl.UInt32)
    if dataset is not None:
        rows = rows.filter(blend.rows["dataset"].cast(pl.String).gather(rows) == dataset)
    return rows.to_list()


def matches(blend: Blend, rows: Sequence[int], query: str) -> list[Match]:
    """Say where in samples a query's first word stands.

    Args:
        blend: The blend.
        rows: What :func:`find_texts` found, or some of it.
        query: The query.

    Raises:
        ShardError: A sample cannot be read.
    """
    phrase, word = _TERM.findall(query)[0]
    splits = blend.rows["split"].gather(list(rows)).cast(pl.String).to_list()
    return [_match(blend.read_text(row), split, phrase or word) for row, split in zip(rows, splits, strict=True)]


def _match(sample: Sample, split: str, term: str) -> Match:
    places = [
        (where, number, text)
        for number, turn in enumerate(sample.turns, 1)
        for where, text in (("system", turn.system), ("question", turn.question), ("answer", turn.answer))
    ]
    places += [("image", 0, image.name) for image in sample.images] + [("record", 0, name) for name in sample.sources]
    pattern = re.compile(re.escape(term), re.IGNORECASE)
    for where, turn, text in places:
        if found := pattern.search(text):
            return Match(sample.key, sample.dataset, split, where, turn, excerpt(text, found.start()))
    return Match(sample.key, sample.dataset, split, "", 0, "")


def ledger_sums(blend: Blend) -> pl.DataFrame:
    """Count what became of records: source, reason (null: in samples), records, uses.

    Raises:
        ShardError: The ledger is gone.
    """
    counted = blend.ledger.group_by("source", "reason", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("records"), pl.col("num_samples").cast(pl.Int64).sum().alias("uses")
    )
    numbered = counted.with_row_index("place").with_columns(pl.col("place").min().over("source"))
    in_order = numbered.sort("place", pl.col("reason").is_not_null(), -pl.col("records"), maintain_order=True)
    return in_order.drop("place")


def ledger_records(blend: Blend, reason: str) -> pl.DataFrame:
    """List the records dropped for a reason: source, file, record, dataset, detail.

    A record that is in samples of other datasets is listed with the dataset that could not use it.

    Args:
        blend: The blend.
        reason: A reason of the ledger.

    Raises:
        InspectionError: No record was dropped for this reason.
        ShardError: The ledger is gone.
    """
    ledger = blend.ledger
    dropped = ledger.filter(pl.col("reason") == reason).with_columns(dataset=pl.lit(None, pl.String))
    left_out = (
        ledger.explode("left_out")
        .filter(pl.col("left_out").struct.field("reason") == reason)
        .with_columns(dataset=pl.col("left_out").struct.field("dataset"))
        .filter(pl.col("reason").ne_missing(reason))
    )
    columns = ("source", "file", "record", "dataset", "detail")
    found = pl.concat([dropped.select(columns), left_out.select(columns)])
    if not found.height:
        known = _reasons(ledger)
        raise InspectionError(
            f"no record was dropped for the reason {reason!r}{suggestion(reason, known)}",
            "`--ledger` alone lists the reasons",
        )
    return found


def _reasons(ledger: pl.DataFrame) -> list[str]:
    left_out = ledger.select(pl.col("left_out").explode().struct.field("reason"))
    return pl.concat([ledger.select("reason"), left_out])["reason"].drop_nulls().unique().sort().to_list()
