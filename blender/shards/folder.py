"""The folder of a blend: who may write into it, what is finished in it, and what may be cleared away.

While a blend is being written the folder holds ``.work``: the fingerprint of the blend, tables, partial files, and a
note per finished shard. It is removed when the manifest is in place. Only what a blend leaves is ever deleted
(:mod:`blender.core.folder`).
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import polars as pl

from blender.blend.tables import SPLITS
from blender.core.checksums import file_hash
from blender.core.errors import FolderError, ShardError
from blender.core.files import sync, write_whole
from blender.core.folder import FolderKind, OwnedFolder
from blender.core.folder import hold_folder as hold_owned
from blender.shards.manifest import MANIFEST_NAME, Manifest, read_manifest
from blender.shards.write import ShardNote

WORK = ".work"
#: where Megatron-Energon keeps what it knows about the shards
ENERGON = ".nv-meta"
LEDGER = "ledger.parquet"
_COLUMNS = {"source", "file", "index", "record", "emitted", "left_out", "references_rewritten"}
_SPLIT = f"({'|'.join(SPLITS)})"
#: the first lines of a manifest, also of one that was cut short
_MANIFEST_BEGINS = re.compile(rb'\{\s*"name": .*\n\s*"layout": \d+,\n\s*"program": ')


def _is_blend(path: Path) -> bool:
    """Tell whether a folder holds a blend, finished or not, by what is in files that nobody else writes."""
    if (path / WORK / "fingerprint").is_file() or (path / WORK / "lock").is_file():
        return True
    with suppress(OSError), (path / MANIFEST_NAME).open("rb") as file:
        if begins_like_manifest(file.read(4096)):
            return True
    # a manifest that was cut short may say nothing
    with suppress(OSError), (path / LEDGER).open("rb") as file:
        return is_ledger(file)
    return False


def begins_like_manifest(content: bytes) -> bool:
    """Tell whether a file, perhaps cut short, begins as our manifests do."""
    return _MANIFEST_BEGINS.match(content) is not None


def is_ledger(file: IO[bytes]) -> bool:
    """Tell whether a file is a table with the columns of our ledgers."""
    try:
        return pl.read_parquet_schema(file).keys() >= _COLUMNS
    except (OSError, pl.exceptions.PolarsError):
        return False


BLEND = FolderKind(
    name="blend",
    noun="a blend",
    busy="another blend is being written into",
    own=(
        re.escape(MANIFEST_NAME),
        re.escape(LEDGER),
        r"README\.md",
        # what in Energon's folder tells of the shards; the rest is how its user wants them read
        rf"{re.escape(ENERGON)}/(\.info\.json|\.info\.yaml|index\.sqlite|index\.uuid|split\.yaml|split\.json)",
        rf"{_SPLIT}/(index\.parquet|wids\.json|lengths-[0-9a-f]+\.npy)",
        rf"{_SPLIT}/[A-Za-z0-9_-]+\.tar(\.idx)?",
        rf"{re.escape(WORK)}/",
    ),
    is_proven=_is_blend,
    ignored=(ENERGON,),
)


@dataclass(frozen=True)
class BlendFolder:
    """A folder held for writing."""

    owned: OwnedFolder

    @property
    def path(self) -> Path:
        """The folder."""
        return self.owned.path

    @property
    def work(self) -> Path:
        """Where everything unfinished lies."""
        return self.path / WORK

    @property
    def parts(self) -> Path:
        """Where the tables of the annotation files are while the blend is written."""
        return self.work / "parts"

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the blend in this folder, finished or not; None when there is none.

        Raises:
            ShardError: There is a manifest that cannot be read.
        """
        if manifest := self.manifest():
            return manifest.fingerprint
        note = self.work / "fingerprint"
        return note.read_text() if note.is_file() else None

    def manifest(self) -> Manifest | None:
        """Return the manifest of a finished blend.

        Raises:
            ShardError: It cannot be read, or is of another layout.
        """
        return read_manifest(self.path) if (self.path / MANIFEST_NAME).is_file() else None

    def claim(self, fingerprint: str, *, overwrite: bool) -> None:
        """Make the folder that of one blend.

        Raises:
            FolderError: It is another blend's, and ``overwrite`` is not set; or it holds other files, too.
            ShardError: Nobody can read which blend's it is, and ``overwrite`` is not set.
        """
        try:
            present = self.fingerprint()
        except ShardError:
            if not overwrite:
                raise
            present = "unreadable"
        if present not in (None, fingerprint) and not overwrite:
            raise FolderError(
                f"{self.path} holds a blend of another recipe, or of inputs that have changed since",
                "choose another folder, or add --overwrite to delete that blend first",
            )
        if present not in (None, fingerprint):
            # last to go, so that what an interruption leaves is still that blend's
            write_whole(self.work / "fingerprint", present.encode())
            self.clear()
        for name in (*SPLITS, f"{WORK}/partial", f"{WORK}/done"):
            (self.path / name).mkdir(exist_ok=True)
        for leftover in (self.work / "partial").iterdir():
            leftover.unlink()
        write_whole(self.work / "fingerprint", fingerprint.encode())

    def clear(self) -> None:
        """Delete what a blend left; what was read of the annotation files stays."""
        self.owned.clear(keep=f"{WORK}/parts")

    def reopen(self) -> None:
        """Make a finished blend an unfinished one, some of whose files have to be written again."""
        (self.path / MANIFEST_NAME).unlink()
        sync(self.path)

    def finished(self, fingerprint: str) -> dict[str, ShardNote]:
        """Return the notes of the shards that need not be written again, by path."""
        notes = filter(None, map(_read_note, (self.work / "done").glob("*.json")))
        return {note.path: note for note in notes if note.fingerprint == fingerprint and self._is_as_noted(note)}

    def _is_as_noted(self, note: ShardNote) -> bool:
        """Tell whether a shard is still what was written, by size and time, else by its hash; and its index by hash."""
        path, index = self.path / note.path, (self.work / "done" / Path(note.path).name).with_suffix(".arrow")
        if not path.is_file() or path.stat().st_size != note.num_bytes:
            return False
        if not index.is_file() or file_hash(index) != note.index_sha256:
            return False
        return path.stat().st_mtime_ns == note.modified or file_hash(path) == note.sha256


def _read_note(file: Path) -> ShardNote | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=ShardNote)
    except msgspec.MsgspecError:
        # a power cut, or another version: the shard is written again
        return None


@contextmanager
def hold_folder(path: Path) -> Iterator[BlendFolder]:
    """Hold a folder for writing a blend into it, alone; it is made when it does not exist.

    Raises:
        FolderError: It cannot be written, another blend is being written into it, or it holds something else.
    """
    with hold_owned(path, BLEND, pure=True) as owned:
        folder = BlendFolder(owned)
        try:
            (path / WORK).mkdir(exist_ok=True)
            folder.parts.mkdir(exist_ok=True)
            yield folder
        finally:
            _leave(folder)


def _leave(folder: BlendFolder) -> None:
    """Remove what is not needed to go on, and everything when there is nothing to go on with."""
    is_finished = (folder.path / MANIFEST_NAME).is_file()
    if is_finished or not (folder.work / "fingerprint").is_file():
        shutil.rmtree(folder.work, ignore_errors=True)
    if not is_finished:
        for split in SPLITS:
            with suppress(OSError):
                (folder.path / split).rmdir()
