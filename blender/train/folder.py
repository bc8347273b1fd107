"""The folder of a run: its files, and whether it belongs to the recipe that is to be trained.

::

    OUT/
      recipe.json         the recipe, written out
      metrics.jsonl       one line per event with figures
      tensorboard/
      checkpoints/        step-00000100/ …
      model/              the final model, a Hugging Face folder
      best/               the model with the lowest eval loss, if it is not the final one
      loss.png, loss.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from blender.core.checksums import find_damage
from blender.core.errors import TrainError
from blender.core.files import write_whole
from blender.core.folder import FolderKind
from blender.train.checkpoint import (
    Checkpoint,
    best_checkpoint,
    is_checkpoint,
    list_checkpoints,
    read_state,
    verify_checkpoint,
)
from blender.train.recipe import TrainRecipe

_RECIPE = "recipe.json"
#: files of a Hugging Face folder that this program writes
_MODEL = r"[^/]+\.(safetensors|json|jinja|model)|merges\.txt|vocab\.txt"


def _is_run(path: Path) -> bool:
    """Tell whether a folder holds a run: it has the sections of a training recipe, or a checkpoint."""
    try:
        recipe = msgspec.json.decode((path / _RECIPE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        recipe = {}
    if {"model", "data", "batch", "schedule", "checkpoints"} <= recipe.keys():
        return True
    return any(is_checkpoint(folder) for folder in (path / "checkpoints").glob("step-*"))


RUN = FolderKind(
    name="run",
    noun="a training run",
    busy="another run is being trained into",
    own=(
        r"checkpoints/step-\d{8}(\.partial)?/(state\.json|checksums\.json|weights-\d+-of-\d+\.safetensors)",
        rf"(model|best)(\.partial)?/({_MODEL})",
        r"tensorboard/events\.out\.tfevents\..+",
        r"wandb/",
        r"metrics\.jsonl",
        r"loss\.(png|html)",
        r"\.lock",
        r"recipe\.json",
    ),
    is_proven=_is_run,
)


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run."""

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

    def latest(self) -> Checkpoint | None:
        """Return the latest checkpoint."""
        paths = list_checkpoints(self.checkpoints)
        return Checkpoint(paths[-1], read_state(paths[-1])) if paths else None

    def best(self) -> Checkpoint | None:
        """Return the checkpoint with the lowest eval loss."""
        return best_checkpoint(self.checkpoints)

    def verified_latest(self) -> Checkpoint | None:
        """Return the latest checkpoint to resume from, with all of its files compared with their checksums.

        Raises:
            TrainError: It is damaged, or the state of another checkpoint is.
        """
        latest = self.latest()
        if latest is not None:
            verify_checkpoint(latest.path)
            # the state of all checkpoints is read when one is saved: damage is found now instead of after hours
            self.best()
        return latest

    def verified_best(self) -> Checkpoint | None:
        """Return the checkpoint with the lowest eval loss, with all of its files compared with their checksums.

        Raises:
            TrainError: It is damaged.
        """
        best = self.best()
        if best is not None:
            verify_checkpoint(best.path)
        return best

    def has_model(self) -> bool:
        """Tell whether the final model exists.

        Raises:
            TrainError: It exists and is damaged.
        """
        if not self.model.is_dir():
            return False
        if damage := find_damage(self.model):
            raise TrainError(damage, f"remove {self.model}: the same command writes it anew from the last checkpoint")
        return True

    def check(self, recipe: TrainRecipe) -> None:
        """Check that the checkpoints in this folder, if any, belong to a recipe.

        Raises:
            TrainError: It holds a run of another recipe; names what differs.
        """
        latest = self.latest()
        if latest is not None:
            differing = list(_differences(latest.state.identity, recipe.identity()))
            if differing:
                raise TrainError(
                    f"{self.path} holds a run of another recipe; {'; '.join(differing[:4])}",
                    "choose another --out, or add --overwrite to delete that run",
                )

    def keep_recipe(self, recipe: TrainRecipe) -> None:
        """Write ``recipe.json``."""
        write_whole(self.path / _RECIPE, json.dumps(recipe.resolved(), indent=2).encode() + b"\n")


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*theirs, *mine]):
        here, before, now = f"{path}{key}", theirs.get(key), mine.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now, f"{here}.")
        elif before != now:
            yield f"{here} was {json.dumps(before)} and is {json.dumps(now)}"
