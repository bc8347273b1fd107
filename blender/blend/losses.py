"""The table of reasons: how many records of each source are in no sample, why, and one of them as an example."""

import msgspec
import polars as pl

from blender.blend.reasons import ASKED_FOR


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


def list_losses(fates: pl.DataFrame) -> list[Loss]:
    """Count the records that are in no sample by source and reason: sources as read, faults and large counts first.

    Args:
        fates: What became of every record, as :func:`blender.blend.ledger.fates` has it.
    """
    sizes = fates.group_by("source", maintain_order=True).len("in_source").with_row_index("order")
    counted = (
        fates.filter(pl.col("num_samples") == 0)
        .group_by("source", "reason")
        .agg(pl.len().alias("records"), pl.col("file", "id", "detail").sort_by("record_number").first())
        .join(sizes, on="source")
        .with_columns(fault=~pl.col("reason").is_in(list(ASKED_FOR)))
        .sort("order", "fault", "records", "reason", descending=[False, True, True, False])
    )
    return [
        Loss(
            source=row["source"],
            reason=row["reason"],
            fault=row["fault"],
            records=row["records"],
            share=row["records"] / row["in_source"],
            example=f"{row['file']}/{row['id']}",
            detail=row["detail"] or "",
        )
        for row in counted.iter_rows(named=True)
    ]
