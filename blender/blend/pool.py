"""The conversations as arrays, in the form in which blends draw from them.

A blend answers with a :class:`Draft`: which turns each of its samples asks, in which order, and where each image is
first shown. Image numbers inside a text count from the text's own conversation; ``offset`` says how many images the
sample shows before that conversation's first, so that local image ``k`` is image ``offset + k`` of the sample.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.blend.corpus import Corpus
from blender.recipe import Limits

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Conversations in columns; index n of every array is conversation n. ``N`` conversations, ``L`` links."""

    #: names of the sources, sorted
    sources: tuple[str, ...]
    #: number of each conversation's source among them
    source: Ints
    #: turns of conversation n are turns[first_turn[n] : first_turn[n] + num_turns[n]], as numbers of the whole corpus
    turns: Ints
    first_turn: Ints
    num_turns: Ints
    num_images: Ints
    ordered: Bools
    #: not proved harmless: may not stand behind other images
    pinned: Bools
    usable: Bools
    #: (N, 3) images, characters, and tokens (image tokens included) of each
    weights: Floats
    #: (N, 3) the same without the images: no images, characters, tokens of the texts
    text_weights: Floats
    #: (K, 3) the same of each of ``turns``
    turn_weights: Floats
    #: (3,) how much of each a sample may have; infinite where there is no limit
    capacity: Floats
    #: whether conversations may lose turns to keep that
    cut: bool
    #: (N + 1,) links of conversation n are first_link[n]:first_link[n + 1]
    first_link: Ints
    #: (L,) turn of the conversation, from 0, that shows the image
    link_turn: Ints
    #: (L,) image number
    link_image: Ints
    #: (L,) the same for images that are one (``identity``): number of the first of them
    link_content: Ints

    def of(self, sources: tuple[str, ...]) -> Ints:
        """Return the usable conversations of some sources, in the order of the files."""
        return np.flatnonzero(self.usable & self.is_from(*sources))

    def is_from(self, *sources: str) -> Bools:
        """Tell of each conversation whether it is from one of some sources."""
        return np.isin(self.source, [number for number, name in enumerate(self.sources) if name in sources])


def make_pool(corpus: Corpus, judged: pl.DataFrame, contents: pl.Series, limits: Limits) -> Pool:
    """Lay the judged conversations out as arrays.

    Args:
        corpus: The tables.
        judged: Its conversations, with reasons.
        contents: Of each image the number of the first that is the same.
        limits: The recipe's limits.
    """
    sources = judged["source"].unique().sort().to_list()
    links = corpus.links.sort("conversation", "position", maintain_order=True)
    num_images, num_turns = (judged[name].to_numpy().astype(np.int64) for name in ("num_images", "num_turns"))
    return Pool(
        sources=tuple(sources),
        source=judged["source"].replace_strict(sources, range(len(sources)), return_dtype=pl.Int64).to_numpy(),
        turns=np.flatnonzero(corpus.turns["kept"].to_numpy()),
        first_turn=np.cumsum(num_turns) - num_turns,
        num_turns=num_turns,
        num_images=num_images,
        ordered=judged["ordered"].to_numpy(),
        pinned=judged["pinned"].is_not_null().to_numpy(),
        usable=judged["reason"].is_null().to_numpy(),
        weights=_weights(judged, limits.image_tokens, images=1),
        text_weights=_weights(judged, limits.image_tokens, images=0),
        turn_weights=_turn_weights(corpus),
        cut=limits.cut,
        capacity=np.array([limits.images, limits.characters or np.inf, limits.tokens or np.inf], dtype=np.float64),
        first_link=np.concatenate([[0], np.cumsum(num_images)]),
        link_turn=links["turn"].to_numpy().astype(np.int64),
        link_image=links["image"].to_numpy().astype(np.int64),
        link_content=contents.gather(links["image"]).to_numpy().astype(np.int64),
    )


def _weights(judged: pl.DataFrame, image_tokens: int, images: int) -> Floats:
    num_images = judged["num_images"].to_numpy().astype(np.float64) * images
    tokens = judged["tokens"].fill_null(0).to_numpy() + num_images * image_tokens
    return np.column_stack([num_images, judged["characters"].to_numpy().astype(np.float64), tokens])


def _turn_weights(corpus: Corpus) -> Floats:
    kept = corpus.turns.filter("kept")
    columns = (pl.repeat(0, kept.height, eager=True), kept["characters"], kept["tokens"].fill_null(0))
    return np.column_stack([column.to_numpy().astype(np.float64) for column in columns])


@dataclass(frozen=True)
class Draft:
    """Samples as a blend made them, before repeats, shuffle and shards. ``S`` samples."""

    num_samples: int
    #: sample, conversation, turn (corpus-wide number), offset; in the order asked
    turns: pl.DataFrame
    #: sample, seq (index of the turn that shows it, in the sample), image; in the order of the image numbers
    shows: pl.DataFrame
    #: conversation, reason, detail: what this blend had to leave out
    left_out: pl.DataFrame


#: columns of ``Draft.left_out``
LEFT_OUT = {"conversation": pl.UInt32, "reason": pl.String, "detail": pl.String}


def leave_out(conversations: Ints, reason: str, detail: str) -> pl.DataFrame:
    """Make rows of ``Draft.left_out`` with one reason."""
    frame = pl.DataFrame({"conversation": conversations}, schema={"conversation": pl.UInt32})
    return frame.with_columns(pl.lit(reason).alias("reason"), pl.lit(detail).alias("detail"))


def expand(starts: Ints, counts: Ints) -> Ints:
    """Concatenate the ranges ``starts[i] : starts[i] + counts[i]``."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts - starts, counts)


def group_starts(groups: Ints) -> Ints:
    """Return, for each element of a sorted array, the index at which its run of equal values begins."""
    firsts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else groups
    counts = np.diff(np.append(firsts, len(groups)))
    return np.repeat(firsts, counts)


def lay_out(pool: Pool, conversations: Ints, samples: Ints, random: np.random.Generator) -> Draft:
    """Put whole conversations one behind the other.

    Args:
        pool: The conversations.
        conversations: Numbers of the conversations used, in order.
        samples: The sample of each, from 0, not falling.
        random: Orders the turns of conversations whose turns have no order.

    Returns:
        Samples in which each conversation shows its images anew and asks all of its turns.
    """
    num_turns, num_images = pool.num_turns[conversations], pool.num_images[conversations]
    before = np.cumsum(num_images) - num_images
    offset = before - before[group_starts(samples)] if len(samples) else before
    turn = pool.turns[expand(pool.first_turn[conversations], num_turns)]
    use = np.repeat(np.arange(len(conversations)), num_turns)
    key = np.where(np.repeat(pool.ordered[conversations], num_turns), np.arange(len(turn)), random.random(len(turn)))
    turn = turn[np.lexsort((key, use))]
    first = np.cumsum(num_turns) - num_turns
    first_seq = first - first[group_starts(samples)] if len(samples) else first
    link = expand(pool.first_link[conversations], num_images)
    shown_by = np.repeat(first_seq, num_images) + np.where(
        np.repeat(pool.ordered[conversations], num_images), pool.link_turn[link], 0
    )
    return make_draft(
        int(samples[-1]) + 1 if len(samples) else 0,
        (np.repeat(samples, num_turns), np.repeat(conversations, num_turns), turn, np.repeat(offset, num_turns)),
        (np.repeat(samples, num_images), shown_by, pool.link_image[link]),
    )


def make_draft(
    num_samples: int,
    turns: tuple[Ints, Ints, Ints, Ints],
    shows: tuple[Ints, Ints, Ints],
    left_out: pl.DataFrame | None = None,
) -> Draft:
    """Make a draft out of columns: (sample, conversation, turn, offset) and (sample, seq, image)."""
    turn_columns = dict(zip(("sample", "conversation", "turn", "offset"), turns, strict=True))
    show_columns = dict(zip(("sample", "seq", "image"), shows, strict=True))
    return Draft(
        num_samples,
        pl.DataFrame(turn_columns, schema=dict.fromkeys(turn_columns, pl.UInt32)),
        pl.DataFrame(show_columns, schema=dict.fromkeys(show_columns, pl.UInt32)),
        pl.DataFrame(schema=LEFT_OUT) if left_out is None else left_out,
    )
