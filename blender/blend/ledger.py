"""What became of every record that was read: emitted in so many samples, or dropped for a reason.

In: ``conversations`` with reasons, ``turns``, the plan's samples, ``left_out``. Out: :class:`Fates`, numbers alone,
from which a plan's totals and losses are counted; and the ledger, a row per record, made for some records at a time.

The totals are counted twice, once over the plan and once over the samples as they were written, and must agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from blender.blend.disk import read_table
from blender.blend.images import Images
from blender.blend.join import Tables
from blender.blend.reasons import CUT, NOT_DRAWN, REASONS, SENTENCES
from blender.blend.select import details
from blender.blend.tables import LEDGER, PART_CONVERSATIONS, PART_RECORDS
from blender.core.arrays import Bools, Ints
from blender.core.errors import PlanError
from blender.recipe import Limits

_CUT_AWAY = "the other turns of the conversation fill the limit"


@dataclass(frozen=True)
class Fates:
    """What becomes of every record, in numbers. ``R`` records."""

    #: (R,) conversation of each; that behind the last one for a record that the reader could not use
    conversation: Ints
    #: (R,) samples that it is in
    num_samples: Ints
    #: (R,) turns that it lost to a limit
    turns_cut: Ints
    #: (R,) whether these are all that it had
    is_cut_away: Bools
    #: (R,) number, in REASONS, of the reason why an entry could not use it; behind the last one where all could
    left_out: Ints

    def reasons(self, tables: Tables, first: int, faults: pl.Series) -> pl.DataFrame:
        """Give records in a row the reasons why they are in no sample, should they be in none.

        Args:
            tables: The tables, with reasons.
            first: The first of the records.
            faults: Why the reader could not use them; null where it could.

        Returns:
            fault, selected, cut, left_out: null where it is not for that; the first that is not null is the reason.
        """
        own = slice(first, first + len(faults))
        conversation = pl.Series(self.conversation[own]).replace(tables.conversations.height, None)
        return pl.DataFrame(
            {
                "fault": faults,
                "selected": tables.conversations["reason"].gather(conversation).cast(pl.String),
                "cut": pl.Series([None, CUT]).gather(self.is_cut_away[own].astype(np.uint32)),
                "left_out": pl.Series([*REASONS, None]).gather(self.left_out[own]),
            }
        )


def find_fates(tables: Tables, samples: pl.DataFrame, left_out: pl.DataFrame) -> Fates:
    """Find out what becomes of every record.

    Args:
        tables: The tables, with reasons.
        samples: The plan's samples.
        left_out: dataset, conversation, reason: what single entries could not use.
    """
    num_conversations = tables.conversations.height
    conversation = np.full(tables.num_records, num_conversations, np.int32)
    conversation[tables.turns["record"].to_numpy()] = tables.turns["conversation"].to_numpy()
    refused = np.full(num_conversations + 1, len(REASONS), np.uint8)
    # of a conversation that is there more than once the first row counts
    last_first = left_out.reverse()
    refused[last_first["conversation"].to_numpy()] = last_first["reason"].to_physical().to_numpy()
    turns_cut, is_cut_away = _cut_turns(tables)
    return Fates(
        conversation=conversation,
        num_samples=_count_uses(tables, samples),
        turns_cut=turns_cut,
        is_cut_away=is_cut_away,
        left_out=refused[conversation],
    )


def _cut_turns(tables: Tables) -> tuple[Ints, Bools]:
    """Count the turns that usable conversations lost to a limit, and find the records of which nothing stayed."""
    turns_cut, is_cut_away = np.zeros(tables.num_records, np.uint32), np.zeros(tables.num_records, bool)
    if "kept" not in tables.turns.columns:
        return turns_cut, is_cut_away
    usable = tables.conversations["reason"].is_null().to_numpy()
    turns = tables.turns.select("record", "kept").filter(pl.Series(usable[tables.turns["conversation"].to_numpy()]))
    record, kept = turns["record"].to_numpy(), turns["kept"].to_numpy()
    turns_cut += np.bincount(record, ~kept, tables.num_records).astype(np.uint32)
    num_kept = np.bincount(record, kept, tables.num_records)
    return turns_cut, (turns_cut > 0) & (num_kept == 0)


def _count_uses(tables: Tables, samples: pl.DataFrame) -> Ints:
    """Count the samples that each record is in; (R,)."""
    _, record = _record_uses(tables, samples)
    return np.bincount(record, minlength=tables.num_records).astype(np.uint32)


def _record_uses(tables: Tables, samples: pl.DataFrame) -> tuple[Ints, Ints]:
    """List every (sample, record) pair once."""
    num_turns = samples["turns"].list.len().to_numpy()
    pairs = np.repeat(np.arange(len(num_turns)), num_turns)
    pairs *= max(1, tables.num_records)
    pairs += tables.turns["record"].to_numpy()[samples["turns"].explode().to_numpy()]
    # numpy.unique hashes first, which takes ten times as long
    pairs.sort()
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return pairs // max(1, tables.num_records), pairs % max(1, tables.num_records)


@dataclass(frozen=True)
class _Uses:
    """How often each record is used by each dataset in each split; rows by record."""

    record: Ints
    kind: Ints
    count: Ints
    #: dataset and split of each kind
    kinds: pl.DataFrame

    @classmethod
    def of(cls, tables: Tables, samples: pl.DataFrame) -> "_Uses":
        names = samples.select(pl.col("dataset", "split").cast(pl.String))
        kinds = names.unique().sort("dataset", "split").with_row_index("kind")
        kind_of = names.join(kinds, on=["dataset", "split"], how="left", maintain_order="left")["kind"].to_numpy()
        sample, record = _record_uses(tables, samples)
        # a record and a kind as one number: sorting numbers is a tenth of the work of grouping by strings
        pairs, counts = np.unique(record * max(1, kinds.height) + kind_of[sample], return_counts=True)
        return cls(pairs // max(1, kinds.height), pairs % max(1, kinds.height), counts, kinds)

    def listed(self, first: int, num_records: int) -> pl.Series:
        """List dataset, split and samples of records in a row; null for one that is not used."""
        own = slice(*np.searchsorted(self.record, [first, first + num_records]))
        counted = self.kinds.select("dataset", "split")[self.kind[own]].with_columns(
            samples=pl.Series(self.count[own], dtype=pl.UInt32),
            row=pl.Series(self.record[own] - first, dtype=pl.UInt32),
        )
        lists = counted.group_by("row", maintain_order=True).agg(pl.struct("dataset", "split", "samples").alias("list"))
        return _spread(lists, pl.int_range(num_records, dtype=pl.UInt32, eager=True))


def _spread(lists: pl.DataFrame, rows: pl.Series) -> pl.Series:
    """Return the list of each of some rows; null where there is none."""
    return rows.alias("row").to_frame().join(lists, on="row", how="left", maintain_order="left")["list"]


def make_ledger(
    tables: Tables, images: Images, limits: Limits, samples: pl.DataFrame, left_out: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Account for every record: yield the ledger's rows of one annotation file after the other.

    Args:
        tables: The tables, with reasons.
        images: Say why they cannot be used.
        limits: The recipe's.
        samples: The plan's samples.
        left_out: dataset, conversation, reason: what single entries could not use.

    Yields:
        source, file, index, record, num_samples, emitted (list of dataset, split, samples), reason and detail (null
        where num_samples > 0), left_out (list of dataset, reason), turns_cut (turns of the record that were cut for a
        limit), pinned and pinned_by (what keeps the references of the record's conversation from being rewritten).
    """
    fates, uses = find_fates(tables, samples, left_out), _Uses.of(tables, samples)
    refusals = left_out.group_by(pl.col("conversation").cast(pl.Int32).alias("row"), maintain_order=True).agg(
        pl.struct(pl.col("dataset", "reason").cast(pl.String)).alias("list")
    )
    first, first_conversation = 0, 0
    for part, file in enumerate(tables.files):
        records = read_table(tables.folder, part, PART_RECORDS)
        pins = read_table(tables.folder, part, PART_CONVERSATIONS, ["pinned", "pinned_by"])
        own = slice(first, first + records.height)
        is_unused = pl.Series(fates.num_samples[own] == 0)
        told = explain(tables, images, limits, fates, first, records, is_unused)
        conversation = pl.Series(fates.conversation[own])
        is_read = fates.conversation[own] < tables.conversations.height
        place = pl.Series(fates.conversation[own] - first_conversation)
        place = pl.select(pl.when(pl.Series(is_read)).then(place)).to_series()
        yield LEDGER.check(
            records.select(
                pl.lit(file.source).alias("source"),
                pl.lit(file.label).alias("file"),
                "index",
                pl.col("id").alias("record"),
                num_samples=pl.Series(fates.num_samples[own]),
                emitted=uses.listed(first, records.height),
                reason=told["reason"],
                detail=told["detail"],
                left_out=_spread(refusals, conversation),
                turns_cut=pl.Series(fates.turns_cut[own]),
                pinned=pins["pinned"].gather(place),
                pinned_by=pins["pinned_by"].gather(place),
            )
        )
        first, first_conversation = first + records.height, first_conversation + pins.height


def explain(
    tables: Tables,
    images: Images,
    limits: Limits,
    fates: Fates,
    first: int,
    records: pl.DataFrame,
    asked: pl.Series,
) -> pl.DataFrame:
    """Say why records in a row are in no sample: reason and detail; null where that is not asked.

    Args:
        tables: The tables, with reasons.
        images: Say why they cannot be used.
        limits: The recipe's.
        fates: What becomes of all records.
        first: The first of the records.
        records: Their reason and detail, from the part.
        asked: Of which to say it.
    """
    reasons = fates.reasons(tables, first, records["reason"])
    # in the order in which the reasons count
    sentences = pl.coalesce(
        pl.when(pl.col("fault").is_not_null()).then("told"),
        "why",
        pl.when(pl.col("cut").is_not_null()).then(pl.lit(_CUT_AWAY)),
        pl.col("left_out").replace_strict(SENTENCES, default=None, return_dtype=pl.String),
        pl.lit(SENTENCES[NOT_DRAWN]),
    )
    rows = (asked & reasons["fault"].is_null() & reasons["selected"].is_not_null()).arg_true().to_numpy()
    why = np.full(records.height, len(rows), np.int64)
    why[rows] = np.arange(len(rows))
    conversations = fates.conversation[first : first + records.height][rows].astype(np.int64)
    words = pl.Series([*details(tables, images, limits, conversations), None], dtype=pl.String)
    return reasons.with_columns(told=records["detail"], why=words.gather(why)).select(
        reason=pl.when(asked).then(pl.coalesce("fault", "selected", "cut", "left_out", pl.lit(NOT_DRAWN))),
        detail=pl.when(asked).then(sentences),
    )


def totals(ledger: pl.DataFrame) -> dict[str, Any]:
    """Return the ledger's totals: records read, emitted, dropped by reason, uses, turns cut, pinned."""
    return {
        "read": ledger.height,
        "emitted": int((ledger["num_samples"] > 0).sum()),
        "dropped": _counted(ledger.filter(pl.col("num_samples") == 0)["reason"]),
        "uses": int(ledger["num_samples"].sum()),
        "turns_cut": int(ledger["turns_cut"].sum()),
        "pinned": _counted(ledger["pinned"].drop_nulls()),
    }


def _counted(reasons: pl.Series) -> dict[str, int]:
    counts = reasons.value_counts().sort(reasons.name)
    return {str(reason): int(count) for reason, count in counts.iter_rows()}


def balance(ledger: pl.DataFrame, num_records: int, num_uses: int) -> None:
    """Check the ledger against what was read and what was written.

    Args:
        ledger: As :func:`make_ledger` made it.
        num_records: Records that the readers gave, summed over files.
        num_uses: (sample, record) pairs, summed over the written samples.

    Raises:
        PlanError: The totals differ: something was lost.
    """
    found = totals(ledger)
    dropped = sum(found["dropped"].values())
    if found["read"] != num_records or found["emitted"] + dropped != num_records:
        raise PlanError(
            f"the ledger does not balance: {num_records:,} records read, {found['emitted']:,} emitted, "
            f"{dropped:,} dropped",
            "this is a fault of the program; please report it with the recipe",
        )
    if found["uses"] != num_uses:
        raise PlanError(
            f"the ledger does not balance: {found['uses']:,} uses of records planned, {num_uses:,} written",
            "this is a fault of the program; please report it with the recipe",
        )
