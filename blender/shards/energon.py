"""What Megatron-Energon wants beside the shards of a blend, taken from the index.

``energon prepare`` reads every shard and asks questions to find out what the index says already: where samples begin
(``*.tar.idx``, which Energon cannot do without), which shard belongs to which split (``.nv-meta/split.yaml``), how many
samples it has (``.nv-meta/.info.json``), and where members lie (``.nv-meta/index.sqlite``, for joins and look-ups by
key). The same is written here without Energon or torch.

How a sample is read is the user's to say: ``dataset.yaml``, ``crude.yaml`` and ``sample_loader.py`` are written once
and never again. The first gives text and pictures in the order shown, with which every tool of Energon works; the
second hands over JSON and images as stored, for a cooker that needs to know what is trained.

``sample_loader.py`` runs inside Energon, where this program need not be installed. It opens pictures with Pillow alone,
which is enough there: it reads only images of a finished blend, and each of these came through our own bounded readers
(:mod:`blender.data.images.decoding`) before it was written.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl
import yaml

from blender.core.errors import FolderError
from blender.core.files import whole_file, write_whole
from blender.shards.folder import ENERGON
from blender.shards.reader import Blend

#: the release whose layout this is
_RELEASE = "7.4.1"
#: Energon's names of our splits; its tools look for all of these
_SPLITS = {"train": "train", "val": "eval", "test": None}
_HINT = "run `visualchat index DIR --for energon` again"

_TABLES = """
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
    byte_offset INTEGER, byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER, sample_index INTEGER, part_name TEXT,
    content_byte_offset INTEGER, content_byte_size INTEGER
);
"""
_INDEXES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples (tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts (tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts (tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""

_DATASET = """\
# Text and pictures in the order shown: energon info, preview and lint work with this one.
# What is trained is not told; read with dataset_config="crude.yaml" and a cooker for that.
sample_type:
  __module__: megatron.energon
  __class__: InterleavedSample
decoder: null
part_filter: sample_loader.py:part_filter
sample_loader: sample_loader.py:sample_loader
"""
_CRUDE = """\
# JSON and images as they are stored, for a cooker of yours.
__module__: megatron.energon
__class__: CrudeWebdataset
"""
_SAMPLE_LOADER = '''\
"""Makes of a sample its conversation: texts, and pictures (float, 3 x height x width, 0 to 1) where they are shown."""

import io
import json

import numpy
import torch
from PIL import Image, ImageOps


def part_filter(part):
    return True


def sample_loader(raw):
    pictures = (decode(content) for name, content in raw.items() if name.startswith("image"))
    sequence = []
    for span in json.loads(raw["json"])["spans"]:
        for place, text in enumerate(span["text"].split("<image>")):
            sequence += [next(pictures), text] if place else [text]
    return {"sequence": [item for item in sequence if not isinstance(item, str) or item]}


def decode(content):
    with Image.open(io.BytesIO(content)) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    return torch.from_numpy(numpy.array(upright)).permute(2, 0, 1) / 255
'''
_CHOICES = {"dataset.yaml": _DATASET, "crude.yaml": _CRUDE, "sample_loader.py": _SAMPLE_LOADER}


def write_energon(blend: Blend) -> list[str]:
    """Leave what Energon needs in a blend's folder. The same blend gives the same files.

    Returns:
        The paths of the files written, in the blend's folder; files of the user's choices that are there stay.

    Raises:
        FolderError: The folder cannot be written.
    """
    try:
        return list(_write(blend))
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FolderError(f"cannot write to {blend.path}: {reason}", "Energon's files must lie in there") from error


def energon_problems(blend: Blend) -> Iterator[str]:
    """Say what Energon would read wrong, in a folder that was made ready for it, by us or by ``energon prepare``."""
    info = blend.path / ENERGON / ".info.json"
    if not info.is_file():
        return
    told = _told_counts(info)
    if told is None or not told.items() <= _counts(blend).items():
        yield f"{ENERGON}/.info.json does not fit the blend: {_HINT}"
    for shard, rows in _by_shard(blend):
        file = index_file(blend.path / shard)
        if file.is_file() and file.read_bytes() != _offsets(rows):
            yield f"{shard}.idx does not fit the blend: {_HINT}"
        elif told and shard in told and not file.is_file():
            yield f"{shard}.idx is missing: {_HINT}"


def index_file(shard: Path) -> Path:
    """Return where Energon looks for the offsets of a shard's samples."""
    return shard.with_name(f"{shard.name}.idx")


def _write(blend: Blend) -> Iterator[str]:
    """Write everything; ``.info.json``, by which Energon knows its own folders, comes last."""
    folder = blend.path / ENERGON
    folder.mkdir(exist_ok=True)
    for shard, rows in _by_shard(blend):
        write_whole(index_file(blend.path / shard), _offsets(rows))
        yield f"{shard}.idx"
    _write_database(blend, folder / "index.sqlite")
    yield f"{ENERGON}/index.sqlite"
    told = {"index.uuid": str(_identity(blend)), "split.yaml": _split(blend)}
    told |= {name: text for name, text in _CHOICES.items() if not (folder / name).exists()}
    told |= {".info.json": json.dumps({"energon_version": _RELEASE, "shard_counts": _counts(blend)}, indent=2)}
    for name, text in told.items():
        write_whole(folder / name, text.encode())
        yield f"{ENERGON}/{name}"


def _by_shard(blend: Blend) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield the index of each shard in the order in which Energon numbers them."""
    parts = blend.index.partition_by("split", "shard", maintain_order=True, as_dict=True)
    for (split, shard), rows in sorted(parts.items(), key=lambda part: tuple(map(str, part[0]))):
        yield f"{split}/{shard}", rows


def _offsets(rows: pl.DataFrame) -> bytes:
    """Return where each sample of a shard begins and where the last one ends, 8 bytes each."""
    end = rows.select(pl.col("offset").last() + pl.col("size").last())["offset"]
    return pl.concat([rows["offset"], end]).to_numpy().astype("<u8").tobytes()


def _counts(blend: Blend) -> dict[str, int]:
    return {shard.path: shard.num_samples for shard in sorted(blend.manifest.shards, key=lambda shard: shard.path)}


def _split(blend: Blend) -> str:
    paths = {
        theirs: [shard.path for shard in blend.manifest.shards if shard.split == ours]
        for theirs, ours in _SPLITS.items()
    }
    return yaml.safe_dump({"split_parts": paths, "exclude": []}, sort_keys=False)


def _identity(blend: Blend) -> uuid.UUID:
    """Return what Energon knows the bytes of a dataset by."""
    return uuid.uuid5(uuid.NAMESPACE_OID, " ".join(shard.sha256 for shard in blend.manifest.shards))


def _write_database(blend: Blend, path: Path) -> None:
    with whole_file(path) as aside, closing(sqlite3.connect(aside)) as database:
        _fill(database, blend)


def _fill(database: sqlite3.Connection, blend: Blend) -> None:
    database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _TABLES)
    for number, (_, rows) in enumerate(_by_shard(blend)):
        samples = rows.with_row_index("place").select(pl.lit(number), "key", "place", "offset", "size")
        database.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", samples.iter_rows())
        parts = _parts(rows).select(pl.lit(number), "place", "part", "offset", "size")
        database.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", parts.iter_rows())
    database.commit()
    database.executescript(_INDEXES)


def _parts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the members of a shard's samples: place of the sample, name behind its key, offset, size."""
    members = rows.with_row_index("place").select("place", "key", "members").explode("members").unnest("members")
    return members.with_columns(part=pl.col("name").str.slice(pl.col("key").str.len_chars() + 1))


class _Info(msgspec.Struct):
    shard_counts: dict[str, int]


def _told_counts(info: Path) -> dict[str, int] | None:
    try:
        return msgspec.json.decode(info.read_bytes(), type=_Info).shard_counts
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
