"""Tell whether a finished blend has changed, as rsync does: by sizes and modification times, and by hashes if asked.

When a blend is finished, each of its files gets a modification time whose fraction of a second is taken from the file's
own hash. Whoever writes into a file gives it another time, and so does a copy that does not keep times; such a file is
hashed, and gets its time back when its bytes are right. The times need no note beside the files, so that a blend stays
the same bytes wherever it was written. A file system that keeps whole seconds only has its files hashed every time.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from blender.core.checksums import file_hash
from blender.core.pool import map_unordered
from blender.shards.manifest import Manifest, ManifestShard, ManifestTable

_SECOND = 1_000_000_000
#: fewer bytes are hashed before other processes have started
_WORTH_A_PROCESS = 200_000_000


@dataclass(frozen=True)
class Checked:
    """What a look at the files of a finished blend found."""

    #: paths of files that are missing or hold other bytes
    changed: tuple[str, ...]
    #: files whose bytes were read, and how many bytes
    num_hashed: int
    num_bytes: int
    #: whether that was asked for; else their times were not those that they were finished with
    was_asked: bool


def check_files(folder: Path, manifest: Manifest, workers: int, *, checksum: bool = False) -> Checked:
    """Find the files of a blend that are not as its manifest says.

    Args:
        folder: The blend's folder.
        manifest: Its manifest.
        workers: Number of processes that read.
        checksum: Read every file, whatever its time says.
    """
    files: list[ManifestShard | ManifestTable] = [*manifest.shards, *manifest.tables]
    wrong_size = {file.path for file in files if _size(folder / file.path) != file.num_bytes}
    present = [file for file in files if file.path not in wrong_size]
    unsure = present if checksum else [file for file in present if not _has_seal(folder, file)]
    num_bytes = sum(file.num_bytes for file in unsure)
    workers = min(workers, len(unsure)) if num_bytes > _WORTH_A_PROCESS else 1
    verdicts = dict(map_unordered(partial(_is_right, folder), unsure, workers))
    seal(folder, [file for file in unsure if verdicts[file.path]])
    wrong = [path for path, is_right in verdicts.items() if not is_right]
    return Checked(tuple(sorted([*wrong_size, *wrong])), len(unsure), num_bytes, checksum)


def seal(folder: Path, files: Sequence[ManifestShard | ManifestTable]) -> None:
    """Give files, whose bytes are known to be right, the times by which they are known again."""
    for file in files:
        facts = (folder / file.path).stat()
        modified = facts.st_mtime_ns // _SECOND * _SECOND + _fraction(file.sha256)
        if modified != facts.st_mtime_ns:
            os.utime(folder / file.path, ns=(facts.st_atime_ns, modified))


def describe_tables(folder: Path, paths: Sequence[str]) -> list[ManifestTable]:
    """Return sizes and hashes of files that were just written."""
    return [ManifestTable(path, (folder / path).stat().st_size, file_hash(folder / path)) for path in paths]


def _is_right(folder: Path, file: ManifestShard | ManifestTable) -> tuple[str, bool]:
    return file.path, file_hash(folder / file.path) == file.sha256


def _has_seal(folder: Path, file: ManifestShard | ManifestTable) -> bool:
    return (folder / file.path).stat().st_mtime_ns % _SECOND == _fraction(file.sha256)


def _fraction(sha256: str) -> int:
    return int(sha256[:16], 16) % _SECOND


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
