"""Checkpoints: what a run needs to go on, at any world size and ZeRO stage, bit for bit at the same one.

A checkpoint holds the trained weights in fp32 and their running means, parameter by parameter under the model's names,
as safetensors; and ``state.json``: the step, where the stream stands, the loss scale, the recipe and its hash. Random
numbers have no state: those of a step are drawn from (seed, step, rank). Frozen weights are not in it.

Every rank writes its share of the parameters into a folder aside; the first one writes the checksums of all files,
makes sure that all is on the disk and renames it. So a folder with its final name is whole, whenever the power went.
What changed in it later is noticed when a run goes on from it: nothing falls back to an earlier checkpoint by itself.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blender.core.checksums import CHECKSUMS, find_damage, write_checksums
from blender.core.errors import TrainError
from blender.core.files import put_folder_in_place
from blender.train.master import MEANS, MasterWeights
from blender.train.ranks import Ranks

#: of the layout of a checkpoint
VERSION = 2
_STATE = "state.json"
_ASIDE = ".partial"
_NAME = re.compile(r"step-(\d{8,})")


class _Version(msgspec.Struct):
    version: int


class CheckpointState(msgspec.Struct, frozen=True):
    """What a checkpoint says of its run."""

    version: int
    #: optimizer steps taken
    step: int
    #: where the stream stands
    stream: dict[str, Any]
    #: state of a dynamic loss scale; empty without one
    loss_scale: dict[str, float]
    recipe_hash: str
    #: what decides what is learnt, to say what differs
    decisive: dict[str, Any]
    #: samples and tokens seen so far, and samples that could not be used, by reason
    samples: int
    tokens: int
    skipped: dict[str, int]
    #: number of files of weights
    num_parts: int
    #: names and shapes of all trained weights
    shapes: dict[str, list[int]]
    #: eval loss at this step, if it was evaluated
    eval_loss: float | None = None


def checkpoint_name(step: int) -> str:
    """Name a checkpoint's folder so that names sort by step."""
    return f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, the latest one last; one that has lost files since is among them."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and any(path.iterdir()))


def is_checkpoint(folder: Path) -> bool:
    """Tell whether a folder is a checkpoint of ours, of whatever version."""
    try:
        state = msgspec.json.decode((folder / _STATE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return False
    return {"step", "recipe_hash", "decisive", "stream"} <= state.keys()


def read_state(checkpoint: Path) -> CheckpointState:
    """Read what a checkpoint says of its run.

    Raises:
        TrainError: It cannot be read, is damaged, or is of another version.
    """
    try:
        content = (checkpoint / _STATE).read_bytes()
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise TrainError(
                f"{checkpoint} has version {version}, and this program reads {VERSION}",
                "go on with the version of the program that wrote it, or begin anew with --overwrite",
            )
        state = msgspec.json.decode(content, type=CheckpointState)
    except OSError as error:
        raise TrainError(f"{checkpoint / _STATE} cannot be read: {error.strerror}", _hint(checkpoint)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrainError(f"{checkpoint / _STATE} cannot be read: {error}", _hint(checkpoint)) from error
    damage = find_damage(checkpoint, lambda name: name == _STATE)
    if damage is None and checkpoint.name != checkpoint_name(state.step):
        damage = f"{checkpoint / _STATE} says that it is of step {state.step}"
    if damage:
        raise TrainError(damage, _hint(checkpoint))
    return state


def verify_checkpoint(checkpoint: Path) -> None:
    """Read every byte of a checkpoint, and compare it with what was written.

    Raises:
        TrainError: A file is damaged, cut short or missing; names it, and the checkpoint before.
    """
    damage = find_damage(checkpoint)
    if damage is None and not (checkpoint / CHECKSUMS).is_file():
        damage = f"{checkpoint / CHECKSUMS} is missing"
    if damage:
        raise TrainError(damage, _hint(checkpoint))


def _hint(checkpoint: Path) -> str:
    """Say what to do about a damaged checkpoint."""
    earlier = [path.name for path in list_checkpoints(checkpoint.parent) if path.name < checkpoint.name]
    if not earlier:
        return f"put back a copy of it; or remove {checkpoint} to begin at the first step"
    return f"put back a copy of it; or remove {checkpoint} to go on from {earlier[-1]}"


def save_checkpoint(folder: Path, state: CheckpointState, masters: MasterWeights, ranks: Ranks) -> Path:
    """Write a checkpoint; all ranks together.

    Args:
        folder: Of all checkpoints.
        state: What it says of its run.
        masters: The weights.
        ranks: This process among all.

    Returns:
        Its folder.
    """
    final = folder / checkpoint_name(state.step)
    aside = final.with_suffix(_ASIDE)
    if ranks.is_first:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
    ranks.wait()
    own: dict[str, Tensor] = {}
    for name, owner in _owners(masters.shapes, ranks.world).items():
        # gathering takes all ranks, keeping only one
        values = masters.read(name)
        if owner == ranks.rank:
            own.update({f"{name}:{key}": value for key, value in values.items()})
    save_file(own, aside / _part_name(ranks.rank, state.num_parts))
    ranks.wait()
    if ranks.is_first:
        (aside / _STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        write_checksums(aside)
        put_folder_in_place(aside, final)
    ranks.wait()
    return final


def load_checkpoint(checkpoint: Path, state: CheckpointState, masters: MasterWeights) -> None:
    """Put a checkpoint's weights and running means into the engine; all ranks together.

    Raises:
        TrainError: A file is missing or damaged.
    """
    masters.begin_state(state.step)
    values: dict[str, dict[str, Tensor]] = {}
    shapes = masters.shapes
    for name, key, tensor in _tensors(checkpoint, state):
        whole = values.setdefault(name, {})
        whole[key] = tensor
        if len(whole) == len(("weight", *MEANS)) and name in shapes:
            masters.write(name, values.pop(name))
    left = sorted({*values, *(set(shapes) - set(state.shapes))})
    if left:
        raise TrainError(f"{checkpoint} has no whole {left[0]}", _hint(checkpoint))
    masters.set_loss_scale(state.loss_scale)


def read_weights(checkpoint: Path, state: CheckpointState) -> dict[str, Tensor]:
    """Read the trained weights alone, in fp32, by name."""
    return {name: tensor for name, key, tensor in _tensors(checkpoint, state) if key == "weight"}


def check_fits(checkpoint: Path, state: CheckpointState, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse a checkpoint of another model.

    Args:
        checkpoint: Its folder, for the message.
        state: What it says.
        shapes: Names and shapes of the weights that the run trains.

    Raises:
        TrainError: Names or shapes differ; names one.
    """
    theirs = {name: tuple(shape) for name, shape in state.shapes.items()}
    mine = {name: tuple(shape) for name, shape in shapes.items()}
    for name in sorted({*theirs, *mine}):
        if theirs.get(name) != mine.get(name):
            there = _shown(theirs.get(name))
            raise TrainError(
                f"{checkpoint} is of another model: its {name} is {there}, and this one's {_shown(mine.get(name))}",
                "train into another folder, or add --overwrite to begin anew",
            )


def prune(folder: Path, keep: int, best: bool) -> list[Path]:
    """Delete checkpoints that need not be kept, and what unfinished ones left.

    Args:
        folder: Of all checkpoints.
        keep: How many of the latest stay.
        best: Whether the one with the lowest eval loss stays, too.

    Returns:
        Those that stay.
    """
    for leftover in folder.glob(f"*{_ASIDE}"):
        shutil.rmtree(leftover, ignore_errors=True)
    every = list_checkpoints(folder)
    staying = set(every[-keep:])
    if best and (found := best_checkpoint(folder)) is not None:
        staying.add(found)
    for path in every:
        if path not in staying:
            # under this name it is no checkpoint, should this be interrupted
            going = path.with_suffix(_ASIDE)
            path.rename(going)
            shutil.rmtree(going, ignore_errors=True)
    return sorted(staying)


def best_checkpoint(folder: Path) -> Path | None:
    """Find the checkpoint with the lowest eval loss, the earliest of equal ones; None where none was evaluated."""
    losses = [(state.eval_loss, path) for path in list_checkpoints(folder) if (state := read_state(path))]
    known = [(loss, path) for loss, path in losses if loss is not None]
    return min(known)[1] if known else None


def _owners(shapes: Mapping[str, tuple[int, ...]], world: int) -> dict[str, int]:
    """Say which rank writes which weight, so that all write about as much."""
    sizes = [0] * world
    owners: dict[str, int] = {}
    for name, shape in shapes.items():
        owners[name] = sizes.index(min(sizes))
        count = 1
        for length in shape:
            count *= length
        sizes[owners[name]] += count
    return owners


def _part_name(rank: int, num_parts: int) -> str:
    return f"weights-{rank + 1:05d}-of-{num_parts:05d}.safetensors"


def _tensors(checkpoint: Path, state: CheckpointState) -> Iterator[tuple[str, str, Tensor]]:
    for rank in range(state.num_parts):
        part = checkpoint / _part_name(rank, state.num_parts)
        try:
            with safe_open(part, "pt") as file:
                for name in sorted(file.keys()):
                    weight, _, key = name.rpartition(":")
                    yield weight, key, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise TrainError(f"{part} cannot be read: {error}", _hint(checkpoint)) from error


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape)) or "one number"
