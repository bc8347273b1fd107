"""Long conversations, cut at a turn boundary so that they keep the limits of characters and tokens.

Of a conversation whose turns follow on each other the first ones stay, so that no text speaks of a turn or an image
that is gone; images that only later turns show go with these. Where turns may be asked in any order (MIMIC-IT), each
turn that still fits stays, in the order of the file: the same ones in every copy, since what a record gives must not
depend on chance. A conversation of which no turn fits is left whole, and dropped by its length.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from blender.blend.columns import CONVERSATIONS, Bools, Floats, Ints
from blender.blend.corpus import Corpus
from blender.recipe import Limits


@dataclass(frozen=True)
class _Lengths:
    """What turns and conversations take of the limits. ``T`` turns, ``N`` conversations; columns characters, tokens."""

    #: (T, 2) of the texts alone
    turns: Floats
    #: (T,) images shown up to each turn
    shown: Ints
    #: (T,) conversation of each turn
    owner: Ints
    #: (N,)
    first_turn: Ints
    num_turns: Ints
    num_images: Ints
    ordered: Bools
    #: (2,) what an image takes
    image: Floats
    #: (2,) what a conversation may take; infinite where there is no limit
    most: Floats


def cut_long(corpus: Corpus, limits: Limits) -> Corpus:
    """Cut the conversations that are longer than the limits of characters and tokens.

    Args:
        corpus: What was read.
        limits: The recipe's limits; with ``cut`` off nothing is cut.

    Returns:
        The corpus with ``kept`` among the columns of its turns, and ``turns_cut`` among those of its conversations; the
        other figures of conversations are those of the turns kept, and so are the links.
    """
    lengths = _lengths(corpus, limits)
    kept: Bools = np.ones(len(lengths.owner), dtype=bool)
    if limits.cut and np.isfinite(lengths.most).any():
        kept = _first_ones(lengths)
        for conversation in np.flatnonzero(~lengths.ordered & (_count(lengths, kept) < lengths.num_turns)):
            own = slice(*(lengths.first_turn[conversation] + [0, lengths.num_turns[conversation]]))
            room = lengths.most - lengths.image * lengths.num_images[conversation]
            kept[own] = _those_that_fit(lengths.turns[own], room)
        # of what fits with no turn nothing is cut: it is dropped by its length
        kept[(_count(lengths, kept) == 0)[lengths.owner]] = True
    return _with_kept(corpus, lengths, kept)


def _lengths(corpus: Corpus, limits: Limits) -> _Lengths:
    turns, conversations = corpus.turns, corpus.conversations
    tokens = turns["tokens"].fill_null(0).to_numpy().astype(np.float64)
    most = [np.inf if limit is None else float(limit) for limit in (limits.characters, limits.tokens)]
    return _Lengths(
        turns=np.column_stack([turns["characters"].to_numpy().astype(np.float64), tokens]),
        shown=turns["shown"].to_numpy().astype(np.int64),
        owner=turns["conversation"].to_numpy().astype(np.int64),
        first_turn=conversations["first_turn"].to_numpy().astype(np.int64),
        num_turns=conversations["num_turns"].to_numpy().astype(np.int64),
        num_images=conversations["num_images"].to_numpy().astype(np.int64),
        ordered=conversations["ordered"].to_numpy(),
        image=np.array([0.0, limits.image_tokens]),
        most=np.array(most),
    )


def _first_ones(lengths: _Lengths) -> Bools:
    """Find the turns up to which a conversation keeps the limits."""
    total = np.cumsum(lengths.turns, axis=0)
    before = total[lengths.first_turn] - lengths.turns[lengths.first_turn]
    up_to = total - before[lengths.owner] + lengths.image * lengths.shown[:, None]
    return np.asarray((up_to <= lengths.most).all(axis=1), dtype=bool)


def _those_that_fit(turns: Floats, room: Floats) -> Bools:
    """Take every turn that still fits into what room is left, in order."""
    kept = np.zeros(len(turns), dtype=bool)
    for number, turn in enumerate(turns):
        if (turn <= room).all():
            kept[number], room = True, room - turn
    return kept


def _count(lengths: _Lengths, kept: Bools) -> Ints:
    return np.bincount(lengths.owner, kept, len(lengths.num_turns)).astype(np.int64)


def _with_kept(corpus: Corpus, lengths: _Lengths, kept: Bools) -> Corpus:
    """Note which turns are kept, and count conversations and links by them."""
    num_kept = _count(lengths, kept)
    cut = num_kept < lengths.num_turns
    last = lengths.shown[lengths.first_turn + np.maximum(num_kept, 1) - 1] if len(cut) else lengths.num_images
    sums = {
        name: np.bincount(lengths.owner, lengths.turns[:, column] * kept, len(cut))
        for column, name in enumerate(("characters", "tokens"))
    }
    figures = {
        "num_turns": num_kept,
        "num_images": np.where(cut & lengths.ordered, last, lengths.num_images),
        **{name: values.astype(np.int64) for name, values in sums.items()},
    }
    changed = pl.Series(cut)
    conversations = corpus.conversations.with_columns(
        *(
            pl.when(changed).then(pl.Series(values)).otherwise(pl.col(name)).cast(CONVERSATIONS[name]).alias(name)
            for name, values in figures.items()
        ),
        turns_cut=pl.Series(lengths.num_turns - num_kept, dtype=pl.UInt16),
    )
    shown_by, owner = (corpus.links[name].to_numpy().astype(np.int64) for name in ("turn", "conversation"))
    is_shown = ~lengths.ordered[owner] | (shown_by < num_kept[owner])
    return replace(
        corpus,
        conversations=conversations,
        turns=corpus.turns.with_columns(kept=pl.Series(kept)),
        links=corpus.links.filter(pl.Series(is_shown)),
    )
