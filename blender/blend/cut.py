"""Cut: long conversations end at a turn boundary, so that they keep the limits of characters and tokens.

In: ``conversations``, ``turns``, ``image_refs``. Out: the same; ``turns`` say which are kept, and the figures and
images of conversations are those of the turns that are.

Of a conversation whose turns follow on each other the first ones stay, so that no text speaks of a turn or an image
that is gone; images that only later turns show go with these. Where turns may be asked in any order (MIMIC-IT), each
turn that still fits stays, in the order of the file: the same ones in every copy, since what a record gives must not
depend on chance. A conversation of which no turn fits is left whole, and dropped by its length.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from blender.blend.join import Tables
from blender.blend.tables import CONVERSATIONS, TURNS
from blender.core.arrays import Bools, Floats, Ints, starts_of
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


def cut_long(tables: Tables, limits: Limits) -> Tables:
    """Cut the conversations that are longer than the limits of characters and tokens.

    Args:
        tables: What was read.
        limits: The recipe's limits; with ``cut`` off nothing is cut.
    """
    if not limits.cut or (limits.characters is None and limits.tokens is None):
        return tables
    lengths = _lengths(tables, limits)
    kept = _first_ones(lengths)
    for conversation in np.flatnonzero(~lengths.ordered & (_count(lengths, kept) < lengths.num_turns)):
        own = slice(*(lengths.first_turn[conversation] + [0, lengths.num_turns[conversation]]))
        room = lengths.most - lengths.image * lengths.num_images[conversation]
        kept[own] = _those_that_fit(lengths.turns[own], room)
    # of what fits with no turn nothing is cut: it is dropped by its length
    kept[(_count(lengths, kept) == 0)[lengths.owner]] = True
    return tables if kept.all() else _with_kept(tables, lengths, kept)


def _lengths(tables: Tables, limits: Limits) -> _Lengths:
    turns, conversations = tables.turns, tables.conversations
    characters = turns["characters"].to_numpy().astype(np.float64)
    tokens = turns["tokens"].to_numpy().astype(np.float64) if "tokens" in turns.columns else np.zeros(turns.height)
    most = [np.inf if limit is None else float(limit) for limit in (limits.characters, limits.tokens)]
    num_turns = conversations["num_turns"].to_numpy()
    return _Lengths(
        turns=np.column_stack([characters, tokens]),
        shown=turns["shown"].to_numpy(),
        owner=turns["conversation"].to_numpy(),
        first_turn=starts_of(num_turns),
        num_turns=num_turns,
        num_images=conversations["num_images"].to_numpy(),
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


def _with_kept(tables: Tables, lengths: _Lengths, kept: Bools) -> Tables:
    """Note which turns are kept, and count conversations and image references by them."""
    num_kept = _count(lengths, kept)
    cut = num_kept < lengths.num_turns
    last = lengths.shown[lengths.first_turn + np.maximum(num_kept, 1) - 1]
    figures = {
        "num_turns": num_kept,
        "num_images": np.where(cut & lengths.ordered, last, lengths.num_images),
        "turns_cut": lengths.num_turns - num_kept,
    }
    for column, name in enumerate(("characters", "tokens")):
        if name in tables.conversations.columns:
            figures[name] = np.bincount(lengths.owner, lengths.turns[:, column] * kept, len(cut))
    conversations = tables.conversations.with_columns(
        pl.Series(name, values.astype(np.int64)).cast(CONVERSATIONS.columns[name]) for name, values in figures.items()
    )
    owner = tables.owners()
    is_shown = ~lengths.ordered[owner] | (tables.image_refs["turn"].to_numpy() < num_kept[owner])
    return replace(
        tables,
        conversations=CONVERSATIONS.check(conversations),
        turns=TURNS.check(tables.turns.with_columns(kept=pl.Series(kept))),
        image_refs=tables.image_refs.filter(pl.Series(is_shown)),
    )
