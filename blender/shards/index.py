"""The index of a split: one row per sample, so that any sample is one read away.

``offset`` and ``size`` span all members of a sample, headers included; those in ``members`` are of their contents.
"""

from typing import Any

import polars as pl

SCHEMA: dict[str, Any] = {
    "key": pl.String,
    "shard": pl.String,
    "dataset": pl.String,
    "offset": pl.UInt64,
    "size": pl.UInt64,
    "members": pl.List(pl.Struct({"name": pl.String, "offset": pl.UInt64, "size": pl.UInt64})),
    "num_images": pl.UInt16,
    "num_turns": pl.UInt16,
    "num_sources": pl.UInt16,
    "question_characters": pl.UInt32,
    "answer_characters": pl.UInt32,
}

INDEX_NAME = "index.parquet"


def empty_index() -> pl.DataFrame:
    """Return an index without samples."""
    return pl.DataFrame(schema=SCHEMA)
