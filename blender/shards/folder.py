"""The folder of a blend: who may write into it, what is finished in it, and what may be cleared away.

While a blend is being written the folder holds ``.work``: a lock, the fingerprint of the blend, tables, partial files,
and a note per finished shard. It is removed when the manifest is in place. Only what a blend leaves is ever deleted.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from blender.blend.mix import SPLITS
from blender.errors import FolderError
from blender.files import write_whole
from blender.shards.manifest import MANIFEST_NAME, Manifest, read_manifest
from blender.shards.write import ShardNote

WORK = ".work"
#: where Megatron-Energon keeps what it knows about the shards
ENERGON = ".nv-meta"
_OWN = (MANIFEST_NAME, "ledger.parquet", "README.md", WORK, *SPLITS)
#: written by other programs for themselves, or by the system; in nobody's way
_IGNORED = (".DS_Store", ENERGON, ".gitattributes", "lost+found")
#: what in Energon's folder tells of the shards; the rest is how its user wants them read
_OF_SHARDS = (".info.json", ".info.yaml", "index.sqlite", "index.uuid", "split.yaml", "split.json")


@dataclass(frozen=True)
class BlendFolder:
    """A folder held for writing."""

    path: Path

    @property
    def work(self) -> Path:
        """Where everything unfinished lies."""
        return self.path / WORK

    @property
    def texts(self) -> Path:
        """Where the texts of the sources lie while the blend is written."""
        return self.work / "texts"

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the blend in this folder, finished or not; None when there is none."""
        if manifest := self.manifest():
            return manifest.fingerprint
        note = self.work / "fingerprint"
        return note.read_text() if note.is_file() else None

    def manifest(self) -> Manifest | None:
        """Return the manifest of a finished blend."""
        return read_manifest(self.path) if (self.path / MANIFEST_NAME).is_file() else None

    def claim(self, fingerprint: str, *, overwrite: bool) -> None:
        """Make the folder that of one blend.

        Raises:
            FolderError: It is another blend's, and ``overwrite`` is not set.
        """
        present = self.fingerprint()
        if present not in (None, fingerprint) and not overwrite:
            raise FolderError(
                f"{self.path} holds a blend of another recipe, or of inputs that have changed since",
                "choose another folder, or add --overwrite to delete that blend first",
            )
        if present not in (None, fingerprint):
            self.clear()
        for name in (*SPLITS, f"{WORK}/partial", f"{WORK}/done"):
            (self.path / name).mkdir(exist_ok=True)
        for leftover in (self.work / "partial").iterdir():
            leftover.unlink()
        write_whole(self.work / "fingerprint", fingerprint.encode())

    def clear(self) -> None:
        """Delete what an earlier blend left; the lock and the texts just read stay."""
        (self.path / MANIFEST_NAME).unlink(missing_ok=True)
        for name in ("ledger.parquet", "README.md", f"{WORK}/fingerprint"):
            (self.path / name).unlink(missing_ok=True)
        for name in _OF_SHARDS:
            (self.path / ENERGON / name).unlink(missing_ok=True)
        for name in (*SPLITS, f"{WORK}/partial", f"{WORK}/done"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def finished(self, fingerprint: str) -> dict[str, ShardNote]:
        """Return the notes of the shards that need not be written again, by path."""
        notes = [msgspec.json.decode(file.read_bytes(), type=ShardNote) for file in (self.work / "done").glob("*.json")]
        return {
            note.path: note
            for note in notes
            if note.fingerprint == fingerprint and _size(self.path / note.path) == note.num_bytes
        }


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


@contextmanager
def hold_folder(path: Path) -> Iterator[BlendFolder]:
    """Hold a folder for writing a blend into it, alone; it is made when it does not exist.

    A folder that this call made, or that was empty, is left as it was when nothing was claimed.

    Raises:
        FolderError: It cannot be written, another blend is being written into it, or it holds something else.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _refuse_strangers(path)
        (path / WORK).mkdir(exist_ok=True)
        lock = (path / WORK / "lock").open("w")
    except OSError as error:
        reason = error.strerror or str(error)
        raise FolderError(f"cannot write to {path}: {reason}", "name a folder that you may write to") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderError(f"another blend is being written into {path} right now", "wait for it to end") from error
        folder = BlendFolder(path)
        shutil.rmtree(folder.texts, ignore_errors=True)
        folder.texts.mkdir()
        try:
            yield folder
        finally:
            _leave(folder)


def _refuse_strangers(path: Path) -> None:
    strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in (*_OWN, *_IGNORED))
    ours = any((path / name).exists() for name in (MANIFEST_NAME, WORK))
    if strangers or (not ours and any(path.iterdir())):
        named = ", ".join((strangers or sorted(entry.name for entry in path.iterdir()))[:3])
        raise FolderError(f"{path} holds something else than a blend: {named}", "choose an empty or a new folder")


def _leave(folder: BlendFolder) -> None:
    """Remove what is not needed to go on, and everything when there is nothing to go on with."""
    shutil.rmtree(folder.texts, ignore_errors=True)
    if folder.manifest() or not (folder.work / "fingerprint").is_file():
        shutil.rmtree(folder.work, ignore_errors=True)
    if not folder.manifest():
        with suppress(OSError):
            folder.path.rmdir()
