"""The folder of a run: who writes into it, which run it is, and what is in it.

::

    OUT/
      recipe.json         the recipe, written out
      metrics.jsonl       a line per figure
      tensorboard/
      checkpoints/        step-00000100/ …
      model/              the final model, a Hugging Face folder
      best/               the model with the lowest eval loss, where it is another one
      loss.png, loss.html
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blender.errors import FolderError, TrainError
from blender.files import write_whole
from blender.train.checkpoint import CheckpointState, best_checkpoint, list_checkpoints, read_state
from blender.train.recipe import TrainRecipe

#: a checkpoint's folder, and what it says of its run
Found = tuple[Path, CheckpointState]

_RECIPE = "recipe.json"
_LOCK = ".lock"
_OWN = (
    _RECIPE,
    _LOCK,
    "metrics.jsonl",
    "tensorboard",
    "wandb",
    "checkpoints",
    "model",
    "best",
    "loss.png",
    "loss.html",
)


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps everything."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """Folder of the final model."""
        return self.path / "model"

    @property
    def best_model(self) -> Path:
        """Folder of the best model."""
        return self.path / "best"

    def latest(self) -> Found | None:
        """Find the latest checkpoint."""
        found = list_checkpoints(self.checkpoints)
        return (found[-1], read_state(found[-1])) if found else None

    def best(self) -> Found | None:
        """Find the checkpoint with the lowest eval loss."""
        found = best_checkpoint(self.checkpoints)
        return (found, read_state(found)) if found else None

    def check(self, recipe: TrainRecipe) -> None:
        """Look whether this folder is free, or holds a run of this very recipe.

        Raises:
            FolderError: It holds something else.
            TrainError: It holds a run of another recipe; says what differs.
        """
        latest = self.latest()
        if latest is not None:
            differing = list(_differences(latest[1].decisive, recipe.decisive()))
            if differing:
                raise TrainError(
                    f"{self.path} holds a run of another recipe; {'; '.join(differing[:4])}",
                    "choose another --out, or add --overwrite to delete that run",
                )
        elif self.path.is_dir():
            strangers = sorted(entry.name for entry in self.path.iterdir() if entry.name not in _OWN)
            if strangers:
                raise FolderError(
                    f"{self.path} holds something else than a training run: {', '.join(strangers[:3])}",
                    "choose an empty or a new folder",
                )

    def clear(self) -> None:
        """Delete what an earlier run left; nothing else."""
        for name in _OWN:
            path = self.path / name
            if name == _LOCK:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def keep_recipe(self, recipe: TrainRecipe) -> None:
        """Write the recipe down."""
        write_whole(self.path / _RECIPE, json.dumps(recipe.resolved(), indent=2).encode() + b"\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that no other run writes into it; it is made when it does not exist.

        Raises:
            FolderError: It cannot be written, or another run holds it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("w")
        except OSError as error:
            reason = error.strerror or str(error)
            raise FolderError(
                f"cannot write to {self.path}: {reason}", "name a folder that you may write to"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FolderError(f"another run is being trained into {self.path} right now", "wait for it") from error
            yield


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*theirs, *mine]):
        here, before, now = f"{path}{key}", theirs.get(key), mine.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now, f"{here}.")
        elif before != now:
            yield f"{here} was {json.dumps(before)} and is {json.dumps(now)}"
