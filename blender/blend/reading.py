"""Annotation files → tables, one process per file.

Everything that must look at texts happens here, while they are at hand: lengths, hashes, and whether a conversation
may stand behind other images. What leaves a process is small but for the texts, which go to a memory-mapped Arrow file
per annotation file, so that planning never holds them and every writer can reach any turn without reading the rest.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import fsspec
import polars as pl
import pyarrow as pa

from blender.records import Conversation, Skip
from blender.references import COARSE, unresolvable
from blender.sources import read_file


@dataclass(frozen=True)
class Part:
    """One annotation file of a source, to be read."""

    source: str
    format: str
    path: str
    #: where the tables go; files are named after ``number``
    folder: Path
    number: int
    #: tokenizer.json to count tokens with; None: tokens are not counted
    tokenizer: str | None = None

    def table(self, name: str) -> Path:
        """Path of one of the part's tables."""
        return self.folder / f"{self.number:04d}.{name}.arrow"


@dataclass(frozen=True)
class PartRead:
    """What reading a part gave."""

    part: Part
    sha256: str
    num_bytes: int
    num_records: int
    num_turns: int


@dataclass
class _Columns:
    """The tables of a part while they grow; numbers are local to the part."""

    records: dict[str, list[object]] = field(
        default_factory=lambda: {"index": [], "id": [], "reason": [], "detail": []}
    )
    turns: dict[str, list[object]] = field(
        default_factory=lambda: {"conversation": [], "record": [], "shown": [], "question": [], "answer": []}
    )
    conversations: dict[str, list[object]] = field(
        default_factory=lambda: {"ordered": [], "first_turn": [], "num_turns": [], "num_images": []}
    )
    links: dict[str, list[object]] = field(
        default_factory=lambda: {"conversation": [], "turn": [], "position": [], "name": []}
    )

    def add_skip(self, skip: Skip) -> None:
        self._add_record(skip.record.index, skip.record.id, skip.reason, skip.detail)

    def _add_record(self, *row: object) -> None:
        for column, value in zip(self.records.values(), row, strict=True):
            column.append(value)

    def add(self, conversation: Conversation) -> None:
        first_record, number = len(self.records["id"]), len(self.conversations["ordered"])
        for record in conversation.records:
            self._add_record(record.index, record.id, None, None)
        first_turn, turns = len(self.turns["record"]), conversation.turns
        shown = list(accumulate(len(turn.images) for turn in turns))
        self.turns["conversation"] += [number] * len(turns)
        self.turns["record"] += [first_record + turn.record for turn in turns]
        self.turns["shown"] += shown
        self.turns["question"] += [turn.question for turn in turns]
        self.turns["answer"] += [turn.answer for turn in turns]
        for turn_number, turn in enumerate(turns):
            for name in turn.images:
                position = len(self.links["name"]) + 1
                for column, value in zip(self.links.values(), (number, turn_number, position, name), strict=True):
                    column.append(value)
        row = (conversation.ordered, first_turn, len(turns), shown[-1])
        for column, value in zip(self.conversations.values(), row, strict=True):
            column.append(value)


_RECORDS = {"index": pl.UInt32, "id": pl.String, "reason": pl.String, "detail": pl.String}
_TURNS = {
    "conversation": pl.UInt32,
    "record": pl.UInt32,
    "shown": pl.UInt16,
    "question": pl.String,
    "answer": pl.String,
}
_CONVERSATIONS = {"ordered": pl.Boolean, "first_turn": pl.UInt32, "num_turns": pl.UInt16, "num_images": pl.UInt16}
_LINKS = {"conversation": pl.UInt32, "turn": pl.UInt16, "position": pl.UInt32, "name": pl.String}


def read_part(part: Part) -> PartRead:
    """Read one annotation file into tables under ``part.folder``.

    Writes ``records`` (index, id, reason, detail), ``turns`` (conversation, record, shown, num_bytes, characters,
    tokens), ``texts`` (question, answer: row n is turn n), ``conversations`` (ordered, first_turn, num_turns,
    num_images, characters, tokens, pinned) and ``links`` (conversation, turn, position from 1, name).

    Raises:
        SourceError: The file cannot be read.
    """
    columns = _Columns()
    _fill(columns, read_file(part.format, part.path))
    records = pl.DataFrame(columns.records, schema=_RECORDS)
    turns = pl.DataFrame(columns.turns, schema=_TURNS)
    conversations = pl.DataFrame(columns.conversations, schema=_CONVERSATIONS)
    links = pl.DataFrame(columns.links, schema=_LINKS)
    del columns
    turns = turns.with_columns(_lengths(turns, part.tokenizer))
    links = links.with_columns(pl.col("position") - pl.col("position").min().over("conversation") + 1)
    conversations = _conclude(conversations, turns)
    records.write_ipc(part.table("records"))
    conversations.write_ipc(part.table("conversations"))
    links.with_columns(pl.col("position").cast(pl.UInt16)).write_ipc(part.table("links"))
    turns.drop("question", "answer").write_ipc(part.table("turns"))
    _write_texts(turns.select("question", "answer"), part.table("texts"))
    sha256, num_bytes = _digest(part.path)
    return PartRead(part, sha256, num_bytes, records.height, turns.height)


def _fill(columns: _Columns, items: Iterator[Conversation | Skip]) -> None:
    for item in items:
        if isinstance(item, Skip):
            columns.add_skip(item)
        else:
            columns.add(item)


def _lengths(turns: pl.DataFrame, tokenizer: str | None) -> list[pl.Expr | pl.Series]:
    both = [pl.col("question"), pl.col("answer")]
    return [
        pl.sum_horizontal(text.str.len_bytes() for text in both).cast(pl.UInt32).alias("num_bytes"),
        pl.sum_horizontal(text.str.len_chars() for text in both).cast(pl.UInt32).alias("characters"),
        _count_tokens(turns, tokenizer),
    ]


def _count_tokens(turns: pl.DataFrame, tokenizer: str | None) -> pl.Series:
    """Count the tokens of each turn's texts; without a tokenizer the column is empty."""
    if tokenizer is None:
        return pl.Series("tokens", [None] * turns.height, dtype=pl.UInt32)
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(tokenizer)
    counts = [0] * turns.height
    for column in ("question", "answer"):
        for start in range(0, turns.height, 10_000):
            texts = turns[column][start : start + 10_000].to_list()
            for row, encoding in enumerate(encoder.encode_batch_fast(texts, add_special_tokens=False), start):
                counts[row] += len(encoding)
    return pl.Series("tokens", counts, dtype=pl.UInt32)


def _conclude(conversations: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """Add to each conversation its lengths and, in ``pinned``, what keeps it from standing behind other images."""
    sums = turns.group_by("conversation").agg(pl.col("characters").sum(), pl.col("tokens").sum())
    numbered = conversations.with_row_index("conversation").join(
        sums, on="conversation", how="left", maintain_order="left"
    )
    return numbered.join(_pinned(turns), on="conversation", how="left", maintain_order="left").drop("conversation")


def _pinned(turns: pl.DataFrame) -> pl.DataFrame:
    """Find the conversations with a reference that could not be renumbered: (conversation, pinned)."""
    suspects = turns.filter(pl.any_horizontal(pl.col("question", "answer").str.contains(COARSE)))
    found: dict[int, str] = {}
    for conversation, shown, *texts in suspects.select("conversation", "shown", "question", "answer").iter_rows():
        for text in texts:
            if conversation not in found and (phrase := unresolvable(text, shown)) is not None:
                found[conversation] = phrase
    return pl.DataFrame(
        {"conversation": list(found), "pinned": list(found.values())},
        schema={"conversation": pl.UInt32, "pinned": pl.String},
    )


def _write_texts(texts: pl.DataFrame, path: Path) -> None:
    """Write texts as one uncompressed batch, so that readers map it and take any rows without a copy of the rest."""
    table = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))


def _digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 and size in bytes of a file, as stored (compressed ones are not opened)."""
    digest, size = hashlib.sha256(), 0
    with fsspec.open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


class Texts:
    """Questions and answers of all turns of a blend, by turn number, from memory-mapped files.

    Args:
        folder: The folder that :func:`read_part` wrote to.
        num_turns: Turns of each part, by part number.
    """

    def __init__(self, folder: Path, num_turns: list[int]) -> None:
        self._starts = [0, *accumulate(num_turns)]
        self._tables = [_map(folder / f"{number:04d}.texts.arrow") for number in range(len(num_turns))]

    def take(self, turns: list[int]) -> list[tuple[str, str]]:
        """Return question and answer of each of ``turns``, in that order."""
        result: list[tuple[str, str]] = [("", "")] * len(turns)
        for start, stop, table in zip(self._starts[:-1], self._starts[1:], self._tables, strict=True):
            places = [place for place, turn in enumerate(turns) if start <= turn < stop]
            if not places:
                continue
            rows = pa.array([turns[place] - start for place in places], pa.int64())
            columns = [table.column(name).take(rows).to_pylist() for name in ("question", "answer")]
            for place, question, answer in zip(places, *columns, strict=True):
                result[place] = (question, answer)
        return result


def _map(path: Path) -> pa.RecordBatch:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    if reader.num_record_batches:
        return reader.get_batch(0)
    return pa.RecordBatch.from_pylist([], schema=reader.schema)
