"""Write one shard: a pure function of the plan's tables and the images.

In: the samples of a shard. Out: a tar and its part of the index, and a note that says so.

The shard is written under ``work/partial``, hashed on the way, renamed to its place, and noted under ``work/done``. A
note is the last thing written. Only the shard itself is waited for until it is on the disk: after a power cut there may
be a note whose shard or index is not, so whoever goes on compares them. That is one wait per shard instead of six,
which a blend of many small shards would spend half of its time in.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import msgspec
import polars as pl

from blender.core.checksums import file_hash
from blender.core.errors import BlenderError, ShardError
from blender.core.faults import folder_fault
from blender.core.files import sync
from blender.data.images.identity import content_hash
from blender.data.sample import Sample
from blender.shards import tar
from blender.shards.index import SCHEMA
from blender.shards.make import make_samples
from blender.shards.planned import PlannedBlend, PlannedImage, PlannedTables, ShardTask

#: small members are gathered up to this many bytes before they are handed to the system
_GATHER = 1 << 18
#: progress is told after this many samples
_TELL_EVERY = 16

#: called with (samples, bytes) written since the last call
Tell = Callable[[int, int], None]


class ShardNote(msgspec.Struct, frozen=True):
    """A finished shard."""

    fingerprint: str
    path: str
    split: str
    num_samples: int
    num_images: int
    num_bytes: int
    sha256: str
    #: when it was written, in nanoseconds: one that has another time is hashed before it is counted on
    modified: int
    #: of its part of the index, beside the note
    index_sha256: str
    #: (record number, references rewritten), for records with any
    rewritten: list[tuple[int, int]]
    #: numbers of the images that were written, each once
    images: list[int] = []
    #: their content hashes, one behind the other
    contents: bytes = b""


class ShardFailure(msgspec.Struct, frozen=True):
    """A shard that could not be written."""

    path: str
    error: BlenderError


@dataclass
class _Writer:
    """A tar file being written and hashed."""

    file: FileIO
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    position: int = 0
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, name: str, content: bytes) -> dict[str, object]:
        """Append a member; return its row of the index."""
        place = {"name": name, "offset": self.position + tar.BLOCK, "size": len(content)}
        for piece in (tar.header(name, len(content)), content, tar.padding(len(content))):
            self.put(piece)
        return place

    def put(self, piece: bytes) -> None:
        self._waiting.append(piece)
        self.position += len(piece)
        self._size += len(piece)
        if self._size > _GATHER:
            self.flush()

    def flush(self) -> None:
        block = memoryview(b"".join(self._waiting))
        self._waiting, self._size = [], 0
        self.digest.update(block)
        while block:
            block = block[self.file.write(block) :]


def write_shard(
    out: Path, planned: PlannedBlend, task: ShardTask, tell: Tell | None = None
) -> ShardNote | ShardFailure:
    """Write one shard and note it as done; a fault is returned, not raised.

    Args:
        out: The blend's folder.
        planned: The plan's tables; notes and unfinished files are put beside them.
        task: Which shard.
        tell: Called as samples are written.
    """
    try:
        return _write(out, planned, task, tell or (lambda samples, num_bytes: None))
    except BlenderError as error:
        return ShardFailure(task.name, error)
    except OSError as error:
        return ShardFailure(task.name, folder_fault(error, out))


def _write(out: Path, planned: PlannedBlend, task: ShardTask, tell: Tell) -> ShardNote:
    partial = planned.folder / "partial" / f"{task.stem}.{os.getpid()}"
    index: list[dict[str, object]] = []
    rewritten: dict[int, int] = {}
    contents: dict[int, bytes] = {}
    try:
        with partial.with_suffix(".tar").open("wb", buffering=0) as file:
            writer = _Writer(file)
            _fill(writer, planned.open(), task, index, rewritten, contents, tell)
            writer.put(tar.END)
            writer.flush()
        pl.DataFrame(index, schema=SCHEMA).write_ipc(partial.with_suffix(".arrow"))
        note = ShardNote(
            fingerprint=planned.fingerprint,
            path=task.name,
            split=task.split,
            num_samples=len(index),
            num_images=sum(int(str(row["num_images"])) for row in index),
            num_bytes=writer.position,
            sha256=writer.digest.hexdigest(),
            modified=partial.with_suffix(".tar").stat().st_mtime_ns,
            index_sha256=file_hash(partial.with_suffix(".arrow")),
            rewritten=sorted(rewritten.items()),
            images=list(contents),
            contents=b"".join(contents.values()),
        )
        partial.with_suffix(".json").write_bytes(msgspec.json.encode(note))
        sync(partial.with_suffix(".tar"))
        partial.with_suffix(".tar").replace(out / task.name)
        partial.with_suffix(".arrow").replace(planned.folder / "done" / f"{task.stem}.arrow")
        partial.with_suffix(".json").replace(planned.folder / "done" / f"{task.stem}.json")
    finally:
        for suffix in (".tar", ".arrow", ".json"):
            partial.with_suffix(suffix).unlink(missing_ok=True)
    return note


def _fill(
    writer: _Writer,
    tables: PlannedTables,
    task: ShardTask,
    index: list[dict[str, object]],
    rewritten: dict[int, int],
    contents: dict[int, bytes],
    tell: Tell,
) -> None:
    told = 0
    for number, (sample, images, counts) in enumerate(make_samples(tables, tables.samples(task.piece)), 1):
        offset = writer.position
        places = [writer.add(f"{sample.key}.json", msgspec.json.encode(sample))]
        places += [
            writer.add(f"{sample.key}.image{place}.{image.extension}", _read(tables, image, contents))
            for place, image in enumerate(images, 1)
        ]
        index.append(_index_row(sample, task, offset, writer.position, places))
        for record, count in counts.items():
            rewritten[record] = rewritten.get(record, 0) + count
        if number % _TELL_EVERY == 0 or number == task.num_samples:
            tell(number - (number - 1) // _TELL_EVERY * _TELL_EVERY, writer.position - told)
            told = writer.position


def _index_row(
    sample: Sample, task: ShardTask, offset: int, end: int, places: list[dict[str, object]]
) -> dict[str, object]:
    return {
        "key": sample.key,
        "shard": f"{task.stem}.tar",
        "dataset": sample.dataset,
        "offset": offset,
        "size": end - offset,
        "members": places,
        "num_images": len(sample.images),
        "num_turns": len(sample.turns),
        "num_sources": len(sample.sources),
        "question_characters": sum(len(turn.question) for turn in sample.turns),
        "answer_characters": sum(len(turn.answer) for turn in sample.turns),
    }


def _read(tables: PlannedTables, image: PlannedImage, contents: dict[int, bytes]) -> bytes:
    """Read an image, and note its content hash."""
    store = tables.stores[image.store]
    assert image.member is not None and image.num_bytes is not None, image
    content = store.read(image.member)
    if len(content) != image.num_bytes:
        raise ShardError(
            f"image {image.name} of store {store.name} has changed since it was looked at: "
            f"{image.num_bytes:,} bytes then, {len(content):,} now",
            "run the same command again with --overwrite once the images are at rest",
        )
    if image.number not in contents:
        contents[image.number] = content_hash(content)
    return content
