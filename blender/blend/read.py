"""Read: one annotation file → a part, its tables on disk.

In: a file of a source, and how it is read. Out: ``records``, ``conversations``, ``turns``, ``texts``, ``image_refs``
and ``names`` (:mod:`blender.blend.tables`), numbered from the start of the file, and a note that they are complete.

Everything that must look at texts happens here, while they are at hand: lengths, hashes, and whether a conversation's
references may be rewritten. Files are read some thousands of records at a time, and rows go to disk at once. Parts
depend on nothing but their file, so that they are read in any process, and a part with a note is not read again.
"""

import gc
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import polars as pl

from blender.blend.disk import Rows, TableWriter
from blender.blend.hashing import hash_names, number_by_hash
from blender.blend.tables import (
    PART_CONVERSATIONS,
    PART_IMAGE_REFS,
    PART_NAME_ROWS,
    PART_NAMES,
    PART_RECORDS,
    PART_TEXTS,
    PART_TURNS,
    Schema,
)
from blender.core.arrays import Bools, Ints, starts_of, sums
from blender.core.files import write_whole
from blender.data.records import RecordBatch
from blender.data.references import UnclearReference, find_unclear_reference, must_be_read
from blender.data.sources import ReadOptions, open_source_file, read_batches

#: which conversations may come to stand behind other images, so that their references must be rewritten then
Movable = Literal["all", "ordered", "none"]
#: raise it when a part would be read into other rows
_VERSION = 1
#: of a text that is pinned as a whole, so much is kept
_LONGEST_PHRASE = 80
#: written while the file is read; the names follow
_SCHEMAS = (PART_RECORDS, PART_CONVERSATIONS, PART_TURNS, PART_TEXTS, PART_IMAGE_REFS)
#: names that are looked up at a time
_NAMES_AT_A_TIME = 1 << 16


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
    options: ReadOptions = field(default_factory=ReadOptions)

    def identity(self) -> str | None:
        """Hash what the tables depend on; None for a file that cannot be looked at, such as a remote one."""
        files = [self.path] + ([self.tokenizer] if self.tokenizer else [])
        try:
            stats = [Path(file).stat() for file in files]
        except OSError:
            return None
        facts = [(file, stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats, strict=True)]
        # hashes of names are those of one version of polars
        words = [_VERSION, pl.__version__, self.source, self.format, self.movable, repr(self.options), facts]
        return hashlib.sha256(msgspec.json.encode(words)).hexdigest()

    @property
    def note(self) -> Path:
        """Path of the note that is written when the tables are complete."""
        return self.folder / f"{self.number:04d}.json"


class PartRead(msgspec.Struct, frozen=True):
    """What reading a part gave: its note."""

    #: of the part; empty where it cannot be known again
    identity: str
    source: str
    path: str
    #: of the file
    sha256: str
    num_bytes: int
    num_records: int


def read_part(part: Part) -> PartRead:
    """Read one annotation file into tables under ``part.folder``, unless they are there.

    Raises:
        SourceError: The file cannot be read.
    """
    identity = part.identity()
    if known := _known(part, identity):
        return known
    with _without_cycle_search():
        return _read(part, identity)


def _known(part: Part, identity: str | None) -> PartRead | None:
    try:
        note = msgspec.json.decode(part.note.read_bytes(), type=PartRead)
    except (OSError, msgspec.MsgspecError):
        return None
    return note if note.identity == identity else None


def _read(part: Part, identity: str | None) -> PartRead:
    part.note.unlink(missing_ok=True)
    annotations = open_source_file(part.format, part.path, part.options)
    num_records, hashes = 0, list[pl.DataFrame]()
    with TableWriter(part.folder, part.number, _SCHEMAS) as writer:
        for batch in read_batches(annotations):
            for schema, frame in _tables(batch, part, num_records):
                writer.add(schema, frame)
                if schema is PART_IMAGE_REFS:
                    hashes.append(hash_names(frame["name"]))
            num_records += len(batch.ids)
    sha256, num_bytes = annotations.sha256, annotations.num_bytes
    del annotations
    _write_names(part, hashes)
    result = PartRead(identity or "", part.source, part.path, sha256, num_bytes, num_records)
    write_whole(part.note, msgspec.json.encode(result))
    return result


def _write_names(part: Part, hashes: list[pl.DataFrame]) -> None:
    """Write each name once, and which one each image reference has."""
    rows, firsts = number_by_hash(pl.concat(hashes) if hashes else hash_names(pl.Series("name", [], pl.String)))
    hashes.clear()
    with TableWriter(part.folder, part.number, [PART_NAME_ROWS, PART_NAMES]) as writer:
        writer.add(PART_NAME_ROWS, PART_NAME_ROWS.frame({"row": rows}))
        refs = Rows([PART_IMAGE_REFS.path(part.folder, part.number)])
        for start in range(0, len(firsts), _NAMES_AT_A_TIME):
            own = [name for (name,) in refs.take(firsts[start : start + _NAMES_AT_A_TIME], ["name"])]
            names = pl.Series("name", own, pl.String)
            writer.add(PART_NAMES, PART_NAMES.check(pl.DataFrame([names]).hstack(hash_names(names))))


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Keep Python from looking for reference cycles among millions of new objects that have none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _tables(batch: RecordBatch, part: Part, num_before: int) -> list[tuple[Schema, pl.DataFrame]]:
    """Lay a batch out in tables.

    Args:
        batch: What a reader yielded.
        part: Where it is from.
        num_before: Records of the part before it.
    """
    num_turns, num_shown = np.array(batch.num_turns, np.int64), np.array(batch.num_shown, np.int64)
    owner = np.repeat(np.arange(len(num_turns)), num_turns)
    first_turn = starts_of(num_turns)
    num_images = sums(num_shown, num_turns)
    shown = np.cumsum(num_shown) - starts_of(num_images)[owner]
    texts = PART_TEXTS.frame({"question": batch.questions, "answer": batch.answers, "system": _systems(batch)})
    ordered = np.array(batch.ordered, bool)
    asked = {"all": np.ones(len(ordered), bool), "ordered": ordered, "none": np.zeros(len(ordered), bool)}
    pins = _pins(texts, shown, owner, num_images, asked[part.movable])
    records = num_before + np.array(batch.first_record, np.int64)[owner] + np.array(batch.record, np.int64)
    faults: Mapping[int, tuple[str | None, str | None]] = batch.faults
    reasons = [faults.get(row, (None, None)) for row in range(len(batch.ids))] if faults else []
    nothing = pl.repeat(None, len(batch.ids), dtype=pl.String, eager=True)
    return [
        (
            PART_RECORDS,
            PART_RECORDS.frame(
                {
                    "index": batch.indices,
                    "id": batch.ids,
                    "reason": [reason for reason, _ in reasons] if faults else nothing,
                    "detail": [detail for _, detail in reasons] if faults else nothing,
                }
            ),
        ),
        (
            PART_CONVERSATIONS,
            PART_CONVERSATIONS.frame(
                {
                    "ordered": ordered,
                    "num_turns": num_turns,
                    "num_images": num_images,
                    "pinned": [pin and pin.reason for pin in pins],
                    "pinned_by": [pin and pin.phrase[:_LONGEST_PHRASE] for pin in pins],
                }
            ),
        ),
        (
            PART_TURNS,
            PART_TURNS.frame(
                {
                    "record": records,
                    "shown": shown,
                    "num_bytes": texts.select(pl.sum_horizontal(pl.all().str.len_bytes())).to_series(),
                    "characters": texts.select(pl.sum_horizontal(pl.all().str.len_chars())).to_series(),
                    "tokens": _count_tokens(texts, part.tokenizer) if part.tokenizer else None,
                }
            ),
        ),
        (PART_TEXTS, texts),
        (
            PART_IMAGE_REFS,
            PART_IMAGE_REFS.frame(
                {
                    "turn": np.repeat(np.arange(len(owner)) - first_turn[owner], num_shown),
                    "name": batch.names,
                }
            ),
        ),
    ]


def _systems(batch: RecordBatch) -> pl.Series:
    if not batch.systems:
        return pl.repeat("", len(batch.questions), dtype=pl.String, eager=True)
    return pl.Series([batch.systems.get(turn, "") for turn in range(len(batch.questions))], dtype=pl.String)


def _pins(
    texts: pl.DataFrame, shown: Ints, owner: Ints, num_images: Ints, asked: Bools
) -> list[UnclearReference | None]:
    """Find for each conversation what first keeps it from standing behind other images; None where nothing does.

    Args:
        texts: Question, answer and system text of each turn.
        shown: Images shown up to each turn.
        owner: Conversation of each turn.
        num_images: Of each conversation.
        asked: ConversationArrays to look at.
    """
    pins: list[UnclearReference | None] = [None] * len(num_images)
    columns = {"several": (num_images > 1)[owner], "conversation": owner, "shown": shown}
    table = texts.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    doubtful = pl.any_horizontal(must_be_read(pl.col(name)) for name in texts.columns)
    suspects = table.filter(pl.Series(asked[owner])).filter(pl.col("several") | doubtful)
    for *own, is_several, conversation, num_shown in suspects.iter_rows():
        for text in own:
            pins[conversation] = pins[conversation] or find_unclear_reference(text, num_shown, is_several)
    return pins


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
