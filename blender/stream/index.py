"""Open a blend for streaming: its shards, and the offset and size of each sample in them.

Only ``manifest.json`` and each split's ``index.parquet`` are read; of the index only two columns, which take 8 bytes
per sample as numpy arrays. Keys are not kept: they are numbers in the order of each split, and a sample with another
key is damaged. Manifest and index may come from an untrusted server: paths that lead out of the folder and impossible
numbers are refused.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from blender.blend.tables import SPLITS
from blender.core.errors import ShardError, StreamError
from blender.data.images.files import buffered, is_remote, local_path
from blender.data.images.remote import RemoteFile, read_remote
from blender.shards.index import INDEX_NAME
from blender.shards.manifest import MANIFEST_NAME, Manifest, decode_manifest, read_manifest
from blender.shards.tar import END
from blender.stream.remote import RemoteFolder, Retries, retry

Result = TypeVar("Result")
Ints = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]

_SHARD = re.compile(r"(train|eval)/[A-Za-z0-9_-]+\.tar")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: a remote index of at most this many bytes is fetched at once; of a larger one, only the columns wanted
_SMALL_INDEX = 64 << 20
_WRONG = "the blend was changed after it was written: write it again, or copy it again"


@dataclass(frozen=True)
class StreamShard:
    """A shard of a blend."""

    #: path in the blend's folder
    path: str
    num_samples: int
    num_bytes: int
    sha256: str
    #: the row of its first sample in its split
    first_row: int


@dataclass(frozen=True, eq=False)
class StreamSplit:
    """One split of a blend. ``N``: samples."""

    name: str
    shards: tuple[StreamShard, ...]
    #: (N,) where the samples begin in their shards
    offsets: Offsets
    #: (N,) bytes of the samples, tar headers included
    sizes: Offsets

    @property
    def num_samples(self) -> int:
        """Samples in the split."""
        return len(self.sizes)

    @property
    def shard_sizes(self) -> Ints:
        """(S,) samples in each shard."""
        return np.array([shard.num_samples for shard in self.shards], np.int64)

    @property
    def first_rows(self) -> Ints:
        """(S,) the row of each shard's first sample in the split."""
        return np.array([shard.first_row for shard in self.shards], np.int64)

    def key(self, row: int) -> str:
        """Return the key of the sample in a row of the split."""
        return f"{self.name}-{row:09d}"


@dataclass(frozen=True, eq=False)
class StreamBlend:
    """A finished blend, local or remote, open for streaming. Can be sent to other processes."""

    #: folder or URL
    location: str
    manifest: Manifest
    splits: dict[str, StreamSplit]

    @property
    def identity(self) -> str:
        """A hash of the samples and their order in the shards."""
        return self.manifest.identity

    @property
    def is_remote(self) -> bool:
        """Whether its location is a URL."""
        return is_remote(self.location)

    def split(self, name: str) -> StreamSplit:
        """Return a split.

        Raises:
            StreamError: The blend has no samples in a split of this name.
        """
        if name not in self.splits:
            splits = ", ".join(self.splits) or "none"
            raise StreamError(f"{self.location} has no samples in split {name}", f"splits with samples: {splits}")
        return self.splits[name]

    def shard_sizes(self, split: str) -> Ints:
        """Return the number of samples in each shard of a split, in order."""
        return self.split(split).shard_sizes


def open_stream_blend(location: str, retries: Retries | None = None) -> StreamBlend:
    """Open a finished blend.

    Args:
        location: A folder, or its URL (``s3://``, ``https://``, …).
        retries: How often to try a remote one.

    Raises:
        ShardError: The folder is not a finished blend.
        StreamError: It cannot be fetched, or manifest and index do not agree.
    """
    retries = retries or Retries()
    manifest = _fetch_manifest(location, retries) if is_remote(location) else read_manifest(local_path(location))
    names = [split for split in SPLITS if any(shard.split == split for shard in manifest.shards)]
    splits = {name: _open_split(location, manifest, name, retries) for name in names}
    return StreamBlend(location, manifest, splits)


def _fetch_manifest(location: str, retries: Retries) -> Manifest:
    folder = RemoteFolder(location)
    system, path = folder.locate(MANIFEST_NAME)
    content = retry(lambda: read_remote(system, path, num_tries=1), folder.url(MANIFEST_NAME), retries)
    try:
        return decode_manifest(content, folder.url(MANIFEST_NAME))
    except ShardError as error:
        raise StreamError(f"{folder.url(MANIFEST_NAME)} is no manifest of a blend: {error.message}") from error


def _open_split(location: str, manifest: Manifest, name: str, retries: Retries) -> StreamSplit:
    shards = tuple(_shards(location, manifest, name))
    offsets, sizes = _read_index(location, name, retries, partial(_read_offsets, location, shards))
    split = StreamSplit(name, shards, offsets, sizes)
    _check_offsets(location, split)
    return split


def _shards(location: str, manifest: Manifest, name: str) -> Iterator[StreamShard]:
    first_row = 0
    for shard in manifest.shards:
        if shard.split != name:
            continue
        sane = shard.num_samples > 0 and shard.num_bytes >= len(END) and _SHA256.fullmatch(shard.sha256)
        if not (sane and _SHARD.fullmatch(shard.path) and shard.path.startswith(f"{name}/")):
            raise StreamError(f"{location}: {MANIFEST_NAME} tells of a shard that cannot be: {shard.path!r}", _WRONG)
        yield StreamShard(shard.path, shard.num_samples, shard.num_bytes, shard.sha256, first_row)
        first_row += shard.num_samples


def _read_index(location: str, split: str, retries: Retries, read: Callable[[pq.ParquetFile], Result]) -> Result:
    """Open a split's index and read from it; a remote one with retries."""
    path = f"{split}/{INDEX_NAME}"
    if is_remote(location):
        folder = RemoteFolder(location)
        return retry(lambda: read(pq.ParquetFile(_remote_source(folder, path))), folder.url(path), retries)
    try:
        with pq.ParquetFile(local_path(location) / path) as file:
            return read(file)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StreamError(
            f"{local_path(location) / path} cannot be read: {error}", "run `visualchat verify`"
        ) from error


def _remote_source(folder: RemoteFolder, path: str) -> io.BufferedIOBase:
    file = RemoteFile(*folder.locate(path))
    return io.BytesIO(file.read_all()) if file.num_bytes <= _SMALL_INDEX else buffered(file, 1 << 20)


def _read_offsets(location: str, shards: Sequence[StreamShard], file: pq.ParquetFile) -> tuple[Offsets, Offsets]:
    """Read offsets and sizes, one row group at a time, which takes little more memory than the result."""
    num_samples, max_bytes = sum(shard.num_samples for shard in shards), max(shard.num_bytes for shard in shards)
    if file.metadata.num_rows != num_samples:
        counts = f"{file.metadata.num_rows:,} samples, {MANIFEST_NAME} {num_samples:,}"
        raise StreamError(f"{location}: the index of split {shards[0].path.partition('/')[0]} has {counts}", _WRONG)
    columns = np.empty((2, num_samples), np.uint32 if max_bytes < 1 << 32 else np.uint64)
    start = 0
    for group in range(file.metadata.num_row_groups):
        table = file.read_row_group(group, ["offset", "size"], use_threads=False)
        for row, column in enumerate(("offset", "size")):
            values = table[column].to_numpy()
            if len(values) and int(values.max()) > max_bytes:
                raise StreamError(f"{location}: the index names a place that no shard has", _WRONG)
            columns[row, start : start + len(values)] = values
        start += table.num_rows
    return columns[0], columns[1]


def _check_offsets(location: str, split: StreamSplit) -> None:
    """Check that the samples of every shard follow each other from its first byte to its end."""
    follows = np.ones(split.num_samples, np.bool_)
    np.equal(split.offsets[1:], split.offsets[:-1] + split.sizes[:-1], out=follows[1:])
    follows[split.first_rows] = split.offsets[split.first_rows] == 0
    last_rows = split.first_rows + split.shard_sizes - 1
    ends = split.offsets[last_rows].astype(np.int64) + split.sizes[last_rows]
    lengths = [shard.num_bytes - len(END) for shard in split.shards]
    if not (follows.all() and np.array_equal(ends, lengths)):
        raise StreamError(
            f"{location}: the index of split {split.name} and {MANIFEST_NAME} tell of other shards", _WRONG
        )
