"""Conversations that a limit cut, and samples that do not fit a model's context; these only with a tokenizer."""

import polars as pl

from blender.core.counting import counted
from blender.inspect.lint.check import Check
from blender.inspect.lint.tables import LintTables, hits_beyond, hits_in, no_hits


def _find_unusable(material: LintTables) -> pl.DataFrame:
    if material.max_tokens is None:
        return no_hits()
    samples = material.samples.with_row_index("sample")
    faulty = samples.filter(pl.col("fault").is_not_null())
    return hits_in(material, faulty.select("sample", pl.col("fault").alias("detail")))


def _find_long(material: LintTables) -> pl.DataFrame:
    if material.max_tokens is None:
        return no_hits()
    samples = material.samples.with_row_index("sample")
    cut = samples.filter((pl.col("positions") > material.max_tokens) & pl.col("fault").is_null())
    detail = pl.format(
        "{} tokens, {} allowed: {} of {} turns are kept",
        "positions",
        pl.lit(material.max_tokens),
        "kept_turns",
        "turns",
    )
    return hits_in(material, cut.select("sample", detail.alias("detail")))


def _uncounted(material: LintTables) -> str | None:
    return None if material.max_tokens is not None else "no --tokenizer was given"


def _find_cut(material: LintTables) -> pl.DataFrame:
    rows = material.source.cut.iter_rows()
    return hits_beyond(
        [
            (None, f"{source}: {counted(turns, 'turn')} of {counted(records, 'record')}")
            for source, turns, records in rows
        ]
    )


CHECKS = (
    Check(
        "turns_cut",
        "notice",
        "sources lost turns of long conversations to a limit",
        "The first turns of such a conversation are kept, or those that fit where their order is free. Raise "
        "`limits.tokens` or `limits.characters` to keep all; `limits: {cut: false}` drops these conversations whole.",
        _find_cut,
    ),
    Check(
        "sample_unusable",
        "error",
        "samples cannot be trained on",
        "The trainer leaves them out. Where the first turn alone is too long, allow more tokens or fewer images "
        "(`limits: {images: …}`); where the text cannot be tokenised, leave the record out.",
        _find_unusable,
        hindrance=_uncounted,
    ),
    Check(
        "sample_too_long",
        "warning",
        "samples have more tokens than allowed and lose turns at the end",
        "Their last turns, often those about several images, are never trained. Limit `tokens` (with `tokenizer`) in "
        "the recipe, concatenate fewer records, or allow more.",
        _find_long,
        hindrance=_uncounted,
    ),
)
