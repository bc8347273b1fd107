"""Errors of the operating system as sentences: a full disk, a read-only folder, a URL for a path, a killed worker.

Libraries report such an error in different ways: as an ``OSError`` with or without a number, or as an exception of
their own that quotes the system's message. All of them are recognised here.
"""

import errno
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blender.core.errors import BlenderError, FolderError, WorkerError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS_OF_FULL = re.compile(
    "|".join(
        [
            *(rf"os error {number}\b|\[Errno {number}\]|{re.escape(os.strerror(number))}" for number in _FULL),
            "database or disk is full",
        ]
    ),
    re.IGNORECASE,
)
#: one slash is left of two where a URL was taken for a path
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}")


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error, or one that it came from, says that there is no space left."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        # texts of our own errors quote strangers' names
        if not isinstance(seen, BlenderError) and _WORDS_OF_FULL.search(str(seen)):
            return True
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return False


def folder_fault(error: OSError, folder: Path) -> FolderError:
    """Turn an error of the system about an output folder into a sentence."""
    if is_disk_full(error):
        return FolderError(f"no space left in {folder}", "free some space and run the same command again: it continues")
    return FolderError(f"cannot write to {folder}: {error.strerror or error}", "what is finished is kept")


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Turn whatever says that the disk is full into a sentence that names the folder; other errors pass.

    Raises:
        FolderError: There is no space left.
    """
    try:
        yield
    except BlenderError:
        raise
    except Exception as error:
        if not is_disk_full(error):
            raise
        named = getattr(error, "filename", None)
        where = f"{folder} (for {named})" if named and not Path(str(named)).is_relative_to(folder) else str(folder)
        raise FolderError(
            f"no space left in {where}", "free some space and run the same command again: it continues"
        ) from error


def demand_local(path: Path | str) -> None:
    """Refuse a URL where a local path is needed; a URL that was made a path is recognised, too.

    Raises:
        FolderError: It is a URL.
    """
    if _URL.match(str(path)):
        url = re.sub(":/{1,2}", "://", str(path), count=1)
        raise FolderError(
            f"{url} is a URL, and this can be written to a local path only",
            "write to a local folder and copy it from there; a local folder of this name is named by its full path",
        )


def killed_worker(exit_code: int | None) -> WorkerError:
    """Say that a worker process has ended in the middle of its work.

    Args:
        exit_code: As Python has it, negative for a signal; None where nobody knows it.
    """
    if exit_code is None:
        how = "was killed or has crashed"
    elif exit_code >= 0:
        how = f"has ended with exit code {exit_code}"
    else:
        how = f"was killed by signal {-exit_code} ({_signal_name(-exit_code)})"
    memory = exit_code in (None, -signal.SIGKILL, -signal.SIGBUS)
    return WorkerError(
        f"a worker process {how}" + (", probably because memory ran out" if memory else ""),
        ("free some memory or use fewer workers, and " if memory else "")
        + "run the same command again: what is finished is kept",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
