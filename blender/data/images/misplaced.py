"""Find the folder in which the images of a store are, when nearly all are missing: one or two folders higher or deeper.

It tries a few names and only checks whether the files exist; nothing outside of a store is read.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

#: names that are tried
NUM_TRIED = 20
#: folders below the root that are tried, in each of two levels
_NUM_FOLDERS = 100


def find_misplaced(store: str, root: Path, names: Sequence[str]) -> str | None:
    """Say where names that are missing in a folder are, as a sentence; None when they are nowhere near.

    Args:
        store: Name of the store in the recipe.
        root: Its folder.
        names: Some of them, harmless ones.
    """
    tried = list(names)[:NUM_TRIED]
    enough = max(1, len(tried) // 2)
    for folder in _near(root):
        if _num_there(folder, tried) >= enough:
            return f"they are in {folder} (--set images.{store}={folder})"
    names_at = next((number for number, name in enumerate(tried) if "/" in name), 0)
    bases = [name.rpartition("/")[2] for name in tried if "/" in name]
    for folder in (root, *_below(root)) if bases else ():
        if _num_there(folder, bases) >= max(1, len(bases) // 2):
            inner = tried[names_at].rpartition("/")[0]
            return (
                f"{folder} holds them directly, and their names have folders before them, such as {tried[names_at]}: "
                f"make a folder {folder / inner} of them, or take these folders out of the names"
            )
    return None


def _near(root: Path) -> Iterator[Path]:
    yield from _below(root)
    yield from root.absolute().parents[:2]


def _below(root: Path) -> Iterator[Path]:
    level = [root]
    for _ in range(2):
        level = [folder for parent in level for folder in _folders(parent)][:_NUM_FOLDERS]
        yield from level


def _folders(parent: Path) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _num_there(folder: Path, names: Sequence[str]) -> int:
    return sum((folder / name).is_file() for name in names)
