"""A bounded folder with blocks of remote files, shared by all processes of a machine: no byte is fetched twice.

A remote file is identified by its address and its version (an entity tag, or the time of its last change), so that a
block is never out of date. Each block is a file: it is written under a temporary name and renamed, and begins with the
CRC of its bytes. A block that is damaged or incomplete is fetched again. When the folder exceeds its bound, the blocks
that were used least recently are deleted.

fsspec's own caching files do not keep these promises, so this is our own code. Ten reads of 1 kB from an 8 MB file by
three processes at once: fsspec's ``blockcache`` fetched 7.9 MB (each process for itself), twice as much as needed after
a kill (its index is written when a file is closed), checks no bytes and has no bound; its ``filecache`` fetched 48 MB.
Here it is 2.6 MB in all cases.

``VISUALCHAT_CACHE`` names the folder, ``VISUALCHAT_CACHE_BYTES`` bounds it.
"""

import fcntl
import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from blender.core.errors import BlenderError

_log = logging.getLogger(__name__)

#: bytes of a block; a photograph of a data set is one or two of them
BLOCK_BYTES = 256 * 1024
#: what the folder may take, where nothing else is asked for
MAX_BYTES = 16 << 30
_CRC_BYTES = 4
#: seconds between updates of a block's time of last use
_NOTE_USE = 60.0
#: share of the bound that a process writes before it measures the folder again
_LOOK_AFTER = 1 / 64
#: share of the bound that is left after blocks were deleted
_LEFT = 0.9

#: reads the bytes from one offset up to another
Fetch = Callable[[int, int], bytes]


@dataclass(frozen=True)
class RemoteVersion:
    """One content of a remote file."""

    address: str
    #: differs between contents of the same address
    version: str
    num_bytes: int

    @property
    def key(self) -> str:
        """What its blocks are named by."""
        return _digest(self.address, self.version, str(self.num_bytes))


class BlockCache:
    """A folder of blocks.

    Args:
        folder: The folder; made when it is first needed. It should be on a disk of this machine.
        max_bytes: What its blocks together take, give or take a few percent while processes write at the same time.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._unseen: float = max_bytes  # so that the first write looks at what is there
        self._has_warned = False

    def read(self, file: RemoteVersion, offset: int, num_bytes: int, fetch: Fetch) -> bytes:
        """Read bytes of a remote file, fetching the blocks that are not there.

        Args:
            file: The file.
            offset: Where to begin; with ``num_bytes`` it lies wholly inside the file.
            num_bytes: How many to read.
            fetch: Called for runs of missing blocks. It may return the whole file, which is kept, too.

        Raises:
            ValueError: ``fetch`` returned neither what was asked for nor the whole file.
            Exception: Whatever ``fetch`` raises.
        """
        first, last = offset // BLOCK_BYTES, (offset + num_bytes - 1) // BLOCK_BYTES
        blocks = {number: self._load(file, number) for number in range(first, last + 1)}
        if any(block is None for block in blocks.values()):
            with self._locked(file.key):
                for number in [number for number, block in blocks.items() if block is None]:
                    blocks[number] = self._load(file, number)  # another process may have fetched it meanwhile
                for start, stop in _runs([number for number, block in blocks.items() if block is None]):
                    blocks |= self._fetch(file, start, stop, fetch)
        start = offset - first * BLOCK_BYTES
        return b"".join(blocks[number] or b"" for number in range(first, last + 1))[start : start + num_bytes]

    def recall(self, *key: str) -> bytes | None:
        """Return the bytes stored under a key; None if they are gone."""
        return self._load_file(self._path(_digest(*key), 0))

    def remember(self, content: bytes, *key: str) -> None:
        """Store a few bytes under a key."""
        self._store(self._path(_digest(*key), 0), content)

    def _fetch(self, file: RemoteVersion, start: int, stop: int, fetch: Fetch) -> dict[int, bytes]:
        begin, end = start * BLOCK_BYTES, min(stop * BLOCK_BYTES, file.num_bytes)
        content = fetch(begin, end)
        if len(content) == file.num_bytes:
            start, stop, begin = 0, -(-file.num_bytes // BLOCK_BYTES), 0
        elif len(content) != end - begin:
            raise ValueError(f"{len(content)} bytes came where {end - begin} were asked for")
        blocks = {
            number: content[number * BLOCK_BYTES - begin : (number + 1) * BLOCK_BYTES - begin]
            for number in range(start, stop)
        }
        for number, block in blocks.items():
            self._store(self._path(file.key, number), block)
        return blocks

    def _load(self, file: RemoteVersion, number: int) -> bytes | None:
        block = self._load_file(self._path(file.key, number))
        expected = min(BLOCK_BYTES, file.num_bytes - number * BLOCK_BYTES)
        return block if block is not None and len(block) == expected else None

    def _load_file(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as opened:
                content = opened.read()
                if time.time() - os.fstat(opened.fileno()).st_mtime > _NOTE_USE:
                    os.utime(opened.fileno())
        except OSError:
            return None
        crc, block = content[:_CRC_BYTES], content[_CRC_BYTES:]
        return block if crc == _crc(block) else None

    def _store(self, path: Path, block: bytes) -> None:
        """Write a block; if the folder cannot be written, reading is slower but works."""
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._make_room(len(block))
            path.parent.mkdir(parents=True, exist_ok=True)
            aside.write_bytes(_crc(block) + block)
            aside.replace(path)
        except OSError as error:
            if not self._has_warned:
                _log.warning("%s cannot keep what was fetched: %s", self.folder, error.strerror or error)
                self._has_warned = True
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _make_room(self, num_bytes: int) -> None:
        self._unseen += num_bytes
        if self._unseen < self.max_bytes * _LOOK_AFTER:
            return
        self._unseen = 0
        kept = sorted(self._files())
        excess = sum(size for _, size, _ in kept) + num_bytes - self.max_bytes
        if excess <= 0:
            return
        excess += int(self.max_bytes * (1 - _LEFT))
        for _, size, path in kept:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """List all blocks with time of last use and size, leftovers of killed processes among them."""
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep other processes from fetching the same blocks meanwhile."""
        path = self.folder / f"{key[:2]}.lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        except OSError:
            yield
            return
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, key: str, number: int) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.{number}"


@cache
def _opened(folder: str, max_bytes: int) -> BlockCache:
    return BlockCache(Path(folder), max_bytes)


def block_cache() -> BlockCache:
    """Return the cache that the environment asks for.

    Raises:
        BlenderError: The bound is no number.
    """
    max_bytes = os.environ.get("VISUALCHAT_CACHE_BYTES") or str(MAX_BYTES)
    if not max_bytes.isdecimal():
        raise BlenderError(
            f"VISUALCHAT_CACHE_BYTES is no number of bytes: {max_bytes!r}",
            "set it to a number of bytes, such as 16000000000",
        )
    return _opened(str(cache_folder() / "remote"), int(max_bytes))


def cache_folder() -> Path:
    """Return the folder of everything that may be deleted while nothing runs: ``~/.cache/visualchat`` by default."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("VISUALCHAT_CACHE") or f"{base}/visualchat").expanduser()


def run_id() -> str:
    """Name this run of the program; processes that it starts share the name."""
    return os.environ.setdefault("VISUALCHAT_RUN", f"{os.getpid()}-{time.time_ns()}")


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of consecutive numbers."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            yield numbers[start], numbers[end - 1] + 1
            start = end


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _crc(block: bytes) -> bytes:
    return zlib.crc32(block).to_bytes(_CRC_BYTES, "little")
