"""The reader of stored samples: open a blend, local or remote, and read samples of it by key or by number.

A blend of millions of samples has an index of gigabytes, because it names every member of every sample. So a
:class:`Blend` holds a slim table of the samples (``rows``: some tens of bytes each), and finds a sample's images by the
headers in its shard. Whatever reads samples goes through here: inspection, lint, comparison and evaluation through
:class:`Blend`; the stream, which reads by position and fetches remote shards ahead, through the same
:class:`OpenShards` and :func:`~blender.shards.unpack.unpack_sample`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import polars as pl
from cachetools import LRUCache

from blender.blend.tables import SPLITS
from blender.core.errors import ShardError
from blender.data.images.files import ByteFile
from blender.data.sample import Sample
from blender.shards.index import INDEX_NAME, SCHEMA, empty_index
from blender.shards.location import fetch_tables, open_shard, read_block, shard_location
from blender.shards.manifest import Manifest
from blender.shards.unpack import StoredSample, decode_json, find_images, unpack_sample

#: shards of a blend that are kept open
_MAX_OPEN = 32
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

File = TypeVar("File")


class OpenShards(Generic[File]):
    """Shards that are kept open, the most recently used ones. For several threads.

    A shard that has to make room is closed when nobody holds it any more: a read that goes on is not disturbed.

    Args:
        max_open: How many are kept.
    """

    def __init__(self, max_open: int) -> None:
        self._files: LRUCache[str, File] = LRUCache(max_open)
        self._lock = threading.Lock()

    def get(self, path: str, open_file: Callable[[str], File]) -> File:
        """Return an open shard.

        Args:
            path: The shard.
            open_file: Opens it, where it is not; what it returns closes itself when it is forgotten.
        """
        with self._lock:
            try:
                return self._files[path]
            except KeyError:
                file = self._files[path] = open_file(path)
                return file

    def files(self) -> list[File]:
        """Return all that are open."""
        with self._lock:
            return list(self._files.values())

    def close(self) -> None:
        """Forget all shards; a later read opens them again."""
        with self._lock:
            self._files.clear()


@dataclass(frozen=True)
class ByteRange:
    """Some bytes of a shard. May be sent to other processes."""

    #: path or URL of the shard
    path: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Read them.

        Raises:
            ShardError: The shard is gone, or shorter.
        """
        with open_shard(self.path) as file:
            return self.read_from(file)

    def read_from(self, file: ByteFile) -> bytes:
        """Read them from the shard, which is open already.

        Raises:
            ShardError: The shard is shorter.
        """
        content = read_block(file, self.path, self.offset, self.size)
        if len(content) != self.size:
            raise ShardError(f"shard {self.path} ends early", "run `visualchat verify`")
        return content


@dataclass(frozen=True)
class Blend:
    """A finished blend, local or remote.

    ``len`` counts the samples of all splits; ``blend["train-000000012"]`` and ``blend[12]`` read one, and iteration
    reads them all, train first.
    """

    #: folder of its manifest, indexes and ledger: the blend's own, or that of the copies of a remote blend's
    path: Path
    manifest: Manifest
    #: folder or URL of the blend
    location: str

    def __reduce__(self) -> tuple[object, ...]:
        """Send neither tables nor open shards to another process."""
        return type(self), (self.path, self.manifest, self.location)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The slim table: one row per sample, train first.

        Columns key, shard, dataset, offset, size, json_offset, json_size, num_images, num_turns, characters, split.
        """
        frames = [pl.LazyFrame(schema=SCHEMA).select(*_COLUMNS, split=pl.lit("", pl.Categorical))]
        for split, file in self._index_files():
            index = pl.scan_parquet(file, glob=False)
            frames.append(index.select(*_COLUMNS, split=pl.lit(split, pl.Categorical)))
        return pl.concat(frames).collect(engine="streaming")

    @cached_property
    def index(self) -> pl.DataFrame:
        """The whole index: columns of :data:`blender.shards.index.SCHEMA`, and split. Large; ``rows`` mostly do."""
        frames = [empty_index().with_columns(split=pl.lit(None, pl.String))]
        for split, file in self._index_files():
            frames.append(pl.read_parquet(file, glob=False).with_columns(split=pl.lit(split)))
        return pl.concat(frames)

    def _index_files(self) -> list[tuple[str, Path]]:
        files = [(split, self.path / split / INDEX_NAME) for split in SPLITS]
        return [(split, file) for split, file in files if file.is_file()]

    @cached_property
    def ledger(self) -> pl.DataFrame:
        """What became of every record read; columns as :func:`blender.blend.ledger.make_ledger` says.

        Raises:
            ShardError: The ledger is gone.
        """
        return self.scan_ledger().collect()

    def scan_ledger(self) -> pl.LazyFrame:
        """Return the ledger, to be read when it is needed, and not kept.

        Raises:
            ShardError: The ledger is gone.
        """
        file = self.path / "ledger.parquet"
        if not file.is_file():
            raise ShardError(f"{file} is missing", "run `visualchat verify`, then write the blend again")
        return pl.scan_parquet(file, glob=False)

    def __len__(self) -> int:
        return self.rows.height

    def __iter__(self) -> Iterator[StoredSample]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, which: int | str) -> StoredSample:
        """Read one sample by its key or number.

        Raises:
            ShardError: There is no such sample, or it cannot be read; a :class:`~blender.shards.unpack.DamagedSample`
                where its bytes are not those of this sample.
        """
        row = self.find(which)
        key, split, size = self.rows.select("key", "split", "size").row(row)
        return unpack_sample(self._read_of(row), size, key, split, self.shard_of(row))

    def find(self, which: int | str) -> int:
        """Return the row for a key or a number (from 0; negative ones count from the end).

        Raises:
            ShardError: There is no such sample.
        """
        if isinstance(which, str):
            rows = self.rows["key"].eq(which).arg_true()
            if not len(rows):
                raise ShardError(f"{self.location} has no sample {which}", f"keys look like {self._example_key()}")
            return int(rows[0])
        if not -len(self) <= which < len(self):
            raise ShardError(f"{self.location} has no sample number {which}", f"numbers go from 0 to {len(self) - 1}")
        return which % len(self)

    def shard(self, path: str) -> str:
        """Return the path or URL of one of its shards."""
        return shard_location(self.location, path)

    def shard_of(self, row: int) -> str:
        """Return the path of a sample's shard in the blend's folder."""
        split, shard = self.rows.select("split", "shard").row(row)
        return f"{split}/{shard}"

    def read_text(self, row: int) -> Sample:
        """Read a sample without its images.

        Raises:
            ShardError: It cannot be read.
        """
        (content,) = self.text_ranges(row, 1)
        return decode_sample(
            content.read_from(self._shards.get(content.path, open_shard)), self.rows["key"][row], content.path
        )

    def text_ranges(self, first: int, count: int) -> list[ByteRange]:
        """Return where the JSON of some samples in a row is, for :func:`read_texts`."""
        rows = self.rows.slice(first, count).select("split", "shard", "json_offset", "json_size")
        return [ByteRange(self.shard(f"{split}/{shard}"), *where) for split, shard, *where in rows.iter_rows()]

    def image_ranges(self, row: int) -> list[ByteRange]:
        """Return where a sample's images are, in the order shown.

        Raises:
            ShardError: The shard is missing or damaged.
        """
        key, offset, size = self.rows.select("key", "offset", "size").row(row)
        path = self.shard_of(row)
        found = find_images(self._read_of(row), size, key, path)
        return [ByteRange(self.shard(path), offset + start, length) for start, length in found]

    def _read_of(self, row: int) -> Callable[[int, int], bytes]:
        path, offset = self.shard(self.shard_of(row)), self.rows["offset"][row]
        file = self._shards.get(path, open_shard)
        return lambda start, count: read_block(file, path, offset + start, count)

    @cached_property
    def _shards(self) -> OpenShards[ByteFile]:
        return OpenShards(_MAX_OPEN)

    def _example_key(self) -> str:
        return str(self.rows["key"][0]) if len(self) else "train-000000000"


def open_blend(path: str | Path) -> Blend:
    """Open a finished blend.

    Args:
        path: Its folder, or its URL (``s3://``, ``https://``, …).

    Raises:
        ShardError: It is not a finished blend.
    """
    folder, manifest = fetch_tables(str(path))
    return Blend(folder, manifest, str(path))


def read_texts(keys: Iterable[str], ranges: Iterable[ByteRange]) -> Iterator[Sample]:
    """Read samples without their images, each shard opened once; in any process.

    Args:
        keys: Their keys.
        ranges: What :meth:`Blend.text_ranges` returned for them.

    Raises:
        ShardError: One cannot be read.
    """
    shards = OpenShards[ByteFile](max_open=1)
    for key, content in zip(keys, ranges, strict=True):
        yield decode_sample(content.read_from(shards.get(content.path, open_shard)), key, content.path)


def decode_sample(content: bytes, key: str, path: str) -> Sample:
    """Decode a sample's JSON.

    Args:
        content: Its bytes.
        key: The sample's key, for messages.
        path: Path or URL of its shard, for messages.

    Raises:
        ShardError: It is none.
    """
    try:
        return decode_json(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ShardError(f"sample {key} in {path} is damaged: {error}", "run `visualchat verify`") from error
