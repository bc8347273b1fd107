"""The samples of a blend of any size: a slim table of all of them, and each one read where it lies.

The index names every member of every sample; for millions of samples that is gigabytes. Here only what filters need is
kept, some tens of bytes a sample, and where a sample's images lie is read from the headers in the shard itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import polars as pl

from blender.blend.mix import SPLITS
from blender.core.errors import ShardError
from blender.data.images.files import ByteFile
from blender.data.sample import Sample
from blender.shards import tar
from blender.shards.index import INDEX_NAME, SCHEMA
from blender.shards.location import open_shard, read_block
from blender.shards.read import Blend

#: where a header says the bytes of its member, in octal digits
_SIZE = slice(124, 136)
_JSON = pl.col("members").list.first().struct
_COLUMNS = (
    "key",
    pl.col("shard").cast(pl.Categorical),
    pl.col("dataset").cast(pl.Categorical),
    "offset",
    "size",
    _JSON.field("offset").alias("json_offset"),
    _JSON.field("size").alias("json_size"),
    "num_images",
    "num_turns",
    (pl.col("question_characters") + pl.col("answer_characters")).alias("characters"),
)


@dataclass(frozen=True)
class Place:
    """Some bytes of a file."""

    #: path or URL
    path: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Read them.

        Raises:
            ShardError: The file is gone, or shorter.
        """
        with open_shard(self.path) as file:
            content = read_block(file, self.path, self.offset, self.size)
        if len(content) != self.size:
            raise ShardError(f"shard {self.path} ends early", "run `visualchat verify`")
        return content


@dataclass(frozen=True)
class SampleTable:
    """All samples of a blend, train first."""

    blend: Blend
    #: key, shard, dataset, offset, size, json_offset, json_size, num_images, num_turns, characters, split
    rows: pl.DataFrame

    def __len__(self) -> int:
        return self.rows.height

    def find(self, key: str) -> int | None:
        """Return the row of a key; None when there is no such sample."""
        found = self.rows["key"].eq(key).arg_true()
        return int(found[0]) if len(found) else None

    def shard(self, row: int) -> str:
        """Return the path of a sample's shard in the blend's folder."""
        split, shard = self.rows.select("split", "shard").row(row)
        return f"{split}/{shard}"

    def json_place(self, row: int) -> Place:
        """Say where a sample's JSON lies."""
        offset, size = self.rows.select("json_offset", "json_size").row(row)
        return Place(self.blend.shard(self.shard(row)), offset, size)

    def read(self, row: int) -> Sample:
        """Read a sample without its images.

        Raises:
            ShardError: It cannot be read.
        """
        place = self.json_place(row)
        return decode_sample(place.read(), self.rows["key"][row], place.path)

    def image_places(self, row: int) -> list[Place]:
        """Find a sample's images, in the order shown, by the headers in its shard.

        Raises:
            ShardError: The shard is missing or damaged.
        """
        path = self.blend.shard(self.shard(row))
        offset, size = self.rows.select("offset", "size").row(row)
        with open_shard(path) as file:
            return [Place(path, start, length) for start, length in _members(file, path, offset, offset + size)][1:]


def read_table(blend: Blend) -> SampleTable:
    """Read the table of a blend's samples."""
    frames = [pl.LazyFrame(schema=SCHEMA).select(*_COLUMNS, split=pl.lit("", pl.Categorical))]
    for split in SPLITS:
        file = blend.path / split / INDEX_NAME
        if file.is_file():
            frames.append(pl.scan_parquet(file, glob=False).select(*_COLUMNS, split=pl.lit(split, pl.Categorical)))
    return SampleTable(blend, pl.concat(frames).collect(engine="streaming"))


def decode_sample(content: bytes, key: str, path: str) -> Sample:
    """Decode a sample's JSON.

    Raises:
        ShardError: It is none.
    """
    try:
        return msgspec.json.decode(content, type=Sample)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShardError(f"sample {key} in {path} is damaged: {error}", "run `visualchat verify`") from error


def _members(file: ByteFile, path: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield offset and size of the contents of each member between two places."""
    while start < end:
        digits = read_block(file, path, start, tar.BLOCK)[_SIZE].strip(b" \0")
        if not digits or digits.strip(b"01234567"):
            raise ShardError(f"shard {path} has no header at byte {start:,}", "run `visualchat verify`")
        size = int(digits, 8)
        yield start + tar.BLOCK, size
        start += tar.BLOCK + size + -size % tar.BLOCK
