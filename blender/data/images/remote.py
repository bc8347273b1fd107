"""Read any part of a file behind a URL.

Remote files are read by byte ranges through the block cache of the machine (:mod:`blender.core.block_cache`, which also
says why it is not fsspec's), so that an image that is surveyed and later written is fetched once. A server that ignores
ranges sends the whole file, which is then cached. Whatever a library of fsspec raises becomes a missing file or a
sentence, and requests are repeated after errors that may be temporary.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from blender.core.block_cache import RemoteVersion, block_cache, run_id
from blender.core.errors import StoreError
from blender.data.images.files import ByteFile, LocalFile, is_remote, local_path

#: tries of a request that may succeed later, and the first pause between two in seconds; each further one is doubled
_TRIES, _FIRST_PAUSE = 4, 0.5
#: packages whose own errors are about connections
_OF_CONNECTIONS = ("aiohttp", "botocore", "urllib3", "requests")
#: keys of fsspec's file information whose values change with the content of a file
_VALIDATORS = (
    "ETag",
    "etag",
    "Content-MD5",
    "md5Hash",
    "md5",
    "content_md5",
    "Digest",
    "blob_id",
    "generation",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)
_REMOTE_HINT = 'install what this kind of address needs with pip install "visualchat-blender[remote]"'


class UnreachableError(StoreError):
    """A server that did not answer, or sent errors, in several tries; it may answer later."""


class RemoteFile(ByteFile):
    """A file behind a URL, read by byte ranges through the block cache.

    Args:
        system: The fsspec file system.
        path: The file's path in it.
        version: What it holds, where known; else the server is asked.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: The server cannot be asked, or does not say how long the file is and sends nothing.
    """

    def __init__(self, system: Any, path: str, version: RemoteVersion | None = None) -> None:
        self._system = system
        self._path = path
        self.version = version or ask_version(system, path)
        self.num_bytes = self.version.num_bytes

    def _read(self, offset: int, num_bytes: int) -> bytes:
        try:
            return block_cache().read(self.version, offset, num_bytes, self._fetch)
        except ValueError as error:
            raise StoreError(
                f"{self._path}: {error}", "the file may have changed: run the same command again"
            ) from error

    def _fetch(self, start: int, stop: int) -> bytes:
        def fetch() -> bytes:
            data: bytes = self._system.cat_file(self._path, start=start, end=stop)
            if len(data) not in (stop - start, self.num_bytes):
                raise OSError(f"{len(data):,} bytes came where {stop - start:,} were asked for")
            return data

        content: bytes = _ask(self._system, self._path, fetch)
        return content


def remote_system(location: str) -> tuple[Any, str]:
    """Give the fsspec file system of a URL, and the URL's path in it.

    Raises:
        StoreError: No such kind of URL is known, or its package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(location)
    except ImportError as error:
        raise StoreError(f"{location} cannot be read: {error}", _REMOTE_HINT) from error
    except ValueError as error:
        raise StoreError(f"{location} is no address that can be read: {error}") from error
    return system, path


def is_web(system: Any) -> bool:
    """Say whether a file system is the web, whose paths are URLs and whose folders may not be listable."""
    protocol = system.protocol
    return "http" in ((protocol,) if isinstance(protocol, str) else protocol)


def join_remote(system: Any, folder: str, path: str) -> str:
    """Give the address of a path below a remote folder. On the web ``%`` and ``?`` in names are escaped."""
    if not path:
        return folder
    return f"{folder.rstrip('/')}/{quote(path) if is_web(system) else path}"


def ask_version(system: Any, path: str) -> RemoteVersion:
    """Ask for the version of a remote file: its size, and what identifies its content.

    From a server that does not say how long the file is, it is fetched whole and cached.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: The server cannot be asked.
    """
    info = _ask(system, path, lambda: system.info(path))
    if info.get("type") == "directory":
        raise FileNotFoundError(path)
    if version := version_in(path, info):
        return version
    content = read_remote(system, path)
    version = RemoteVersion(path, _validators(info), len(content))
    if content:
        block_cache().read(version, 0, len(content), lambda start, stop: content)
    return version


def version_in(path: str, info: Mapping[str, Any]) -> RemoteVersion | None:
    """Return the version of a file from fsspec's information about it; None if that has no size."""
    size = info.get("size")
    return None if size is None else RemoteVersion(path, _validators(info), int(size))


def remembered_version(system: Any, path: str) -> RemoteVersion:
    """Ask for the version of a remote file, once in a run of the program, so that all of its processes see one content.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: The server cannot be asked.
    """
    cache, key = block_cache(), ("version", run_id(), path)
    if (kept := cache.recall(*key)) is not None:
        return RemoteVersion(path, *json.loads(kept))
    version = ask_version(system, path)
    cache.remember(json.dumps([version.version, version.num_bytes]).encode(), *key)
    return version


def _validators(info: Mapping[str, Any]) -> str:
    """Join the values that identify a content; the id of this run if the server sends none."""
    known = [f"{name}={info[name]}" for name in _VALIDATORS if info.get(name)]
    return " ".join(known) or f"run={run_id()}"


def read_remote(system: Any, path: str, num_tries: int = _TRIES) -> bytes:
    """Read a whole remote file in one request; 1 try is for who tries again by themselves.

    Raises:
        FileNotFoundError: There is no such file.
        StoreError: The server cannot be asked.
    """
    data: bytes = _ask(system, path, lambda: system.cat_file(path), num_tries)
    return data


def open_file(location: str) -> ByteFile:
    """Open a single file at a path or URL.

    Raises:
        OSError: There is no such file, or it may not be read.
        StoreError: The server cannot be asked, or does not send parts of files.
    """
    if not is_remote(location):
        return LocalFile(str(local_path(location)))
    system, path = remote_system(location)
    key = ("ranges", run_id(), path)
    if is_web(system) and block_cache().recall(*key) is None:
        _demand_ranges(system, path)
        block_cache().remember(b"yes", *key)
    return RemoteFile(system, path, remembered_version(system, path))


def _demand_ranges(system: Any, path: str) -> None:
    """Refuse a web server that would send gigabytes for every image asked of it."""
    import fsspec.asyn

    async def answers_ranges() -> bool:
        session = await system.set_session()
        async with session.get(path, headers={"Range": "bytes=0-0", "Accept-Encoding": "identity"}) as answer:
            if answer.status in (404, 410):
                raise FileNotFoundError(path)
            answer.raise_for_status()
            return bool(answer.status == 206)

    if not _ask(system, path, lambda: fsspec.asyn.sync(system.loop, answers_ranges)):
        host = urlsplit(path).netloc
        raise StoreError(f"{host} does not send parts of {path}", "download the file and name its path")


def is_missing_from_web(error: BaseException) -> bool:
    """Say whether a web server answered that there is no such page, rather than not answering."""
    return getattr(error, "status", None) in (404, 410)


def _ask(system: Any, path: str, question: Callable[[], Any], num_tries: int = _TRIES) -> Any:
    """Send a request to a remote system, and repeat it after errors that may be temporary.

    Raises:
        FileNotFoundError: There is no such file.
        UnreachableError: All tries failed with errors that may be temporary.
        StoreError: The server refuses, or its library raises whatever else.
    """
    for attempt in range(num_tries):
        try:
            return _ask_once(system, path, question)
        except StoreError as error:
            if error.__cause__ is None or not _may_pass(error.__cause__):
                raise
            if attempt == num_tries - 1:
                hint = f"tried {num_tries} times; run the same command again when the server answers"
                raise UnreachableError(error.message, hint) from error.__cause__
        time.sleep(_FIRST_PAUSE * 2**attempt)
    raise AssertionError("the last try returns or raises")


def _may_pass(error: BaseException) -> bool:
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= 500 or status in (408, 429)
    if isinstance(error, PermissionError | ValueError | NotImplementedError):
        return False
    return isinstance(error, OSError | TimeoutError) or type(error).__module__.partition(".")[0] in _OF_CONNECTIONS


def _ask_once(system: Any, path: str, question: Callable[[], Any]) -> Any:
    """Send one request; turn whatever its library raises into FileNotFoundError or StoreError."""
    try:
        return question()
    except FileNotFoundError as error:
        # fsspec reports every failure of a web server's first answer as a missing file
        reason = error.__cause__
        if reason is None or not is_web(system) or is_missing_from_web(reason):
            raise
        raise StoreError(f"{path} cannot be read: {_words(reason)}") from reason
    except IsADirectoryError as error:
        raise FileNotFoundError(path) from error
    except StoreError:
        raise
    except Exception as error:
        if is_missing_from_web(error):
            raise FileNotFoundError(path) from error
        raise StoreError(f"{path} cannot be read: {_words(error)}") from error


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
