"""A folder of bounded size with copies of remote shards, for all processes of a machine.

A shard is stored as ``<sha256>.tar``, so that blends can share the folder and a copy is never out of date. It is
downloaded to ``<sha256>.<bytes>.partial`` and renamed when it is complete. Files are added, renamed and deleted only
under the lock of the file ``lock``. A downloading process holds the lock of the partial file: the system releases it
when the process is killed, and then the file is deleted. Space is made before a download begins, by deleting the least
recently used shards; a deleted file stays readable to processes that have it open.
"""

import fcntl
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blender.core.errors import StreamError
from blender.stream.index import StreamShard

_PARTIAL = re.compile(r"[0-9a-f]{64}\.[0-9]+\.partial")
_WHOLE = re.compile(r"[0-9a-f]{64}\.tar")

#: descriptors that hold locks; a fork inherits the locks with them, and would keep them after this process ends
_holding: set[int] = set()


def _let_go() -> None:
    for descriptor in _holding:
        os.close(descriptor)
    _holding.clear()


os.register_at_fork(after_in_child=_let_go)


@dataclass(frozen=True)
class Claim:
    """An open file of the cache: either complete, or for the caller to fill."""

    descriptor: int
    is_whole: bool


@dataclass(frozen=True)
class _CachedShard:
    name: str
    sha256: str
    num_bytes: int
    last_use: int


class ShardCache:
    """A bounded folder of shards.

    Args:
        folder: The folder; created when it is first needed. It should be on a disk of this machine.
        max_bytes: Most bytes of all files in it, partial ones included.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def open(self, shard: StreamShard) -> int | None:
        """Open a shard and note that it is used; None if it is not in the cache."""
        path = self._path(shard)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault(error) from error
        if os.fstat(descriptor).st_size != shard.num_bytes:
            # a complete file has this length, unless the machine itself went down while it was written
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        note_use(descriptor)
        return descriptor

    def holds(self, shard: StreamShard) -> bool:
        """Return whether a shard is in the cache."""
        return self._path(shard).exists()

    def claim(self, shard: StreamShard, keep: Collection[str] = (), *, urgent: bool = True) -> Claim | None:
        """Open a shard that is in the cache, or a new file to download it to.

        The caller must end a new file with :meth:`commit` or :meth:`abandon`.

        Args:
            shard: The shard.
            keep: Checksums of shards that are needed soon; they are deleted last.
            urgent: Whether those may be deleted at all.

        Returns:
            None while it is being downloaded elsewhere, or while there is no space.

        Raises:
            StreamError: The folder cannot be written, or is too small for the shard.
        """
        self._demand_room_at_all(shard)
        with self._locked():
            if (descriptor := self.open(shard)) is not None:
                return Claim(descriptor, True)
            self._clear_dead()
            partial = self._partial(shard)
            if partial.exists() or not self._make_room(shard.num_bytes, keep, urgent):
                return None
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            _hold(descriptor)
            return Claim(descriptor, False)

    def commit(self, shard: StreamShard, claim: Claim) -> None:
        """Rename a complete download to its final name; its descriptor stays open for the caller."""
        try:
            os.fsync(claim.descriptor)
        except OSError as error:
            raise self._fault(error) from error
        with self._locked():
            self._partial(shard).replace(self._path(shard))
            note_use(claim.descriptor)
            _release(claim.descriptor)

    def abandon(self, shard: StreamShard, claim: Claim) -> None:
        """Delete an incomplete download, and close it."""
        with self._locked():
            self._partial(shard).unlink(missing_ok=True)
            _release(claim.descriptor)
        os.close(claim.descriptor)

    def _path(self, shard: StreamShard) -> Path:
        return self.folder / f"{shard.sha256}.tar"

    def _partial(self, shard: StreamShard) -> Path:
        return self.folder / f"{shard.sha256}.{shard.num_bytes}.partial"

    def _demand_room_at_all(self, shard: StreamShard) -> None:
        if shard.num_bytes > self.max_bytes:
            raise StreamError(
                f"a shard of {shard.num_bytes:,} bytes does not fit into the shard cache {self.folder} of "
                f"{self.max_bytes:,} bytes",
                "allow the cache more bytes",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._fault(error) from error
        try:
            _hold(descriptor)
            yield
        except OSError as error:
            raise self._fault(error) from error
        finally:
            _release(descriptor)
            os.close(descriptor)

    def _fault(self, error: OSError) -> StreamError:
        return StreamError(
            f"the shard cache {self.folder} cannot be used: {error.strerror or error}",
            "name a folder that you may write to",
        )

    def _clear_dead(self) -> None:
        """Delete partial files that no living process is filling."""
        for path in self._files(_PARTIAL):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                pass
            finally:
                os.close(descriptor)

    def _make_room(self, num_bytes: int, keep: Collection[str], urgent: bool) -> bool:
        """Delete the least recently used shards until there is room; nothing if that would not be enough."""
        coming = sum(int(path.name.split(".")[1]) for path in self._files(_PARTIAL))
        kept = sorted(self._kept(), key=lambda file: (file.sha256 in keep, file.last_use))
        too_many = coming + num_bytes + sum(file.num_bytes for file in kept) - self.max_bytes
        victims = []
        for file in kept:
            if too_many <= 0 or (file.sha256 in keep and not urgent):
                break
            victims.append(file)
            too_many -= file.num_bytes
        if too_many > 0:
            return False
        for file in victims:
            (self.folder / file.name).unlink(missing_ok=True)
        return True

    def _kept(self) -> Iterator[_CachedShard]:
        for path in self._files(_WHOLE):
            facts = path.stat()
            yield _CachedShard(path.name, path.stem, facts.st_size, facts.st_mtime_ns)

    def _files(self, names: re.Pattern[str]) -> list[Path]:
        return [path for path in self.folder.iterdir() if names.fullmatch(path.name)]


def note_use(descriptor: int) -> None:
    """Note that an open shard is used now."""
    # the file system's own timestamps have a resolution of milliseconds only
    now = time.time_ns()
    with suppress(PermissionError):
        os.utime(descriptor, ns=(now, now))


def _hold(descriptor: int) -> None:
    _holding.add(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _release(descriptor: int) -> None:
    """Unlock explicitly: closing alone would leave the lock with forks that were made meanwhile."""
    _holding.discard(descriptor)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
