"""What a reader yields, some thousands at a time, laid out in columns.

A blend has half a million conversations and more turns than that, so nothing here is done turn by turn that can be
done by counting, with numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from blender.data.records import Batch
from blender.data.references import UnclearReference, find_unclear_reference, must_be_read

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

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
    # why it may not stand behind other images, and the phrase that says so; null: it may, or this was not looked at
    "pinned": pl.String,
    "pinned_by": pl.String,
}
LINKS = {"conversation": pl.UInt32, "turn": pl.UInt16, "position": pl.UInt16, "name": pl.String}
TEXTS = {"question": pl.String, "answer": pl.String, "system": pl.String}
#: of a text that is pinned as a whole, so much is kept
_LONGEST_PHRASE = 80


class Numbered(NamedTuple):
    """How many rows came before, for the numbers of those that follow."""

    records: int = 0
    conversations: int = 0
    turns: int = 0


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


def lay_out(batch: Batch, before: Numbered, looked_at: tuple[bool, bool]) -> Columns:
    """Lay a batch out in columns; tokens are not counted here.

    Args:
        batch: What a reader yielded.
        before: Rows before these.
        looked_at: Whether to look for what keeps texts from standing behind other images: in conversations whose turns
            have no order, and in those whose turns have one.
    """
    layout = _layout(batch)
    texts = pl.DataFrame([batch.questions, batch.answers, _systems(batch)], schema=TEXTS)
    turn_table = _turns(batch, layout, texts, before)
    ordered = np.array(batch.ordered, bool)
    suspects = np.array(looked_at)[ordered.astype(np.int64)][layout.owner]
    pinned = _pinned(texts, turn_table["shown"], layout, suspects)
    return Columns(
        records=_records(batch),
        conversations=_conversations(ordered, layout, turn_table["characters"], pinned, before),
        turns=turn_table,
        links=_links(layout, batch.names, before),
        texts=texts,
    )


def number_names(names: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Number names in the order of first use.

    Returns:
        Each name once, row n being number n (``name``); and the number of each of ``names``.
    """
    # polars would take a join, and twice the memory
    encoded = names.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    distinct = pl.Series("name", encoded.dictionary, dtype=pl.String)
    number = pl.Series("number", encoded.indices, dtype=pl.UInt32)
    del encoded
    pa.default_memory_pool().release_unused()
    return distinct.to_frame(), number


def sums(values: npt.NDArray[np.integer], counts: Ints) -> Ints:
    """Sum runs of values, each so many long."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(counts)
    summed: Ints = total[ends] - total[ends - counts]
    return summed


def _layout(batch: Batch) -> _Layout:
    num_turns, num_shown = np.array(batch.num_turns, np.int64), np.array(batch.num_shown, np.int64)
    num_images = sums(num_shown, num_turns)
    return _Layout(
        num_turns=num_turns,
        first_turn=np.cumsum(num_turns) - num_turns,
        num_images=num_images,
        first_image=np.cumsum(num_images) - num_images,
        owner=np.repeat(np.arange(len(num_turns)), num_turns),
        num_shown=num_shown,
    )


def _systems(batch: Batch) -> pl.Series:
    if not batch.systems:
        return pl.repeat("", len(batch.questions), dtype=pl.String, eager=True)
    return pl.Series([batch.systems.get(turn, "") for turn in range(len(batch.questions))], dtype=pl.String)


def _records(batch: Batch) -> pl.DataFrame:
    said: dict[str, list[str | None]] = {"reason": [None] * len(batch.ids), "detail": [None] * len(batch.ids)}
    for place, fault in batch.faults.items():
        said["reason"][place], said["detail"][place] = fault
    return pl.DataFrame({"index": batch.indices, "id": batch.ids, **said}, schema=RECORDS)


def _turns(batch: Batch, layout: _Layout, texts: pl.DataFrame, before: Numbered) -> pl.DataFrame:
    owner, first_records = layout.owner, np.array(batch.first_record, np.int64)
    columns = {
        "conversation": before.conversations + owner,
        "record": before.records + first_records[owner] + np.array(batch.record, np.int64),
        "shown": np.cumsum(layout.num_shown) - layout.first_image[owner],
        "num_bytes": texts.select(pl.sum_horizontal(pl.all().str.len_bytes())).to_series(),
        "characters": texts.select(pl.sum_horizontal(pl.all().str.len_chars())).to_series(),
        "tokens": pl.repeat(None, len(owner), dtype=pl.UInt32, eager=True),
    }
    return pl.DataFrame(columns, schema=TURNS)


def _conversations(
    ordered: Bools, layout: _Layout, characters: pl.Series, pinned: Sequence[UnclearReference | None], before: Numbered
) -> pl.DataFrame:
    columns = {
        "ordered": ordered,
        "first_turn": before.turns + layout.first_turn,
        "num_turns": layout.num_turns,
        "num_images": layout.num_images,
        "characters": sums(characters.to_numpy(), layout.num_turns),
        "tokens": pl.repeat(None, len(ordered), dtype=pl.UInt32, eager=True),
        "pinned": [pin and pin.reason for pin in pinned],
        "pinned_by": [pin and pin.phrase[:_LONGEST_PHRASE] for pin in pinned],
    }
    return pl.DataFrame(columns, schema=CONVERSATIONS)


def _links(layout: _Layout, names: list[str], before: Numbered) -> pl.DataFrame:
    turn_in_conversation = np.arange(len(layout.owner)) - layout.first_turn[layout.owner]
    owner = np.repeat(layout.owner, layout.num_shown)
    columns = {
        "conversation": before.conversations + owner,
        "turn": np.repeat(turn_in_conversation, layout.num_shown),
        "position": np.arange(len(owner)) - layout.first_image[owner] + 1,
        "name": names,
    }
    return pl.DataFrame(columns, schema=LINKS)


def _pinned(texts: pl.DataFrame, shown: pl.Series, layout: _Layout, suspects: Bools) -> list[UnclearReference | None]:
    """Find for each conversation what first keeps it from standing behind other images; None where nothing does.

    Args:
        texts: Question, answer and system text of each turn.
        shown: Images shown up to each turn.
        layout: Which turns belong to which conversation.
        suspects: Turns to look at.
    """
    found: list[UnclearReference | None] = [None] * len(layout.num_turns)
    several = pl.Series("several", (layout.num_images > 1)[layout.owner])
    table = texts.with_columns(several, conversation=pl.Series(layout.owner), shown=shown).filter(pl.Series(suspects))
    doubtful = pl.any_horizontal(must_be_read(pl.col(name)) for name in texts.columns)
    for *own, is_several, conversation, num_shown in table.filter(pl.col("several") | doubtful).iter_rows():
        for text in own:
            found[conversation] = found[conversation] or find_unclear_reference(text, num_shown, is_several)
    return found
