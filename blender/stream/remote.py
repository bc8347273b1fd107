"""Read files of a remote blend, with retries.

Failures are tried again after a growing, random pause; only a file that the server says is missing or forbidden is not
requested again.
"""

import logging
import os
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from blender.core.errors import BlenderError, StreamError
from blender.core.randomness import generator
from blender.data.images.remote import is_missing_from_web, is_web, join_remote, remote_system

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

_PIECE = 8 << 20
_CONNECT_SECONDS = 30


@dataclass(frozen=True)
class Retries:
    """How often to try, and how long to pause in between."""

    num_tries: int = 6
    #: before the second try; twice as long before each further one, less a random part of up to a half
    first_pause: float = 0.5
    longest_pause: float = 30.0
    #: a request is repeated when a web server sends nothing for so many seconds
    silence: float = 60.0

    def pause(self, number: int, name: str) -> float:
        """Return the seconds to pause after try ``number`` (from 1) for a file; other processes pause differently."""
        longest = min(self.longest_pause, self.first_pause * 2 ** (number - 1))
        return float(longest * generator(os.getpid(), "pause", name, number).uniform(0.5, 1.0))


class RemoteFolder:
    """A blend's folder behind a URL. Connections are made anew in every process.

    Args:
        location: The folder's URL.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._process = 0
        self._opened: list[tuple[Any, str]] = []

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without connections."""
        return type(self), (self.location,)

    def url(self, path: str) -> str:
        """Return the URL of a file, for messages."""
        return f"{self.location.rstrip('/')}/{path}"

    def locate(self, path: str) -> tuple[Any, str]:
        """Return the fsspec file system, and a file's path in it."""
        if self._process != os.getpid():
            # what a fork inherits is kept: closing it would talk to a thread that only the parent has
            self._opened.append(remote_system(self.location))
            self._process = os.getpid()
        system, folder = self._opened[-1]
        return system, join_remote(system, folder, path)

    def pieces(self, path: str, num_bytes: int, silence: float) -> Generator[bytes, None, None]:
        """Yield a file's bytes as they arrive."""
        system, located = self.locate(path)
        return _stream(system, located, num_bytes, silence) if is_web(system) else _ranges(system, located, num_bytes)


def _stream(system: Any, path: str, num_bytes: int, silence: float) -> Generator[bytes, None, None]:
    """Fetch the file with one request: many web servers support no ranges."""
    from aiohttp import ClientTimeout

    patience = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silence)
    with system.open(path, block_size=0, size=num_bytes, timeout=patience) as file:
        while piece := file.read(_PIECE):
            yield piece


def _ranges(system: Any, path: str, num_bytes: int) -> Generator[bytes, None, None]:
    for start in range(0, num_bytes, _PIECE):
        yield system.cat_file(path, start=start, end=min(start + _PIECE, num_bytes))


def retry(
    work: Callable[[], Result],
    url: str,
    retries: Retries,
    what: str = "",
    stopped: threading.Event | None = None,
) -> Result:
    """Call a function until it succeeds.

    Args:
        work: The function.
        url: The file that it reads, for messages.
        retries: How often, and the pauses.
        what: What the file is, for messages.
        stopped: When set, pauses end and no more tries are made.

    Raises:
        StreamError: It did not succeed.
    """
    name = f"{what} ({url})" if what else url
    for number in range(1, retries.num_tries + 1):
        try:
            return work()
        except StreamError:
            raise
        except Exception as error:
            if _is_final(error) or number == retries.num_tries or (stopped is not None and stopped.is_set()):
                tries = f"tried {number} times; " if number > 1 else ""
                hint = f"{tries}the run can be resumed once it can be read"
                raise StreamError(f"{name} cannot be read: {_describe(error)}", hint) from error
            _log.info("try %d for %s failed: %s", number, name, _describe(error))
        (stopped or threading.Event()).wait(retries.pause(number, name))
    raise AssertionError("the last try returns or raises")


def _is_final(error: Exception) -> bool:
    """Return whether another try is useless."""
    reason = error.__cause__ or error
    refused = getattr(reason, "status", None) in (401, 403)
    return refused or is_missing_from_web(reason) or isinstance(error, FileNotFoundError | PermissionError)


def _describe(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return error.message if isinstance(error, BlenderError) else str(error) or type(error).__name__
