"""Select: which conversations a blend may use, and for every other one why not. The one room for reasons.

In: ``conversations``, ``image_refs`` and ``images``. Out: ``conversations`` with their column ``reason``. A filter is
one more line in :func:`_checks`: a condition, a word of :mod:`blender.blend.reasons` and a sentence. The sentences are
made when somebody wants to read them (:func:`details`).

A conversation is used or left out as a whole: without one of its images "the second image" would be another.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from blender.blend.images import Images
from blender.blend.join import Tables
from blender.blend.tables import CONVERSATIONS, Reason
from blender.core.arrays import Bools, Ints, expand, starts_of
from blender.recipe import Limits

#: condition, reason, and the sentence of one conversation
_Check = tuple[Bools, str, Callable[[int], str]]
STRADDLES = "straddles_split"


def select(tables: Tables, images: Images, limits: Limits) -> Tables:
    """Give conversations that may not be used their reason.

    Args:
        tables: What was read.
        images: The images, with their reasons.
        limits: The recipe's limits.
    """
    reason = pl.repeat(None, tables.conversations.height, dtype=Reason, eager=True).alias("reason")
    for condition, word, _ in reversed(list(_checks(tables, limits))):
        reason = _where(condition, pl.lit(word, Reason), reason)
    conversations, refs = _faulty_images(tables, images)
    if len(conversations):
        word_of = images.table["reason"].gather(tables.image_refs["image"].gather(refs))
        numbered = reason.to_frame().with_columns(row=pl.int_range(pl.len()))
        faults = pl.DataFrame({"row": conversations, "fault": word_of})
        joined = numbered.join(faults, on="row", how="left", maintain_order="left")
        reason = joined.select(pl.coalesce("fault", "reason").alias("reason")).to_series()
    return _with_reason(tables, reason)


def leave_out_straddling(tables: Tables, straddling: Bools) -> Tables:
    """Give conversations that show images of train and of eval their reason."""
    if not straddling.any():
        return tables
    return _with_reason(tables, _where(straddling, pl.lit(STRADDLES, Reason), tables.conversations["reason"]))


def details(tables: Tables, images: Images, limits: Limits, conversations: Ints) -> list[str]:
    """Say why some conversations may not be used, a sentence each.

    Args:
        tables: With reasons.
        images: All images.
        limits: The recipe's limits.
        conversations: Numbers of conversations that have a reason.
    """
    sentences = {word: sentence for _, word, sentence in _checks(tables, limits)}
    sentences[STRADDLES] = lambda _: "shows an image of train and one of eval"
    reasons = tables.conversations["reason"].gather(conversations).to_list()
    of_image = [number for number, reason in enumerate(reasons) if reason not in sentences]
    faults = dict(zip(of_image, _image_details(tables, images, conversations[of_image]), strict=True))
    return [
        (faults[number] or "") if number in faults else sentences[reason](int(conversation))
        for number, (reason, conversation) in enumerate(zip(reasons, conversations, strict=True))
    ]


def _checks(tables: Tables, limits: Limits) -> Iterator[_Check]:
    """Yield what keeps conversations out, the most telling first; faults of their images come before all."""
    frame = tables.conversations
    num_images, characters = frame["num_images"].to_numpy(), frame["characters"].to_numpy()
    yield (
        num_images > limits.images,
        "too_many_images",
        lambda number: f"{num_images[number]} images; the limit is {limits.images}",
    )
    if limits.characters is not None:
        yield (
            characters > limits.characters,
            "too_many_characters",
            lambda number: f"{characters[number]} characters; the limit is {limits.characters}",
        )
    if limits.tokens is not None:
        weight = frame["tokens"].to_numpy() + num_images.astype(np.int64) * limits.image_tokens
        yield (
            weight > limits.tokens,
            "too_many_tokens",
            lambda number: f"{weight[number]} tokens, images included; the limit is {limits.tokens}",
        )


def _faulty_images(tables: Tables, images: Images) -> tuple[Ints, Ints]:
    """Find the conversations that show an image which cannot be used, and the first such image reference of each."""
    is_faulty = images.table["reason"].is_not_null().to_numpy()
    if not is_faulty.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    refs = np.flatnonzero(is_faulty[tables.image_refs["image"].to_numpy()])
    owner = tables.owners()[refs]
    is_first = np.diff(owner, prepend=-1) > 0
    return owner[is_first].astype(np.int64), refs[is_first]


def _image_details(tables: Tables, images: Images, conversations: Ints) -> list[str | None]:
    """Say what is wrong with the first image of each conversation that cannot be used."""
    if not len(conversations):
        return []
    num_images: Ints = tables.conversations["num_images"].to_numpy()
    counts = num_images[conversations]
    shown = tables.image_refs["image"].gather(expand(starts_of(num_images)[conversations], counts))
    is_faulty = images.table["reason"].gather(shown).is_not_null().to_numpy()
    owner = np.repeat(np.arange(len(conversations)), counts)[is_faulty]
    return images.details(shown.to_numpy()[is_faulty][np.diff(owner, prepend=-1) > 0].tolist())


def _where(condition: Bools, word: pl.Expr, otherwise: pl.Series) -> pl.Series:
    return pl.select(pl.when(pl.Series(condition)).then(word).otherwise(otherwise).alias("reason")).to_series()


def _with_reason(tables: Tables, reason: pl.Series) -> Tables:
    return replace(tables, conversations=CONVERSATIONS.check(tables.conversations.with_columns(reason=reason)))
