"""The table of reasons: how many records of each source are in no sample, why, and one of them as an example."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import polars as pl

from blender.blend.disk import Rows, read_table
from blender.blend.images import Images
from blender.blend.join import Tables
from blender.blend.ledger import Fates, explain
from blender.blend.reasons import NOT_DRAWN, is_fault
from blender.blend.tables import PART_CONVERSATIONS, PART_RECORDS
from blender.core.arrays import Ints
from blender.recipe import Limits


class Loss(msgspec.Struct, frozen=True):
    """Records of one source that are in no sample for one reason."""

    source: str
    reason: str
    #: a fault of the data, and not what the recipe asks to leave out
    fault: bool
    records: int
    #: of the source's records
    share: float
    #: the first one of them: file and id
    example: str
    #: a sentence about that one
    detail: str


def count_losses(tables: Tables, images: Images, limits: Limits, fates: Fates) -> tuple[list[Loss], dict[str, Any]]:
    """Count the records that are in no sample by source and reason: sources as read, faults and large counts first.

    Args:
        tables: The tables, with reasons.
        images: Say why they cannot be used.
        limits: The recipe's.
        fates: What becomes of every record.

    Returns:
        The losses; and what :func:`blender.blend.ledger.totals` would count in the ledger.
    """
    counts, examples, sizes = Counter[tuple[str, str]](), dict[tuple[str, str], tuple[str, str]](), Counter[str]()
    pinned, first, first_conversation = Counter[str](), 0, 0
    for part, file in enumerate(tables.files):
        faults = read_table(tables.folder, part, PART_RECORDS, ["reason"])["reason"]
        sizes[file.source] += len(faults)
        is_unused = pl.Series(fates.num_samples[first : first + len(faults)] == 0)
        reasons = fates.reasons(tables, first, faults)
        reason = reasons.select(pl.coalesce("fault", "selected", "cut", "left_out", pl.lit(NOT_DRAWN)).alias("reason"))
        lost = reason.with_row_index("row").filter(is_unused).group_by("reason").agg(pl.len(), pl.col("row").min())
        for word, count, row in lost.iter_rows():
            counts[file.source, word] += count
            if (file.source, word) not in examples:
                examples[file.source, word] = _example(tables, images, limits, fates, part, first, row)
        pins = read_table(tables.folder, part, PART_CONVERSATIONS, ["pinned"])["pinned"]
        pinned += _pinned(pins, fates.conversation[first : first + len(faults)] - first_conversation)
        first, first_conversation = first + len(faults), first_conversation + len(pins)
    losses = [
        Loss(source, reason, is_fault(reason), count, count / sizes[source], *examples[source, reason])
        for (source, reason), count in counts.items()
    ]
    order = {source: number for number, source in enumerate(sizes)}
    losses.sort(key=lambda loss: (order[loss.source], not loss.fault, -loss.records, loss.reason))
    dropped = Counter[str]()
    for loss in losses:
        dropped[loss.reason] += loss.records
    return (
        losses,
        {
            "read": len(fates.num_samples),
            "emitted": int((fates.num_samples > 0).sum()),
            "dropped": dict(sorted(dropped.items())),
            "uses": int(fates.num_samples.sum()),
            "turns_cut": int(fates.turns_cut.sum()),
            "pinned": dict(sorted(pinned.items())),
        },
    )


def _example(
    tables: Tables, images: Images, limits: Limits, fates: Fates, part: int, first: int, row: int
) -> tuple[str, str]:
    """Name a record, and say why it is in no sample."""
    columns = ["id", "reason", "detail"]
    own = Rows([PART_RECORDS.path(tables.folder, part)]).take([row], columns)
    record = pl.DataFrame(own, schema=dict.fromkeys(columns, pl.String), orient="row")
    detail = explain(tables, images, limits, fates, first + row, record, pl.Series([True]))["detail"][0]
    return f"{tables.files[part].label}/{record['id'][0]}", detail or ""


def _pinned(pins: pl.Series, conversation: Ints) -> Counter[str]:
    """Count the records of a part whose references cannot be rewritten, by reason.

    Args:
        pins: The reason of each of its conversations.
        conversation: Of each of its records, in the part; others are those that the reader could not use.
    """
    if pins.null_count() == len(pins):
        return Counter()
    of_conversation = conversation[(conversation >= 0) & (conversation < len(pins))]
    counts = np.bincount(of_conversation, minlength=len(pins))
    counted = pl.DataFrame({"pinned": pins, "count": counts}).drop_nulls().group_by("pinned").agg(pl.col("count").sum())
    return Counter({str(word): int(count) for word, count in counted.iter_rows()})
