"""The models to ask, before any of them is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from blender.core.errors import EvaluationError


@dataclass(frozen=True)
class ModelFolder:
    """A model that has not been opened."""

    name: str
    folder: Path


def name_models(folders: Sequence[Path]) -> list[ModelFolder]:
    """Name models by the shortest ends of their folders' paths that differ.

    Raises:
        EvaluationError: A folder is named twice, or does not exist.
    """
    paths = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, paths, strict=True):
        if not path.is_dir():
            raise EvaluationError(f"there is no folder {folder}", "name folders that `visualchat train` wrote")
        if paths.count(path) > 1:
            raise EvaluationError(f"{folder} is named twice", "name every model once")
    for length in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return [ModelFolder(name, path) for name, path in zip(names, paths, strict=True)]
