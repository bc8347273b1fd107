"""Annotation files → tables, one process per file.

Everything that must look at texts happens here, while they are at hand: lengths, hashes, and whether a conversation
may stand behind other images. Files are worked off in pieces, so that a process holds little more than the file's
bytes; the texts go to disk at once.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from blender.blend.columns import TEXTS, Columns, Numbered, lay_out, number_names, sums
from blender.blend.texts import TextsWriter
from blender.data.records import Batch
from blender.data.sources import ReadOptions, open_source_file, read_batches

#: which conversations may come to stand behind other images, so that their references must be renumbered then
Movable = Literal["all", "ordered", "none"]
_NO_TEXTS = pl.DataFrame(schema=TEXTS)
_LOOKED_AT = {"all": (True, True), "ordered": (False, True), "none": (False, False)}


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
    #: only these are asked whether they may stand behind other images; that takes longer than all the rest
    movable: Movable = "all"
    options: ReadOptions = ReadOptions()

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


def read_part(part: Part) -> PartRead:
    """Read one annotation file into tables under ``part.folder``.

    Writes ``records``, ``conversations``, ``turns`` and ``links`` with the columns of :mod:`blender.blend.columns`,
    and ``names``, of which ``links.name`` is a row. The texts go to a file of their own (row n is turn n).

    Raises:
        SourceError: The file cannot be read.
    """
    with _without_cycle_search():
        return _read(part)


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Keep Python from looking for cycles among millions of new objects that have none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(part: Part) -> PartRead:
    annotations = open_source_file(part.format, part.path, part.options)
    numbered = Numbered()
    pieces = [lay_out(Batch(), numbered, _LOOKED_AT["none"])]
    with TextsWriter(part.folder, part.number) as writer:
        for batch in read_batches(annotations):
            piece = lay_out(batch, numbered, _LOOKED_AT[part.movable])
            numbered = piece.after(numbered)
            writer.add(piece.texts)
            pieces.append(_with_tokens(piece, part.tokenizer))
    _write_tables(part, pieces)
    return PartRead(part, annotations.sha256, annotations.num_bytes, numbered.records, numbered.turns)


def _write_tables(part: Part, pieces: list[Columns]) -> None:
    for name in ("records", "conversations", "turns"):
        pl.concat([getattr(piece, name) for piece in pieces]).write_ipc(part.table(name))
    links = pl.concat([piece.links for piece in pieces])
    names, number = number_names(links["name"])
    names.write_ipc(part.table("names"))
    links.with_columns(name=number).write_ipc(part.table("links"))


def _with_tokens(piece: Columns, tokenizer: str | None) -> Columns:
    """Count tokens, where there is a tokenizer, and let go of the texts."""
    turns, conversations = piece.turns, piece.conversations
    if tokenizer:
        counts = _count_tokens(piece.texts, tokenizer)
        turns = turns.with_columns(tokens=counts)
        num_turns = conversations["num_turns"].to_numpy().astype(np.int64)
        conversations = conversations.with_columns(
            tokens=pl.Series(sums(counts.to_numpy(), num_turns), dtype=pl.UInt32)
        )
    return replace(piece, conversations=conversations, turns=turns, texts=_NO_TEXTS)


def _count_tokens(texts: pl.DataFrame, tokenizer: str) -> pl.Series:
    """Count the tokens of each turn's texts together."""
    from tokenizers import Tokenizer

    encoder = Tokenizer.from_file(tokenizer)
    counts = np.zeros(texts.height, np.int64)
    for column in texts:
        if not column.str.len_bytes().sum():
            continue
        encodings = encoder.encode_batch_fast(column.to_list(), add_special_tokens=False)
        counts += [len(encoding) for encoding in encodings]
    return pl.Series("tokens", counts, dtype=pl.UInt32)
