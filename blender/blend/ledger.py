"""What became of every record that was read: emitted in so many samples, or dropped for a reason.

The totals are counted twice, once over the plan and once over the samples as they were written, and must agree.
"""

from typing import Any

import numpy as np
import polars as pl

from blender.blend.columns import Ints
from blender.blend.corpus import Corpus
from blender.blend.reasons import CUT, NOT_DRAWN
from blender.core.errors import PlanError


def make_ledger(corpus: Corpus, judged: pl.DataFrame, samples: pl.DataFrame, left_out: pl.DataFrame) -> pl.DataFrame:
    """Account for every record.

    Args:
        corpus: What was read.
        judged: The conversations with the reason that keeps one out of all blends.
        samples: The plan's samples: dataset, split, turns.
        left_out: dataset, conversation, reason, detail: what single entries had to leave out.

    Returns:
        One row per record, in the order of the files: source, file, index, record, num_samples, emitted (list of
        dataset, split, samples), reason and detail (null where num_samples > 0), left_out (list of dataset, reason),
        turns_cut (turns of the record that were cut for a limit), pinned and pinned_by (what keeps the record's
        conversation from standing behind other images).
    """
    ledger = _with_reasons(corpus, judged, left_out).join(
        _uses(corpus, samples), on="record_number", how="left", maintain_order="left"
    )
    ledger = ledger.with_columns(pl.col("num_samples").fill_null(0))
    used = pl.col("num_samples") > 0
    return ledger.select(
        "source",
        "file",
        "index",
        pl.col("id").alias("record"),
        "num_samples",
        "emitted",
        pl.when(used).then(None).otherwise("reason").alias("reason"),
        pl.when(used).then(None).otherwise("detail").alias("detail"),
        "left_out",
        "turns_cut",
        "pinned",
        "pinned_by",
    )


def fates(corpus: Corpus, judged: pl.DataFrame, samples: pl.DataFrame, left_out: pl.DataFrame) -> pl.DataFrame:
    """Tell what becomes of every record without listing where it is used: the ledger's rows, ahead of it.

    Returns:
        record_number, source, file, index, id, turns_cut, num_samples; reason and detail, which mean something only
        where num_samples is 0.
    """
    _, records = _record_uses(corpus, samples["turns"])
    uses = np.bincount(records, minlength=corpus.records.height)
    return _with_reasons(corpus, judged, left_out).with_columns(num_samples=pl.Series(uses)).drop("left_out")


def _with_reasons(corpus: Corpus, judged: pl.DataFrame, left_out: pl.DataFrame) -> pl.DataFrame:
    """Give every record the reason why it is in no sample, should it be in none."""
    conversation = _conversation_of_record(corpus)
    joined = (
        corpus.records.with_row_index("record_number")
        .with_columns(
            conversation_reason=judged["reason"].gather(conversation),
            conversation_detail=judged["detail"].gather(conversation),
            pinned=judged["pinned"].gather(conversation),
            pinned_by=judged["pinned_by"].gather(conversation),
        )
        .join(_cut_turns(corpus, judged), on="record_number", how="left", maintain_order="left")
        .join(_refusals(corpus, left_out), on="record_number", how="left", maintain_order="left")
    )
    part = "the recipe asks for a part of this dataset"
    return joined.select(
        "record_number",
        *("source", "file", "index", "id"),
        pl.coalesce("reason", "conversation_reason", "cut_reason", "refusal_reason", pl.lit(NOT_DRAWN)).alias("reason"),
        pl.coalesce("detail", "conversation_detail", "cut_detail", "refusal_detail", pl.lit(part)).alias("detail"),
        "left_out",
        pl.col("turns_cut").fill_null(0),
        "pinned",
        "pinned_by",
    )


def _cut_turns(corpus: Corpus, judged: pl.DataFrame) -> pl.DataFrame:
    """Count the turns that usable conversations lost to a limit, and say it of records of which nothing stayed.

    Returns:
        record_number, turns_cut, cut_reason, cut_detail.
    """
    shortened = judged["reason"].is_null() & (judged["turns_cut"] > 0)
    turns = corpus.turns.filter(shortened.gather(corpus.turns["conversation"]))
    counted = turns.group_by(record_number="record").agg(
        (~pl.col("kept")).sum().cast(pl.UInt32).alias("turns_cut"), pl.col("kept").any().alias("stays")
    )
    gone = pl.when(~pl.col("stays"))
    detail = "the other turns of the conversation fill the limit"
    return counted.filter(pl.col("turns_cut") > 0).select(
        "record_number",
        "turns_cut",
        gone.then(pl.lit(CUT)).alias("cut_reason"),
        gone.then(pl.lit(detail)).alias("cut_detail"),
    )


def _conversation_of_record(corpus: Corpus) -> pl.Series:
    """Return the conversation of each record; null for one that was skipped."""
    conversation = np.full(corpus.records.height, -1)
    conversation[corpus.turns["record"].to_numpy()] = corpus.turns["conversation"].to_numpy()
    return pl.Series("conversation", conversation).replace(-1, None)


def _uses(corpus: Corpus, samples: pl.DataFrame) -> pl.DataFrame:
    """Count the samples that each record is in: (record_number, num_samples, emitted)."""
    kinds = samples.select("dataset", "split").unique().sort("dataset", "split").with_row_index("kind")
    kind_of = samples.join(kinds, on=["dataset", "split"], how="left", maintain_order="left")["kind"].to_numpy()
    sample, record = _record_uses(corpus, samples["turns"])
    # a record and a kind as one number: sorting numbers is a tenth of the work of grouping by strings
    found, counts = np.unique(record * kinds.height + kind_of[sample], return_counts=True)
    kind = found % max(1, kinds.height)
    counted = pl.DataFrame(
        {
            "record_number": pl.Series(found // max(1, kinds.height), dtype=pl.UInt32).set_sorted(),
            "dataset": kinds["dataset"].gather(kind),
            "split": kinds["split"].gather(kind),
            "samples": pl.Series(counts, dtype=pl.UInt32),
        }
    )
    return counted.group_by("record_number", maintain_order=True).agg(
        pl.col("samples").sum().alias("num_samples"), pl.struct("dataset", "split", "samples").alias("emitted")
    )


def _record_uses(corpus: Corpus, turns: pl.Series) -> tuple[Ints, Ints]:
    """List every (sample, record) pair once, given the turns of each sample."""
    sample = np.repeat(np.arange(len(turns)), turns.list.len().to_numpy())
    record = corpus.turns["record"].gather(turns.explode()).to_numpy()
    # numpy.unique hashes first, which takes ten times as long
    pairs = np.sort(sample * corpus.records.height + record)
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return pairs // corpus.records.height, pairs % corpus.records.height


def _refusals(corpus: Corpus, left_out: pl.DataFrame) -> pl.DataFrame:
    """Spread what entries left out over the records: (record_number, left_out, refusal_reason, refusal_detail)."""
    turns = corpus.turns.select("conversation", pl.col("record").alias("record_number"))
    records = turns.join(left_out, on="conversation", how="semi").unique(maintain_order=True)
    return (
        left_out.join(records, on="conversation", maintain_order="left_right")
        .group_by("record_number", maintain_order=True)
        .agg(
            pl.struct("dataset", "reason").alias("left_out"),
            pl.col("reason").first().alias("refusal_reason"),
            pl.col("detail").first().alias("refusal_detail"),
        )
    )


def totals_ahead(corpus: Corpus, judged: pl.DataFrame, samples: pl.DataFrame, left_out: pl.DataFrame) -> dict[str, Any]:
    """Return what :func:`totals` would of the ledger that :func:`make_ledger` makes of the same, and make none."""
    return totals(fates(corpus, judged, samples, left_out))


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
