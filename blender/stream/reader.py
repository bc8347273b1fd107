"""Read samples of a blend by their position in its shards, as the order of a stream asks for them.

This is the reader of stored samples (:mod:`blender.shards.reader`, :mod:`blender.shards.unpack`) with what a stream
needs besides: an index of numbers alone, whole remote shards copied to a cache before they are needed, and reports of
shards that are waited for. A local sample costs one ``pread`` of its text and one of each image, from a shard that
stays open, and no look at the rest of the tar. Memory maps were measured beside it: they are faster only for bytes that
nobody looks at, they turn a file that is cut short into a killed process, and bytes from a map cannot be sent to
another process.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from blender.core.errors import StreamError
from blender.data.images.files import local_path
from blender.shards.reader import OpenShards
from blender.shards.unpack import DamagedSample, StoredSample, unpack_sample
from blender.stream.cache import ShardCache, note_use
from blender.stream.download import RemoteShards
from blender.stream.index import StreamBlend, StreamShard
from blender.stream.remote import RemoteFolder, Retries
from blender.stream.stall import Report, StallWatch, log_stall

#: seconds after which the use of a cached shard is noted again
_NOTE_USE = 10.0


def default_cache_folder() -> Path:
    """Give the folder for copies of remote shards when none is named."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "visualchat" / "shards"


@dataclass(frozen=True)
class ReaderSettings:
    """How to read. To be sent to other processes, ``on_stall`` must be a function at the top of a module."""

    #: shards kept open; an order reads from 16 at a time
    max_open: int = 32
    #: a shard that is waited for longer is reported
    stall_seconds: float = 30.0
    #: called with the shard and the seconds so far, from another thread
    on_stall: Report = log_stall
    #: where copies of remote shards are kept, for all processes of the machine
    cache_folder: Path = field(default_factory=default_cache_folder)
    #: what they may take; less than 16 shards leave nothing to fetch ahead into
    max_cache_bytes: int = 32 << 30
    retries: Retries = Retries()


class ShardReader:
    """Reads samples of one blend. For one thread; copies for other processes, and forks, open shards of their own.

    Args:
        blend: The blend.
        settings: How to read.
    """

    def __init__(self, blend: StreamBlend, settings: ReaderSettings | None = None) -> None:
        self.blend = blend
        self.settings = settings or ReaderSettings()
        self._shards: OpenShards[_ShardFile] = OpenShards(self.settings.max_open)
        self._watch = StallWatch(self.settings.stall_seconds, self.settings.on_stall)
        self._remote: RemoteShards | None = None
        if blend.is_remote:
            cache = ShardCache(self.settings.cache_folder, self.settings.max_cache_bytes)
            self._remote = RemoteShards(RemoteFolder(blend.location), cache, self.settings.retries)

    def __reduce__(self) -> tuple[object, ...]:
        """Take nothing open along to another process."""
        return type(self), (self.blend, self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # at the interpreter's end the system closes what is open
        if hasattr(self, "_remote") and not sys.is_finalizing():
            self.close()

    def read(self, split: str, shard: int, row: int) -> StoredSample:
        """Read a sample.

        Args:
            split: The split.
            shard: The shard's number among those of the split, from 0.
            row: The sample's number in the shard, from 0.

        Raises:
            DamagedSample: Its bytes are not those of this sample.
            StreamError: Its shard cannot be read.
        """
        part = self.blend.split(split)
        stored = part.shards[shard]
        if not 0 <= row < stored.num_samples:
            raise IndexError(f"{stored.path} has {stored.num_samples} samples, and none in row {row}")
        number = stored.first_row + row
        self._watch.begin(stored.path)
        try:
            file = self._shards.get(stored.path, lambda _: self._open(stored))
            if self._remote:
                file.note_use()
            read = partial(file.read, int(part.offsets[number]))
            return unpack_sample(read, int(part.sizes[number]), part.key(number), split, stored.path)
        except OSError as error:
            raise self._fault(stored, error) from error
        finally:
            self._watch.end()

    def try_read(self, split: str, shard: int, row: int) -> StoredSample | DamagedSample:
        """Read a sample as :meth:`read` does, but return what is wrong with a damaged one.

        Raises:
            StreamError: Its shard cannot be read.
        """
        try:
            return self.read(split, shard, row)
        except DamagedSample as error:
            return error

    def prefetch(self, split: str, shards: Sequence[int]) -> None:
        """Say which shards are needed next, in order, so that remote ones come before they are needed.

        Each call replaces the list of the one before. Nothing is done for a local blend.
        """
        if self._remote:
            part = self.blend.split(split)
            self._remote.prefetch(
                [part.shards[shard] for shard in shards], keep=[file.shard for file in self._shards.files()]
            )

    def close(self) -> None:
        """Close all shards and stop fetching ahead; a later read opens them again."""
        self._shards.close()
        self._watch.close()
        if self._remote:
            self._remote.close()

    def _open(self, shard: StreamShard) -> "_ShardFile":
        if self._remote:
            return _ShardFile(self._remote.fetch(shard), shard)
        return _ShardFile(os.open(local_path(self.blend.location) / shard.path, os.O_RDONLY), shard)

    def _fault(self, shard: StreamShard, error: OSError) -> StreamError:
        return StreamError(
            f"shard {shard.path} of {self.blend.location} cannot be read: {error.strerror or error}",
            "put it back, or write it again with `visualchat blend`, and go on; `visualchat verify` checks them all",
        )


class _ShardFile:
    """A shard's descriptor, closed when nothing refers to it any more."""

    def __init__(self, descriptor: int, shard: StreamShard) -> None:
        self.shard = shard
        self._descriptor = descriptor
        self._noted = time.monotonic()

    def __del__(self) -> None:
        os.close(self._descriptor)

    def read(self, sample: int, first: int, num_bytes: int) -> bytes:
        """Read bytes of the sample that begins at an offset; fewer where the file ends."""
        offset = sample + first
        block = os.pread(self._descriptor, num_bytes, offset)
        while len(block) < num_bytes and (
            more := os.pread(self._descriptor, num_bytes - len(block), offset + len(block))
        ):
            block += more
        return block

    def note_use(self) -> None:
        """Note in the cache, now and then, that this shard is in use."""
        now = time.monotonic()
        if now - self._noted > _NOTE_USE:
            self._noted = now
            note_use(self._descriptor)
