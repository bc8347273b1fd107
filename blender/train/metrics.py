"""Writes the figures of a run to ``metrics.jsonl``, TensorBoard and Weights & Biases.

A run that resumes first removes the lines after its checkpoint, so that ``metrics.jsonl`` reads like that of a run
that was never stopped.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from blender.core.errors import TrainError
from blender.core.files import write_whole
from blender.train.events import EvaluationDone, MetricsLogged
from blender.train.recipe import Logging, TrainRecipe

METRICS = "metrics.jsonl"


def check_logging(logging: Logging) -> None:
    """Check that the packages that a recipe logs with are installed.

    Raises:
        TrainError: One is not.
    """
    wanted = {"tensorboard": logging.tensorboard, "wandb": logging.wandb is not None}
    for package, is_wanted in wanted.items():
        if is_wanted and importlib.util.find_spec(package) is None:
            raise TrainError(
                f"logging.{package} asks for {package}, which is not installed",
                f"pip install {package}, or set logging.{package}={'false' if package == 'tensorboard' else 'null'}",
            )


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of ``metrics.jsonl``."""
    path = folder / METRICS
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class MetricsWriter:
    """Writes figures; a context manager, used on rank 0.

    Args:
        folder: Folder of the run.
        recipe: Its recipe.
        step: Steps taken before; lines of later steps are removed.
    """

    def __init__(self, folder: Path, recipe: TrainRecipe, step: int) -> None:
        self._folder, self._recipe, self._step = folder, recipe, step
        self._board: Any = None
        self._wandb: Any = None

    def __enter__(self) -> "MetricsWriter":
        self._remove_later_lines()
        if self._recipe.logging.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._step + 1)
        if settings := self._recipe.logging.wandb:
            import wandb

            self._wandb = wandb.init(
                project=settings.project,
                entity=settings.entity,
                name=settings.run or self._recipe.name,
                id=f"{self._recipe.name}-{self._recipe.hash()[:12]}",
                resume="allow",
                dir=str(self._folder),
                config=self._recipe.resolved(),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if error is None else 1)

    def write(self, event: MetricsLogged | EvaluationDone) -> None:
        """Write a line of figures."""
        kind = "train" if isinstance(event, MetricsLogged) else "eval"
        line = {"kind": kind, **asdict(event)}
        with (self._folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        figures = dict(_figures(kind, line))
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, event.step)
            self._board.flush()
        if self._wandb is not None:
            self._wandb.log(figures, step=event.step)

    def _remove_later_lines(self) -> None:
        """Remove the lines of steps after the one that the run resumes from, and an incomplete last line."""
        path = self._folder / METRICS
        if not path.is_file():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                # a run from the first step writes the lines of step 0 again
                keep = line.endswith("\n") and 0 < self._step >= json.loads(line)["step"]
            except ValueError:
                keep = False
            kept += [line] if keep else []
        write_whole(path, "".join(kept).encode())


def _figures(kind: str, line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{kind}/{name}/{inner}", number) for inner, number in value.items())
        elif name not in ("kind", "step") and value is not None:
            yield f"{kind}/{name}", value
