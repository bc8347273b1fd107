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

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from blender.core.files import write_whole
from blender.core.folder import FolderKind
from blender.errors import TrainError
from blender.train.checkpoint import CheckpointState, best_checkpoint, list_checkpoints, read_state
from blender.train.recipe import TrainRecipe

#: a checkpoint's folder, and what it says of its run
Found = tuple[Path, CheckpointState]

_RECIPE = "recipe.json"
#: what a Hugging Face folder of ours may hold
_MODEL = r"[^/]+\.(safetensors|json|jinja|model)|merges\.txt|vocab\.txt"


def _is_run(path: Path) -> bool:
    """Tell whether a folder holds a run: its recipe has the sections of a training recipe."""
    try:
        recipe = msgspec.json.decode((path / _RECIPE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return False
    return {"model", "data", "batch", "schedule", "checkpoints"} <= recipe.keys()


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
        """Look whether this folder holds no checkpoint yet, or those of this very recipe.

        Raises:
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

    def keep_recipe(self, recipe: TrainRecipe) -> None:
        """Write the recipe down."""
        write_whole(self.path / _RECIPE, json.dumps(recipe.resolved(), indent=2).encode() + b"\n")


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*theirs, *mine]):
        here, before, now = f"{path}{key}", theirs.get(key), mine.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _differences(before, now, f"{here}.")
        elif before != now:
            yield f"{here} was {json.dumps(before)} and is {json.dumps(now)}"
