"""Checkpoints: what a run needs to resume, at any world size and ZeRO stage; exact to the bit at the same ones.

A checkpoint holds the trained weights in fp32 and AdamW's running means, parameter by parameter under the model's
names, as safetensors; and ``state.json`` with the step, the stream state, the loss scale and the recipe's identity.
Random numbers have no state: those of a step are drawn from (seed, step, rank). Frozen weights are not stored.

Every rank writes its share of the parameters into a ``.partial`` folder; rank 0 adds the checksums of all files, syncs
and renames the folder. So a folder with its final name is complete, even after kill -9 or a power cut. Later damage is
detected when a run resumes, which is then refused: nothing falls back to an earlier checkpoint by itself.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blender.core.checksums import CHECKSUMS, find_damage, write_checksums
from blender.core.errors import TrainError
from blender.core.files import put_folder_in_place
from blender.train.deepspeed_internals import MEANS, MasterWeights
from blender.train.distributed import Ranks

#: version of the files of a checkpoint
VERSION = 2
_STATE = "state.json"
_PARTIAL = ".partial"
_NAME = re.compile(r"step-(\d{8,})")


class _Version(msgspec.Struct):
    version: int


class CheckpointState(msgspec.Struct, frozen=True):
    """State of a run: the content of ``state.json``."""

    version: int
    #: optimizer steps taken
    step: int
    #: the stream state
    stream: dict[str, Any]
    #: state of a dynamic loss scale; empty without one
    loss_scale: dict[str, float]
    recipe_hash: str
    #: the recipe's identity fields, to name those that differ
    identity: dict[str, Any] = msgspec.field(name="decisive")
    #: samples seen so far, over all ranks
    samples: int
    #: tokens seen so far, over all ranks
    tokens: int
    #: number of samples that could not be used, by reason
    skipped: dict[str, int]
    #: number of files of weights
    num_parts: int
    #: names and shapes of all trained weights
    shapes: dict[str, list[int]]
    #: eval loss at this step; None where it was not evaluated
    eval_loss: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder with the state read from it."""

    path: Path
    state: CheckpointState


def checkpoint_name(step: int) -> str:
    """Return the name of a checkpoint's folder; names sort by step."""
    return f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, the latest last; damaged ones are included."""
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name) and any(path.iterdir()))


def is_checkpoint(folder: Path) -> bool:
    """Tell whether a folder is a checkpoint of this program, of any version."""
    try:
        state = msgspec.json.decode((folder / _STATE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return False
    return {"step", "recipe_hash", "decisive", "stream"} <= state.keys()


def read_state(path: Path) -> CheckpointState:
    """Read the state of a checkpoint.

    Raises:
        TrainError: It cannot be read, is damaged, or is of another version.
    """
    try:
        content = (path / _STATE).read_bytes()
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise TrainError(
                f"{path} has version {version}, and this program reads {VERSION}",
                "go on with the version of the program that wrote it, or begin anew with --overwrite",
            )
        state = msgspec.json.decode(content, type=CheckpointState)
    except OSError as error:
        raise TrainError(f"{path / _STATE} cannot be read: {error.strerror}", _hint(path)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TrainError(f"{path / _STATE} cannot be read: {error}", _hint(path)) from error
    damage = find_damage(path, lambda name: name == _STATE)
    if damage is None and path.name != checkpoint_name(state.step):
        damage = f"{path / _STATE} says that it is of step {state.step}"
    if damage:
        raise TrainError(damage, _hint(path))
    return state


def verify_checkpoint(path: Path) -> None:
    """Compare every file of a checkpoint with its checksum.

    Raises:
        TrainError: A file is damaged, truncated or missing; names it, and the checkpoint before.
    """
    damage = find_damage(path)
    if damage is None and not (path / CHECKSUMS).is_file():
        damage = f"{path / CHECKSUMS} is missing"
    if damage:
        raise TrainError(damage, _hint(path))


def _hint(path: Path) -> str:
    """Return what to do about a damaged checkpoint."""
    earlier = [other.name for other in list_checkpoints(path.parent) if other.name < path.name]
    if not earlier:
        return f"put back a copy of it; or remove {path} to begin at the first step"
    return f"put back a copy of it; or remove {path} to go on from {earlier[-1]}"


def save_checkpoint(folder: Path, state: CheckpointState, masters: MasterWeights, ranks: Ranks) -> Path:
    """Write a checkpoint; all ranks must call this together.

    Args:
        folder: The folder of all checkpoints.
        state: State of the run.
        masters: The trained weights.
        ranks: This process among the ranks.

    Returns:
        The checkpoint's folder.
    """
    final = folder / checkpoint_name(state.step)
    partial = final.with_suffix(_PARTIAL)
    if ranks.is_first:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    ranks.barrier()
    own: dict[str, Tensor] = {}
    for name, owner in _owners(masters.shapes, ranks.world).items():
        # all ranks gather a weight together, one keeps it
        values = masters.read(name)
        if owner == ranks.rank:
            own.update({f"{name}:{key}": value for key, value in values.items()})
    save_file(own, partial / _part_name(ranks.rank, state.num_parts))
    ranks.barrier()
    if ranks.is_first:
        (partial / _STATE).write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        write_checksums(partial)
        put_folder_in_place(partial, final)
    ranks.barrier()
    return final


def load_checkpoint(checkpoint: Checkpoint, masters: MasterWeights) -> None:
    """Load a checkpoint's weights and running means into the engine; all ranks must call this together.

    Raises:
        TrainError: A file is missing or damaged.
    """
    state = checkpoint.state
    masters.begin_state(state.step)
    values: dict[str, dict[str, Tensor]] = {}
    shapes = masters.shapes
    for name, key, tensor in _tensors(checkpoint):
        whole = values.setdefault(name, {})
        whole[key] = tensor
        if len(whole) == len(("weight", *MEANS)) and name in shapes:
            masters.write(name, values.pop(name))
    incomplete = sorted({*values, *(set(shapes) - set(state.shapes))})
    if incomplete:
        raise TrainError(f"{checkpoint.path} has no whole {incomplete[0]}", _hint(checkpoint.path))
    masters.set_loss_scale(state.loss_scale)


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Read the trained weights in fp32 by name, without their running means."""
    return {name: tensor for name, key, tensor in _tensors(checkpoint) if key == "weight"}


def check_fits(checkpoint: Checkpoint, shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse a checkpoint of another model.

    Args:
        checkpoint: The checkpoint.
        shapes: Names and shapes of the weights that the run trains.

    Raises:
        TrainError: Names or shapes differ; names one.
    """
    theirs = {name: tuple(shape) for name, shape in checkpoint.state.shapes.items()}
    mine = {name: tuple(shape) for name, shape in shapes.items()}
    for name in sorted({*theirs, *mine}):
        if theirs.get(name) != mine.get(name):
            there = _format_shape(theirs.get(name))
            raise TrainError(
                f"{checkpoint.path} is of another model: its {name} is {there}, "
                f"and this one's {_format_shape(mine.get(name))}",
                "train into another folder, or add --overwrite to begin anew",
            )


def prune(folder: Path, keep: int, best: bool) -> list[Path]:
    """Delete all checkpoints but the latest ones, and what unfinished ones left.

    Args:
        folder: The folder of all checkpoints.
        keep: How many of the latest are kept.
        best: Whether the one with the lowest eval loss is kept, too.

    Returns:
        Those that are kept.
    """
    for leftover in folder.glob(f"*{_PARTIAL}"):
        shutil.rmtree(leftover, ignore_errors=True)
    paths = list_checkpoints(folder)
    kept = set(paths[-keep:])
    if best and (lowest := best_checkpoint(folder)) is not None:
        kept.add(lowest.path)
    for path in paths:
        if path not in kept:
            # renamed first, so that an interrupted deletion leaves no damaged checkpoint
            partial = path.with_suffix(_PARTIAL)
            path.rename(partial)
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(kept)


def best_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint with the lowest eval loss, the earliest of equal ones; None where none was evaluated."""
    checkpoints = [Checkpoint(path, read_state(path)) for path in list_checkpoints(folder)]
    losses = [(c.state.eval_loss, number) for number, c in enumerate(checkpoints) if c.state.eval_loss is not None]
    return checkpoints[min(losses)[1]] if losses else None


def _owners(shapes: Mapping[str, tuple[int, ...]], world: int) -> dict[str, int]:
    """Return the rank that writes each weight; all write about the same amount."""
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


def _tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, str, Tensor]]:
    """Read all tensors: the name of the weight, ``weight`` or the name of a running mean, and the tensor."""
    num_parts = checkpoint.state.num_parts
    for rank in range(num_parts):
        part = checkpoint.path / _part_name(rank, num_parts)
        try:
            with safe_open(part, "pt") as file:
                for name in sorted(file.keys()):
                    weight, _, key = name.rpartition(":")
                    yield weight, key, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise TrainError(f"{part} cannot be read: {error}", _hint(checkpoint.path)) from error


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else " x ".join(map(str, shape)) or "one number"
