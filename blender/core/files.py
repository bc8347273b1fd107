"""Write files atomically: under a temporary name first, then renamed, so that nobody ever sees a part of one.

The bytes are on the disk (fsync) before the file gets its final name, and the name is on the disk before the call
returns: after a power cut a file is there whole or not at all.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blender.core.faults import demand_local

#: the temporary name of a file that is being written; a kill leaves it behind
_ASIDE = re.compile(r"\.(?P<name>.+)\.\d+")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there is renamed to ``path`` when the block ends without an error.

    After an error the temporary file is removed, and a file that was at ``path`` before is unchanged.

    Raises:
        OSError: The file cannot be written.
        FolderError: The path is a URL.
    """
    demand_local(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    try:
        yield aside
        put_in_place(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | Iterable[bytes]) -> int:
    """Write a file whole; return its bytes.

    Raises:
        OSError: It cannot be written.
        FolderError: The path is a URL.
    """
    pieces = [content] if isinstance(content, bytes) else content
    with whole_file(path) as aside, aside.open("wb") as file:
        return sum(map(file.write, pieces))


def put_in_place(aside: Path, path: Path) -> None:
    """Give a written file its final name; both are on the disk when this returns."""
    sync(aside)
    aside.replace(path)
    sync(path.parent)


def put_folder_in_place(aside: Path, folder: Path) -> None:
    """Give a written folder its final name, in place of what has that name now; all of it is on the disk then."""
    for path in [*aside.rglob("*"), aside]:
        sync(path)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    sync(folder.parent)


def final_name(name: str) -> str:
    """Return the name that a file will have, given the name that it has while it is written or has for good."""
    match = _ASIDE.fullmatch(name)
    return match["name"] if match else name


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems cannot do this for a folder, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF) or not path.is_dir():
            raise
    finally:
        os.close(handle)
