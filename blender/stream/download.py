"""Download remote shards into the cache, when they are needed and ahead of that.

A shard is written to disk while it arrives, in pieces. It gets its final name in the cache after its length and
checksum have been compared with the manifest; wrong ones are downloaded again. A thread downloads the shards that come
next. A shard that is already being downloaded, by this process or another, is waited for.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from blender.core.errors import BlenderError, StreamError
from blender.stream.cache import Claim, ShardCache
from blender.stream.index import StreamShard
from blender.stream.remote import RemoteFolder, Retries, retry

_log = logging.getLogger(__name__)

#: seconds between checks of a shard that another thread or process is downloading
_CHECK_SECONDS = 0.02


@dataclass(frozen=True, eq=False)
class _UpcomingList:
    """Shards to download ahead, and checksums of shards that must not be deleted for them."""

    shards: tuple[StreamShard, ...] = ()
    keep: frozenset[str] = frozenset()


class RemoteShards:
    """The shards of a remote blend, through a cache.

    Args:
        folder: The blend's folder.
        cache: Where shards are kept.
        retries: How often to try.
    """

    def __init__(self, folder: RemoteFolder, cache: ShardCache, retries: Retries) -> None:
        self._folder = folder
        self._cache = cache
        self._retries = retries
        self._process = 0
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._list = _UpcomingList()

    def fetch(self, shard: StreamShard) -> int:
        """Open a shard, downloading it if it is not in the cache.

        Returns:
            A descriptor that the caller closes.

        Raises:
            StreamError: It cannot be downloaded, or the cache cannot be used.
        """
        while (claim := self._cache.claim(shard, self._list.keep)) is None:
            time.sleep(_CHECK_SECONDS)
        return self._fill(shard, claim, None)

    def prefetch(self, shards: Sequence[StreamShard], keep: Collection[StreamShard] = ()) -> None:
        """Set which shards come next, in order; replaces the list of the call before.

        A thread downloads them one after the other, as far as there is room without deleting any of them or of
        ``keep``.
        """
        if self._process != os.getpid():
            self._start()
        with self._changed:
            self._list = _UpcomingList(tuple(shards), frozenset(shard.sha256 for shard in (*shards, *keep)))
            self._changed.notify()

    def close(self) -> None:
        """Stop downloading ahead; an unfinished download is given up."""
        # a fork has no thread to stop, and locks that may be held for ever
        if self._process == os.getpid():
            self._stopped.set()
            with self._changed:
                self._changed.notify()
        self._process = 0

    def _start(self) -> None:
        """Start the thread; also in a fork, which has none and may have inherited a lock that is held."""
        self._process, self._stopped, self._changed = os.getpid(), threading.Event(), threading.Condition()
        threading.Thread(target=self._work, args=(self._stopped,), name="prefetch", daemon=True).start()

    def _work(self, stopped: threading.Event) -> None:
        done = _UpcomingList()
        while not stopped.is_set():
            with self._changed:
                while self._list is done and not stopped.is_set():
                    self._changed.wait()
                done = self._list
            for shard in done.shards:
                if stopped.is_set() or self._list is not done:
                    break
                self._try(shard, done.keep, stopped)

    def _try(self, shard: StreamShard, keep: Collection[str], stopped: threading.Event) -> None:
        """Download a shard ahead; an error is raised only when the shard is needed."""
        try:
            if self._cache.holds(shard):
                return
            claim = self._cache.claim(shard, keep, urgent=False)
            if claim is not None:
                os.close(self._fill(shard, claim, stopped))
        except BlenderError as error:
            _log.info("shard %s was not fetched ahead: %s", shard.path, error)

    def _fill(self, shard: StreamShard, claim: Claim, stopped: threading.Event | None) -> int:
        if claim.is_whole:
            return claim.descriptor
        try:
            download(self._folder, shard, claim.descriptor, self._retries, stopped)
            self._cache.commit(shard, claim)
        except BaseException:
            self._cache.abandon(shard, claim)
            raise
        return claim.descriptor


def download(
    folder: RemoteFolder,
    shard: StreamShard,
    descriptor: int,
    retries: Retries,
    stopped: threading.Event | None = None,
) -> None:
    """Download a shard and check it.

    Args:
        folder: The blend's folder.
        shard: The shard.
        descriptor: Where to write it, from its first byte.
        retries: How often to try.
        stopped: When set, the download is given up.

    Raises:
        StreamError: It could not be downloaded, or the disk is full; what was written is incomplete.
    """

    def once() -> None:
        _start_over(descriptor)
        with closing(folder.pieces(shard.path, shard.num_bytes, retries.silence)) as pieces:
            _receive(pieces, shard, descriptor, stopped)

    retry(once, folder.url(shard.path), retries, f"shard {shard.path}", stopped)


class _WrongBytes(Exception):
    """The bytes that arrived are not those of the manifest."""


def _receive(
    pieces: Generator[bytes, None, None], shard: StreamShard, descriptor: int, stopped: threading.Event | None
) -> None:
    digest, received = hashlib.sha256(), 0
    for piece in pieces:
        if stopped is not None and stopped.is_set():
            raise StreamError(f"the download of shard {shard.path} was given up")
        received += len(piece)
        if received > shard.num_bytes:
            raise _WrongBytes(f"more than {shard.num_bytes:,} bytes came")
        digest.update(piece)
        _write(descriptor, piece)
    if received != shard.num_bytes:
        raise _WrongBytes(f"{received:,} bytes came instead of {shard.num_bytes:,}")
    if digest.hexdigest() != shard.sha256:
        raise _WrongBytes("the checksum is not the one in manifest.json")


def _start_over(descriptor: int) -> None:
    with _blaming_the_cache():
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)


def _write(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    with _blaming_the_cache():
        while left:
            left = left[os.write(descriptor, left) :]


@contextmanager
def _blaming_the_cache() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StreamError(
            f"the shard cache cannot be written: {error.strerror}", "free some space, or give the cache another folder"
        ) from error
