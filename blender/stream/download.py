"""Bring shards from afar into the cache: when they are asked for, and before.

A shard is written while it arrives, in pieces, and never held in memory. It gets its name in the cache only after its
length and checksum have been compared with the manifest; wrong ones are fetched again. A thread fetches the shards that
come next; whoever needs a shard that is already on its way, in this process or another, waits for it.
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
from blender.stream.remote import RemoteFolder, Retries, try_often

_log = logging.getLogger(__name__)

#: seconds between looks at a shard that somebody else is fetching
_LOOK_AGAIN = 0.02


@dataclass(frozen=True, eq=False)
class _UpcomingList:
    """Shards to fetch ahead, and the checksums of those not to delete for them."""

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
        self._news = threading.Condition()
        self._list = _UpcomingList()

    def fetch(self, shard: StreamShard) -> int:
        """Open a shard, fetching it where it is not in the cache.

        Returns:
            A descriptor that the caller closes.

        Raises:
            StreamError: It cannot be had, or the cache cannot be used.
        """
        while (claim := self._cache.claim(shard, self._list.keep)) is None:
            time.sleep(_LOOK_AGAIN)
        return self._fill(shard, claim, None)

    def prefetch(self, shards: Sequence[StreamShard], keep: Collection[StreamShard] = ()) -> None:
        """Say which shards come next, in order; what was said before and has not begun is forgotten.

        They are fetched by a thread, one after the other, as far as there is room without deleting one of them or of
        ``keep``.
        """
        if self._process != os.getpid():
            self._start()
        with self._news:
            self._list = _UpcomingList(tuple(shards), frozenset(shard.sha256 for shard in (*shards, *keep)))
            self._news.notify()

    def close(self) -> None:
        """Stop fetching ahead; a download under way is given up."""
        # a fork has no thread to stop, and locks that may be held for ever
        if self._process == os.getpid():
            self._stopped.set()
            with self._news:
                self._news.notify()
        self._process = 0

    def _start(self) -> None:
        """Start the thread, also in a fork, which has none and may have inherited a lock in use."""
        self._process, self._stopped, self._news = os.getpid(), threading.Event(), threading.Condition()
        threading.Thread(target=self._work, args=(self._stopped,), name="prefetch", daemon=True).start()

    def _work(self, stopped: threading.Event) -> None:
        done = _UpcomingList()
        while not stopped.is_set():
            with self._news:
                while self._list is done and not stopped.is_set():
                    self._news.wait()
                done = self._list
            for shard in done.shards:
                if stopped.is_set() or self._list is not done:
                    break
                self._try(shard, done.keep, stopped)

    def _try(self, shard: StreamShard, keep: Collection[str], stopped: threading.Event) -> None:
        """Fetch a shard ahead; a fault is told when the shard is needed."""
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
    """Fetch a shard and check it.

    Args:
        folder: The blend's folder.
        shard: The shard.
        descriptor: Where to write it, from its first byte.
        retries: How often to try.
        stopped: When set, the download is given up.

    Raises:
        StreamError: It could not be had, or the disk is full; what was written is of no use then.
    """

    def once() -> None:
        _begin_again(descriptor)
        with closing(folder.pieces(shard.path, shard.num_bytes, retries.silence)) as pieces:
            _receive(pieces, shard, descriptor, stopped)

    try_often(once, folder.url(shard.path), retries, f"shard {shard.path}", stopped)


class _WrongBytes(Exception):
    """What arrived is not what the manifest promises."""


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


def _begin_again(descriptor: int) -> None:
    with _told_as_the_caches_fault():
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)


def _write(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    with _told_as_the_caches_fault():
        while left:
            left = left[os.write(descriptor, left) :]


@contextmanager
def _told_as_the_caches_fault() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StreamError(
            f"the shard cache cannot be written: {error.strerror}", "free some space, or give the cache another folder"
        ) from error
