"""Output folders: who may write into one, how it is recognised as ours, and what may be deleted in it.

A blend, a training run, an evaluation, an ablation and a demo each keep their files in a folder of their own, by the
same rules:

- The file ``.visualchat`` in the folder names its kind. It is locked before anything is checked, written before
  anything else, and stays locked while somebody writes. It is removed at the end if the contents of another file that
  nobody else writes, such as a manifest, identify the folder. A folder with neither belongs to somebody else and is
  refused, whatever the names of its files are.
- Only files that the kind lists are ever deleted, and nothing is deleted if there is any other file among them.
- A file that is being written has a temporary name (:mod:`blender.core.files`). What a kill leaves of such files is
  removed by the next process that holds the folder.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

import msgspec

from blender.core.errors import FolderError
from blender.core.faults import demand_local, folder_fault
from blender.core.files import final_name

MARKER = ".visualchat"
#: created by the system, by version control and by hubs; ignored, and never deleted
_IGNORED = (".DS_Store", "lost+found", ".git", ".gitattributes", ".gitignore", ".cache", ".huggingface")
_SHOWN = 3
_CHOOSE = "choose an empty or a new folder"


@dataclass(frozen=True)
class FolderKind:
    """The files of a folder of one kind."""

    #: one word, for the marker
    name: str
    #: with its article, for messages
    noun: str
    #: what somebody else does, as in "another blend is being written into DIR right now"
    busy: str
    #: regular expressions for the paths of all files that are written, in the order in which they are deleted;
    #: one that ends with a slash means everything in that folder
    own: tuple[str, ...]
    #: tells by a file's contents that a folder is of this kind
    is_proven: Callable[[Path], bool]
    #: whether it may be put beside other files, as long as none of them has a name of ours; they stay, always
    joins: bool = False
    #: further names at the top that others leave
    ignored: tuple[str, ...] = ()

    def rank(self, path: str) -> int | None:
        """Return the index in ``own`` of the pattern that matches a path; None for a file of somebody else."""
        folder, slash, name = path.rpartition("/")
        plain = f"{folder}{slash}{final_name(name)}"
        for number, pattern in enumerate(self.own):
            if re.match(pattern, plain) if pattern.endswith("/") else re.fullmatch(pattern, plain):
                return number
        return None

    def has_at_top(self, name: str) -> bool:
        """Tell whether a name at the top of the folder is one of ours, or ignored."""
        plain = final_name(name)
        return plain == MARKER or self.is_ignored(name) or any(re.fullmatch(p.split("/")[0], plain) for p in self.own)

    def is_ignored(self, name: str) -> bool:
        """Tell whether a name at the top is ignored."""
        return name in _IGNORED or name in self.ignored


class _Marker(msgspec.Struct, frozen=True):
    kind: str


def marker_text(kind: FolderKind) -> str:
    """Return what the marker of a folder of a kind holds."""
    return msgspec.json.encode(_Marker(kind.name)).decode() + "\n"


@dataclass(frozen=True)
class OwnedFolder:
    """A locked folder that is ours or was empty."""

    path: Path
    kind: FolderKind

    def clear(self, keep: str | None = None) -> None:
        """Delete everything that a folder of this kind holds.

        Args:
            keep: A folder that stays.

        Raises:
            FolderError: It holds other files, too; nothing is deleted then.
        """
        strangers = [] if self.kind.joins else list(islice(self._strangers(), _SHOWN))
        if strangers:
            raise FolderError(
                f"{self.path} holds something else than {self.kind.noun}: {', '.join(strangers)}",
                "nothing was deleted; move it away, or choose an empty or a new folder",
            )
        ranked = [(rank, path) for path in self._files() if (rank := self.kind.rank(path)) is not None]
        folders: set[Path] = set()
        for _, path in sorted(ranked):
            if keep is None or not path.startswith(f"{keep}/"):
                (self.path / path).unlink(missing_ok=True)
                folders.update(parent for parent in Path(path).parents if parent.parts)
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
            with suppress(OSError):
                (self.path / folder).rmdir()

    def _strangers(self) -> Iterator[str]:
        for path in self._files():
            if self.kind.rank(path) is None and not self.kind.is_ignored(path.split("/")[0]):
                yield path

    def _files(self) -> Iterator[str]:
        """Yield the paths of all files, and of links to folders, but for the marker."""
        for folder, names, files in os.walk(self.path):
            here = Path(folder).relative_to(self.path)
            links = [name for name in names if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                path = (here / name).as_posix()
                if path != MARKER:
                    yield path


@contextmanager
def hold_folder(path: Path, kind: FolderKind, *, pure: bool = False) -> Iterator[OwnedFolder]:
    """Hold a folder for writing, alone; it is made when it does not exist.

    A folder that this call made is removed again when nothing was written into it.

    Args:
        path: The folder.
        kind: What it is to be, or is.
        pure: Refuse other files at its top even where they are beside ours.

    Raises:
        FolderError: It is a URL, cannot be written, is held by somebody else, or holds something else.
    """
    demand_local(path)
    if (path.exists() or path.is_symlink()) and not path.is_dir():
        what = "a file" if path.exists() else "a link that leads nowhere"
        raise FolderError(f"{path} is {what}, not a folder", _CHOOSE)
    try:
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path, kind)
    except OSError as error:
        fault = folder_fault(error, path)
        raise FolderError(fault.message, "name a folder that you may write to") from error
    with lock:
        try:
            _refuse_others(path, kind, pure)
            _mark(lock, kind)
            _sweep(path, kind)
            yield OwnedFolder(path, kind)
        finally:
            _leave(path, kind, is_new)
            # by word: closing alone would leave the lock with processes that were forked meanwhile
            fcntl.flock(lock, fcntl.LOCK_UN)


def _lock(path: Path, kind: FolderKind) -> TextIOWrapper:
    while True:
        lock = (path / MARKER).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # one who left an empty folder takes the marker along
            if os.path.samestat(os.fstat(lock.fileno()), (path / MARKER).stat()):
                return lock
        except BlockingIOError as error:
            lock.close()
            raise FolderError(f"{kind.busy} {path} right now", "wait for it to end") from error
        except FileNotFoundError:
            path.mkdir(parents=True, exist_ok=True)
        except OSError:
            lock.close()
            raise
        lock.close()


def _mark(lock: TextIOWrapper, kind: FolderKind) -> None:
    content = marker_text(kind)
    lock.seek(0)
    if lock.read() != content:
        lock.truncate(0)
        lock.write(content)
        lock.flush()
        os.fsync(lock.fileno())


def _refuse_others(path: Path, kind: FolderKind, pure: bool) -> None:
    """Refuse a folder that is not ours; an empty one is nobody's."""
    present = sorted(entry.name for entry in path.iterdir() if entry.name != MARKER and not kind.is_ignored(entry.name))
    if not present:
        return
    marked = _marked(path)
    if marked not in (None, kind.name):
        raise FolderError(f"{path} holds something else than {kind.noun}: it is the folder of a {marked}", _CHOOSE)
    strangers = [name for name in present if not kind.has_at_top(name)]
    if marked is None and not kind.is_proven(path):
        if kind.joins and strangers == present:
            return
        strangers = [name for name in present if name not in strangers] if kind.joins else strangers or present
    elif not pure:
        return
    if strangers:
        named = ", ".join(strangers[:_SHOWN])
        raise FolderError(f"{path} holds something else than {kind.noun}: {named}", _CHOOSE)


def _marked(path: Path) -> str | None:
    """Return the kind that a folder's marker names; None without a marker, or with an empty one."""
    try:
        content = (path / MARKER).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=_Marker).kind if content else None
    except msgspec.MsgspecError as error:
        raise FolderError(f"{path / MARKER} is not a marker of this program: {error}", _CHOOSE) from error


def _sweep(path: Path, kind: FolderKind) -> None:
    """Remove what a kill left of our files that were being written.

    Folders whose contents are all ours are left out: whoever writes there looks after them.
    """
    tops = [pattern.split("/")[0] for pattern in kind.own if "/" in pattern[:-1]]
    for folder, names, present in os.walk(path):
        here = Path(folder).relative_to(path)
        if here == Path():
            names[:] = [name for name in names if any(re.fullmatch(top, name) for top in tops)]
        for name in present:
            aside, rank = path / here / name, kind.rank((here / name).as_posix())
            is_ours = final_name(name) != name and rank is not None and not kind.own[rank].endswith("/")
            if is_ours and not aside.is_symlink():
                aside.unlink(missing_ok=True)


def _leave(path: Path, kind: FolderKind, is_new: bool) -> None:
    """Remove the marker where it is not needed, and a folder that was made for nothing."""
    with suppress(OSError):
        is_empty = [entry.name for entry in path.iterdir()] == [MARKER]
        # nothing was written into the marker of a folder that was refused
        if is_empty or kind.is_proven(path) or not (path / MARKER).stat().st_size:
            (path / MARKER).unlink()
        if is_empty and is_new:
            path.rmdir()
