"""Train one recipe with one seed in several ways ("arms"), and evaluate all of them alike.

Every arm is a training run in a process of its own: an arm that fails does not stop the others, and a complete arm is
not trained again. All checkpoints of all arms are then asked the same questions, so that loss and accuracy can be
plotted against trained samples.
"""

import itertools
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from blender.core.errors import EvaluationError
from blender.core.folder import FolderKind
from blender.core.parent import run_with_parent
from blender.evaluate.results import write_result
from blender.evaluate.run import ModelFolder
from blender.evaluate.summary import Scores, Summary
from blender.serve.loading import LoadedModel
from blender.train.checkpoint import Checkpoint, list_checkpoints, read_state, read_weights, verify_checkpoint
from blender.train.folder import RUN, RunFolder
from blender.train.metrics import read_metrics

RESULT, PICTURE, PAGE = "ablation.json", "ablation.png", "ablation.html"
#: so many checkpoints that none is deleted
_KEEP_ALL = 1_000_000
_WIDTH, _HEIGHT = 440, 320


def _is_ablation(path: Path) -> bool:
    """Recognise the folder of an ablation by its result, or by the training runs in it."""
    try:
        if "arms" in msgspec.json.decode((path / RESULT).read_bytes(), type=dict[str, Any]):
            return True
    except (OSError, msgspec.MsgspecError):
        pass
    return any(RUN.is_proven(folder) for folder in path.iterdir())


#: arms and answers have folders of their own kinds in it, which are never deleted
ABLATION = FolderKind(
    name="ablation",
    noun="an ablation",
    busy="another ablation is being worked on in",
    own=(r"ablation\.(json|png|html)",),
    is_proven=_is_ablation,
)


@dataclass(frozen=True)
class Arm:
    """One way of training the recipe."""

    name: str
    #: what it changes, as ``--set`` takes it
    overrides: tuple[str, ...]


class CurvePoint(msgspec.Struct, frozen=True):
    """A figure of one arm after so many steps."""

    arm: str
    step: int
    #: trained so far
    samples: int
    value: float


class ArmResult(msgspec.Struct, frozen=True):
    """The outcome of one arm."""

    name: str
    overrides: list[str]
    #: why it is not complete; None where it is
    fault: str | None
    steps: int = 0
    samples: int = 0
    #: per trained token, at the end
    eval_loss: float | None = None
    #: median over the run
    tokens_per_second: float | None = None
    #: of the final model
    figures: Scores | None = None
    #: of the final model, by kind of drawn question
    accuracy: dict[str, float] = {}


class Ablation(msgspec.Struct, frozen=True):
    """The outcome of an ablation."""

    arms: list[ArmResult]
    #: eval loss, and accuracy on questions that can be checked, over the runs
    loss: list[CurvePoint]
    accuracy: list[CurvePoint]
    notes: list[str]


def make_arms(choices: Mapping[str, Sequence[str]]) -> list[Arm]:
    """Make an arm of every combination.

    Args:
        choices: Keys of the recipe and the values that each takes.

    Raises:
        EvaluationError: A value is given twice, or there is only one combination.
    """
    for key, values in choices.items():
        if len(set(values)) < len(values):
            raise EvaluationError(f"{key} is given the same value twice: {', '.join(values)}", "name each once")
    arms = [
        Arm(_name([value for _, value in chosen]), tuple(f"{key}={value}" for key, value in chosen))
        for chosen in itertools.product(*([(key, value) for value in values] for key, values in choices.items()))
    ]
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        arms = [Arm(f"{number}-{arm.name}", arm.overrides) for number, arm in enumerate(arms, 1)]
    if len(arms) < 2:
        raise EvaluationError("there is nothing to compare", "name two values or more, such as --attention causal,mmca")
    return arms


def _name(values: Sequence[str]) -> str:
    return "-".join(re.sub(r"[^\w.=]+", "_", value.rstrip("/").rpartition("/")[2]) for value in values)


def train_arm(arm: Arm, recipe: str, out: Path, overrides: Sequence[str], launch: str | None = None) -> str | None:
    """Train an arm in a process of its own, or resume its training.

    Args:
        arm: Which.
        recipe: The recipe that all arms share.
        out: Folder of the run.
        overrides: What all arms change.
        launch: What starts the process, such as ``torchrun --nproc_per_node 8``; Python by default.

    Returns:
        Why it is not complete, or None.

    Raises:
        KeyboardInterrupt: The run was stopped by a signal.
    """
    words = shlex.split(launch) if launch else [sys.executable]
    module = "--module" if Path(words[0]).name.startswith("deepspeed") else "-m"
    settings = [*overrides, f"checkpoints.keep={_KEEP_ALL}", *arm.overrides]
    sets = [word for setting in settings for word in ("--set", setting)]
    code = run_with_parent([*words, module, "blender", "train", recipe, "--out", str(out), *sets])
    if code in (130, 143, -2, -15):
        raise KeyboardInterrupt
    return f"training ended with exit code {code}" if code else None


def checkpoints_of(arm: Arm, run: Path) -> list[ModelFolder]:
    """Return the checkpoints of an arm, the last one under the arm's own name."""
    checkpoints = list_checkpoints(RunFolder(run).checkpoints)
    names = [f"{arm.name}, step {read_state(checkpoint).step}" for checkpoint in checkpoints]
    return [ModelFolder(name, path) for name, path in zip([*names[:-1], arm.name], checkpoints, strict=False)]


def open_checkpoint(checkpoint: ModelFolder, open_folder: Callable[[Path, str], LoadedModel]) -> LoadedModel:
    """Open the model of a checkpoint.

    Args:
        checkpoint: The checkpoint.
        open_folder: Opens a model's folder under a name.
    """
    verify_checkpoint(checkpoint.folder)
    loaded = open_folder(RunFolder(checkpoint.folder.parents[1]).model, checkpoint.name)
    weights = read_weights(Checkpoint(checkpoint.folder, read_state(checkpoint.folder)))
    own = dict(loaded.model.named_parameters())
    for name, weight in weights.items():
        own[name].data.copy_(weight)
    return loaded


def gather(arms: Sequence[Arm], faults: Mapping[str, str | None], folder: Path, summary: Summary | None) -> Ablation:
    """Collect the outcome of all arms.

    Args:
        arms: All arms.
        faults: By arm, why it is not complete.
        folder: Of the ablation; each arm's run is in it, under its name.
        summary: What the questions gave; None where nothing could be asked.
    """
    results, loss, accuracy = [], list[CurvePoint](), list[CurvePoint]()
    for arm in arms:
        lines = read_metrics(folder / arm.name)
        samples = {0: 0, **{line["step"]: line["samples"] for line in lines if line["kind"] == "train"}}
        own = [
            CurvePoint(arm.name, line["step"], _at(samples, line["step"]), line["loss"])
            for line in lines
            if line["kind"] == "eval"
        ]
        loss += own
        accuracy += _accuracy(arm, folder / arm.name, summary)
        results.append(_arm_result(arm, faults[arm.name], lines, own, summary))
    return Ablation(results, loss, accuracy, summary.notes if summary else [])


def _at(samples: Mapping[int, int], step: int) -> int:
    """Return the number of samples trained up to a step, interpolated between logged steps."""
    before = max(known for known in samples if known <= step)
    after = min((known for known in samples if known >= step), default=before)
    if after == before:
        return samples[before]
    return samples[before] + (samples[after] - samples[before]) * (step - before) // (after - before)


def _accuracy(arm: Arm, run: Path, summary: Summary | None) -> list[CurvePoint]:
    figures = _of_all(summary)
    points = []
    for checkpoint in checkpoints_of(arm, run):
        scores = figures.get(checkpoint.name)
        if scores and scores.accuracy is not None:
            state = read_state(checkpoint.folder)
            points.append(CurvePoint(arm.name, state.step, state.samples, scores.accuracy))
    return points


def _of_all(summary: Summary | None) -> dict[str, Scores]:
    return next((group.models for group in summary.groups if group.by == "all"), {}) if summary else {}


def _arm_result(
    arm: Arm, fault: str | None, lines: Sequence[dict[str, Any]], loss: Sequence[CurvePoint], summary: Summary | None
) -> ArmResult:
    trained = [line for line in lines if line["kind"] == "train"]
    rates = sorted(line["tokens_per_second"] for line in trained)
    kinds = [group for group in summary.groups if group.by == "kind"] if summary else []
    accuracy = {group.value: group.models[arm.name].accuracy for group in kinds if arm.name in group.models}
    return ArmResult(
        arm.name,
        list(arm.overrides),
        fault,
        steps=trained[-1]["step"] if trained else 0,
        samples=trained[-1]["samples"] if trained else 0,
        eval_loss=loss[-1].value if loss else None,
        tokens_per_second=rates[len(rates) // 2] if rates else None,
        figures=_of_all(summary).get(arm.name),
        accuracy={kind: share for kind, share in accuracy.items() if share is not None},
    )


def write_ablation(ablation: Ablation, folder: Path) -> None:
    """Write ``ablation.json``, and the curves as ``ablation.png`` and ``ablation.html``."""
    content = msgspec.json.format(msgspec.json.encode(ablation), indent=2)
    write_result(folder / RESULT, [content, b"\n"])
    panels = [("eval loss per trained token", ablation.loss), ("share of right answers", ablation.accuracy)]
    drawn = [(title, points) for title, points in panels if points]
    if drawn:
        import altair as alt

        chart = alt.hconcat(*(_panel(title, points) for title, points in drawn))
        chart.save(str(folder / PICTURE), scale_factor=2)
        chart.save(str(folder / PAGE), inline=True)


def _panel(title: str, points: Sequence[CurvePoint]) -> Any:
    import altair as alt

    values = [msgspec.to_builtins(point) for point in points]
    names = list(dict.fromkeys(point.arm for point in points))
    lines = alt.Chart({"values": values}).mark_line(point=True)
    encoded = lines.encode(
        x=alt.X("samples:Q", title="trained samples"),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
        color=alt.Color("arm:N", title=None, sort=names),
        tooltip=["arm:N", "step:Q", "samples:Q", alt.Tooltip("value:Q", format=".4f")],
    )
    return encoded.properties(width=_WIDTH, height=_HEIGHT)
