"""What a reader yields, some thousands at a time, laid out in columns.

A blend has half a million conversations and more turns than that, so nothing here is done turn by turn that can be
done by counting: the readers' objects are taken apart by list comprehensions, and every number is worked out by numpy.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.records import Conversation, Record, Skip, Turn
from blender.references import COARSE, unresolvable

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RECORDS = {"index": pl.UInt32, "id": pl.String, "reason": pl.String, "detail": pl.String}
TURNS = {
    "conversation": pl.UInt32,
    "record": pl.UInt32,
    "shown": pl.UInt16,
    "num_bytes": pl.UInt32,
    "characters": pl.UInt32,
    "tokens": pl.UInt32,
}
CONVERSATIONS = {
    "ordered": pl.Boolean,
    "first_turn": pl.UInt32,
    "num_turns": pl.UInt16,
    "num_images": pl.UInt16,
    "characters": pl.UInt32,
    "tokens": pl.UInt32,
    "pinned": pl.String,
}
LINKS = {"conversation": pl.UInt32, "turn": pl.UInt16, "position": pl.UInt16, "name": pl.UInt32}
TEXTS = {"question": pl.String, "answer": pl.String}


class Numbered(NamedTuple):
    """How many rows came before, for the numbers of those that follow."""

    records: int = 0
    conversations: int = 0
    turns: int = 0


class Names:
    """Numbers names of images, from 0, in the order of first use."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__

    def number(self, names: Iterable[str]) -> list[int]:
        """Return the number of each name, new ones included."""
        return list(map(self._numbers.__getitem__, names))

    def table(self) -> pl.DataFrame:
        """Return the names; row n is number n."""
        return pl.DataFrame({"name": list(self._numbers)}, schema={"name": pl.String})


@dataclass(frozen=True)
class Columns:
    """The tables of some conversations in a row; their columns are told by the schemas of this module."""

    records: pl.DataFrame
    conversations: pl.DataFrame
    turns: pl.DataFrame
    links: pl.DataFrame
    #: row n is turn n
    texts: pl.DataFrame

    def after(self, before: Numbered) -> Numbered:
        """Number on behind these."""
        heights = (self.records.height, self.conversations.height, self.turns.height)
        return Numbered(*(first + height for first, height in zip(before, heights, strict=True)))


@dataclass(frozen=True)
class _Layout:
    """Which turns belong to which conversation, and which images to which turn."""

    #: of each conversation
    num_turns: Ints
    first_turn: Ints
    num_images: Ints
    first_image: Ints
    #: of each turn
    owner: Ints
    num_shown: Ints


def lay_out(items: list[Conversation | Skip], before: Numbered, names: Names, looked_at: tuple[bool, bool]) -> Columns:
    """Lay items out in columns; tokens are not counted here.

    Args:
        items: What a reader yielded.
        before: Rows before these.
        names: Numbers the images' names, which stand in ``links`` as their numbers.
        looked_at: Whether to look in texts for references that cannot be renumbered: in conversations whose turns have
            no order, and in those whose turns have one.
    """
    conversations = [item for item in items if isinstance(item, Conversation)]
    turns = list(chain.from_iterable([conversation.turns for conversation in conversations]))
    layout = _layout(conversations, turns)
    texts = pl.DataFrame([[turn.question for turn in turns], [turn.answer for turn in turns]], schema=TEXTS)
    turn_table = _turns(turns, layout, texts, before, _first_records(items))
    ordered = np.array([conversation.ordered for conversation in conversations], bool)
    suspects = np.array(looked_at)[ordered.astype(np.int64)][layout.owner]
    pinned = _pinned(texts, turn_table["shown"], layout.owner, suspects, len(conversations))
    return Columns(
        records=_records(items),
        conversations=_conversations(ordered, layout, turn_table["characters"], pinned, before),
        turns=turn_table,
        links=_links(layout, names.number(chain.from_iterable([turn.images for turn in turns])), before),
        texts=texts,
    )


def sums(values: npt.NDArray[np.integer], counts: Ints) -> Ints:
    """Sum runs of values, each so many long."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(counts)
    summed: Ints = total[ends] - total[ends - counts]
    return summed


def _layout(conversations: list[Conversation], turns: list[Turn]) -> _Layout:
    num_turns = np.array([len(conversation.turns) for conversation in conversations], np.int64)
    num_shown = np.array([len(turn.images) for turn in turns], np.int64)
    num_images = sums(num_shown, num_turns)
    return _Layout(
        num_turns=num_turns,
        first_turn=np.cumsum(num_turns) - num_turns,
        num_images=num_images,
        first_image=np.cumsum(num_images) - num_images,
        owner=np.repeat(np.arange(len(conversations)), num_turns),
        num_shown=num_shown,
    )


def _records(items: list[Conversation | Skip]) -> pl.DataFrame:
    records: list[Record] = []
    faults: dict[int, Skip] = {}
    for item in items:
        if isinstance(item, Conversation):
            records += item.records
        else:
            faults[len(records)] = item
            records.append(item.record)
    found = [faults.get(place) for place in range(len(records))]
    columns = (
        [record.index for record in records],
        [record.id for record in records],
        [skip and skip.reason for skip in found],
        [skip and skip.detail for skip in found],
    )
    return pl.DataFrame(dict(zip(RECORDS, columns, strict=True)), schema=RECORDS)


def _first_records(items: list[Conversation | Skip]) -> Ints:
    """Say where each conversation's first record stands among the items' records."""
    counts = np.array([len(item.records) if isinstance(item, Conversation) else 1 for item in items], np.int64)
    usable = np.array([isinstance(item, Conversation) for item in items], bool)
    firsts: Ints = (np.cumsum(counts) - counts)[usable]
    return firsts


def _turns(
    turns: list[Turn], layout: _Layout, texts: pl.DataFrame, before: Numbered, first_records: Ints
) -> pl.DataFrame:
    owner = layout.owner
    columns = {
        "conversation": before.conversations + owner,
        "record": before.records + first_records[owner] + np.array([turn.record for turn in turns], np.int64),
        "shown": np.cumsum(layout.num_shown) - layout.first_image[owner],
        "num_bytes": texts["question"].str.len_bytes() + texts["answer"].str.len_bytes(),
        "characters": texts["question"].str.len_chars() + texts["answer"].str.len_chars(),
        "tokens": pl.repeat(None, len(turns), dtype=pl.UInt32, eager=True),
    }
    return pl.DataFrame(columns, schema=TURNS)


def _conversations(
    ordered: Bools, layout: _Layout, characters: pl.Series, pinned: pl.Series, before: Numbered
) -> pl.DataFrame:
    columns = {
        "ordered": ordered,
        "first_turn": before.turns + layout.first_turn,
        "num_turns": layout.num_turns,
        "num_images": layout.num_images,
        "characters": sums(characters.to_numpy(), layout.num_turns),
        "tokens": pl.repeat(None, len(ordered), dtype=pl.UInt32, eager=True),
        "pinned": pinned,
    }
    return pl.DataFrame(columns, schema=CONVERSATIONS)


def _links(layout: _Layout, names: list[int], before: Numbered) -> pl.DataFrame:
    turn_in_conversation = np.arange(len(layout.owner)) - layout.first_turn[layout.owner]
    owner = np.repeat(layout.owner, layout.num_shown)
    columns = {
        "conversation": before.conversations + owner,
        "turn": np.repeat(turn_in_conversation, layout.num_shown),
        "position": np.arange(len(owner)) - layout.first_image[owner] + 1,
        "name": names,
    }
    return pl.DataFrame(columns, schema=LINKS)


def _pinned(texts: pl.DataFrame, shown: pl.Series, owner: Ints, suspects: Bools, num_conversations: int) -> pl.Series:
    """Find for each conversation the first reference that could not be renumbered; null where there is none.

    Args:
        texts: Question and answer of each turn.
        shown: Images shown up to each turn.
        owner: Conversation of each turn.
        suspects: Turns to look at.
        num_conversations: Number of conversations.
    """
    found: dict[int, str] = {}
    table = texts.with_columns(conversation=pl.Series(owner), shown=shown).filter(pl.Series(suspects))
    table = table.filter(pl.any_horizontal(pl.col(texts.columns).str.contains(COARSE)))
    for question, answer, conversation, num_shown in table.iter_rows():
        for text in (question, answer):
            if conversation not in found and (phrase := unresolvable(text, num_shown)) is not None:
                found[conversation] = phrase
    return pl.Series("pinned", [found.get(number) for number in range(num_conversations)], dtype=pl.String)
