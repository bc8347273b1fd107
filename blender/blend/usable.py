"""Which conversations a blend may use, and for every other one why not.

A conversation stands or falls as a whole: leaving out one of its images would turn "the second image" into a lie.
"""

import polars as pl

from blender.blend.corpus import Corpus
from blender.recipe import Limits


def judge(corpus: Corpus, images: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Add ``reason`` and ``detail`` to the conversations; null means usable.

    Args:
        corpus: The tables.
        images: What the survey found, one row per image.
        limits: The recipe's limits.
    """
    bad = images.with_row_index("image").filter(pl.col("reason").is_not_null()).select("image", "reason", "detail")
    faulty = (
        corpus.links.join(bad, on="image", maintain_order="left")
        .unique("conversation", keep="first", maintain_order=True)
        .select("conversation", image_reason="reason", image_detail="detail")
    )
    numbered = corpus.conversations.with_row_index("conversation")
    judged = numbered.join(faulty, on="conversation", how="left", maintain_order="left")
    checks = [
        (pl.col("image_reason").is_not_null(), pl.col("image_reason"), pl.col("image_detail")),
        (
            pl.col("num_images") > limits.images,
            pl.lit("too_many_images"),
            pl.format("{} images; the limit is {}", "num_images", pl.lit(limits.images)),
        ),
        *_length_checks(limits),
    ]
    reason, detail = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for condition, word, sentence in reversed(checks):
        reason = pl.when(condition).then(word).otherwise(reason)
        detail = pl.when(condition).then(sentence).otherwise(detail)
    return judged.with_columns(reason.alias("reason"), detail.alias("detail")).drop(
        "image_reason", "image_detail", "conversation"
    )


def _length_checks(limits: Limits) -> list[tuple[pl.Expr, pl.Expr, pl.Expr]]:
    checks = []
    if limits.characters is not None:
        sentence = pl.format("{} characters; the limit is {}", "characters", pl.lit(limits.characters))
        checks.append((pl.col("characters") > limits.characters, pl.lit("too_many_characters"), sentence))
    if limits.tokens is not None:
        weight = pl.col("tokens") + pl.col("num_images").cast(pl.UInt32) * limits.image_tokens
        sentence = pl.format("{} tokens, images included; the limit is {}", weight, pl.lit(limits.tokens))
        checks.append((weight > limits.tokens, pl.lit("too_many_tokens"), sentence))
    return checks
