"""Read any part of a file: on disk, inside another file, or in memory; :mod:`blender.data.images.remote` has URLs.

Image stores and the survey need one operation, "these bytes, please": :meth:`ByteFile.read_at`. Local files are read
with ``pread`` and without buffers, because a blend reads hundreds of thousands of small ones.
"""

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from blender.core.errors import StoreError


class ByteFile(ABC):
    """A run of bytes of known length that can be read at any place."""

    #: length in bytes
    num_bytes: int

    @abstractmethod
    def _read(self, offset: int, num_bytes: int) -> bytes:
        """Read bytes that lie wholly inside the file."""

    def read_at(self, offset: int, num_bytes: int) -> bytes:
        """Read up to ``num_bytes`` bytes from ``offset``; fewer only where the file ends."""
        num_bytes = min(num_bytes, self.num_bytes - offset)
        return self._read(offset, num_bytes) if num_bytes > 0 else b""

    def read_all(self) -> bytes:
        """Read the whole file."""
        return self.read_at(0, self.num_bytes)

    def close(self) -> None:  # noqa: B027 (most kinds hold nothing to close)
        """Give back what the file holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class LocalFile(ByteFile):
    """A file on disk.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.num_bytes = os.fstat(self._descriptor).st_size

    def _read(self, offset: int, num_bytes: int) -> bytes:
        data = os.pread(self._descriptor, num_bytes, offset)
        while len(data) < num_bytes:
            more = os.pread(self._descriptor, num_bytes - len(data), offset + len(data))
            if not more:
                raise StoreError(
                    f"a file of {self.num_bytes} bytes was cut at byte {offset + len(data)} during reading"
                )
            data += more
        return data

    def close(self) -> None:
        """Close the descriptor; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class MemoryFile(ByteFile):
    """Bytes at hand."""

    def __init__(self, data: bytes) -> None:
        self.num_bytes = len(data)
        self._data = data

    def _read(self, offset: int, num_bytes: int) -> bytes:
        return self._data[offset : offset + num_bytes]


class FileSlice(ByteFile):
    """A part of another file, which stays open when the slice is closed."""

    def __init__(self, file: ByteFile, start: int, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._file = file
        self._start = start

    def _read(self, offset: int, num_bytes: int) -> bytes:
        data = self._file.read_at(self._start + offset, num_bytes)
        if len(data) < num_bytes:
            raise StoreError(f"the file ends at byte {self._file.num_bytes}, inside of an image")
        return data


class SeekableFile(io.RawIOBase):
    """A :class:`ByteFile` as Python's own libraries like to see it, to be wrapped in ``io.BufferedReader``."""

    def __init__(self, file: ByteFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place, counted from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.num_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Give the place."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the place on."""
        data = self._file.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def buffered(file: ByteFile, buffer_size: int = 64 * 1024) -> io.BufferedReader:
    """Give a file as Python's own libraries like to see it."""
    return io.BufferedReader(SeekableFile(file), buffer_size)


def is_remote(location: str) -> bool:
    """Say whether a location is a URL rather than a path on this machine."""
    return "://" in location and not location.startswith(("file://", "local://"))


def path_of(location: str) -> str:
    """Give the part of a location that names folders and files: without scheme, a web address also without host."""
    if location.startswith(("http://", "https://")):
        return urlsplit(location).path
    return location.partition("://")[2] if is_remote(location) else str(local_path(location))


def local_path(location: str) -> Path:
    """Give the path of a local location; ``~`` is the user's home."""
    for scheme in ("file://", "local://"):
        location = location.removeprefix(scheme)
    return Path(location).expanduser()
