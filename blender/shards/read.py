"""Open a blend and read single samples of it, by key or by number, through the index."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import polars as pl

from blender.blend.mix import SPLITS
from blender.core.errors import ShardError
from blender.data.sample import Sample
from blender.shards.index import INDEX_NAME, empty_index
from blender.shards.location import fetch_tables, open_shard, read_block, shard_location
from blender.shards.manifest import Manifest


@dataclass(frozen=True)
class StoredSample:
    """A sample read back, with the bytes of its images in the order shown."""

    sample: Sample
    images: tuple[bytes, ...]
    split: str
    #: path of its shard in the blend's folder
    shard: str


@dataclass(frozen=True)
class Blend:
    """A finished blend, near or far.

    ``len`` counts the samples of all splits; ``blend["train-000000012"]`` and ``blend[12]`` read one, and iteration
    reads them all, train first.
    """

    #: folder of its manifest, indexes and ledger: the blend's own, or copies of what lies behind a URL
    path: Path
    manifest: Manifest
    #: folder or URL of the blend
    location: str

    def shard(self, path: str) -> str:
        """Return the path or URL of one of its shards."""
        return shard_location(self.location, path)

    @cached_property
    def index(self) -> pl.DataFrame:
        """The index of all splits: columns of :data:`blender.shards.index.SCHEMA`, and split."""
        frames = [empty_index().with_columns(split=pl.lit(None, pl.String))]
        for split in SPLITS:
            file = self.path / split / INDEX_NAME
            if file.is_file():
                frames.append(pl.read_parquet(file, glob=False).with_columns(split=pl.lit(split)))
        return pl.concat(frames)

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """What became of every record read; columns as :func:`blender.blend.ledger.make_ledger` says.

        Raises:
            ShardError: The ledger is gone.
        """
        file = self.path / "ledger.parquet"
        if not file.is_file():
            raise ShardError(f"{file} is missing", "run `visualchat verify`, then write the blend again")
        return pl.read_parquet(file, glob=False)

    def __len__(self) -> int:
        return self.index.height

    def __iter__(self) -> Iterator[StoredSample]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, which: int | str) -> StoredSample:
        """Read one sample.

        Raises:
            ShardError: There is no such sample, or it cannot be read.
        """
        row = self.index.row(self.find(which), named=True)
        return read_sample(self.shard(f"{row['split']}/{row['shard']}"), row, row["split"])

    def find(self, which: int | str) -> int:
        """Return the row of the index for a key or a number (from 0; negative ones count from the end).

        Raises:
            ShardError: There is no such sample.
        """
        if isinstance(which, str):
            rows = self.index["key"].eq(which).arg_true()
            if not len(rows):
                raise ShardError(f"{self.location} has no sample {which}", f"keys look like {self._example_key()}")
            return int(rows[0])
        if not -len(self) <= which < len(self):
            raise ShardError(f"{self.location} has no sample number {which}", f"numbers go from 0 to {len(self) - 1}")
        return which % len(self)

    def _example_key(self) -> str:
        return str(self.index["key"][0]) if len(self) else "train-000000000"


def open_blend(path: str | Path) -> Blend:
    """Open a finished blend.

    Args:
        path: Its folder, or its URL (``s3://``, ``https://``, …).

    Raises:
        ShardError: It is not a finished blend.
    """
    folder, manifest = fetch_tables(str(path))
    return Blend(folder, manifest, str(path))


def read_sample(shard: str, row: dict[str, object], split: str) -> StoredSample:
    """Read one sample by its row of the index.

    Args:
        shard: Path or URL of its shard.
        row: A row of the index, by column name.
        split: The split's name.

    Raises:
        ShardError: The shard is missing or damaged at this sample.
    """
    offset, size = int(str(row["offset"])), int(str(row["size"]))
    with open_shard(shard) as file:
        block = read_block(file, shard, offset, size)
    members: list[dict[str, int]] = row["members"]  # type: ignore[assignment]
    starts = [member["offset"] - offset for member in members]
    contents = [block[start : start + member["size"]] for start, member in zip(starts, members, strict=True)]
    try:
        sample = msgspec.json.decode(contents[0], type=Sample)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShardError(f"sample {row['key']} in {shard} is damaged: {error}", "run `visualchat verify`") from error
    return StoredSample(sample, tuple(contents[1:]), split, f"{split}/{row['shard']}")
