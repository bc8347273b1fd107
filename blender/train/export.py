"""The trained model as a Hugging Face folder, from a checkpoint's fp32 weights.

The small kind is written: what was trained, and where the frozen parts are. With a language model trained in full this
is nearly everything.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blender.core.checksums import write_checksums
from blender.core.files import put_folder_in_place
from blender.model.saving import trained_names
from blender.train.checkpoint import CheckpointState, read_weights
from blender.train.ranks import Ranks


def export_model(
    model: Any, processor: Any, checkpoint: Path, state: CheckpointState, folder: Path, ranks: Ranks
) -> None:
    """Write the model of a checkpoint; all ranks together.

    Args:
        model: The model, in whose engine any weights may be.
        processor: What travels with it.
        checkpoint: Whose weights are written.
        state: What the checkpoint says of its run.
        folder: Where to; replaced whole.
        ranks: This process among all.
    """
    others = _gathered(model, [name for name in trained_names(model) if name not in state.shapes])
    if ranks.is_first:
        dtype = model.config.dtype or torch.float32
        weights = {name: weight.to(dtype) for name, weight in read_weights(checkpoint, state).items()}
        aside = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(aside, ignore_errors=True)
        model.save_trained(aside, weights={**others, **weights})
        processor.save_pretrained(aside)
        write_checksums(aside)
        put_folder_in_place(aside, folder)
    ranks.wait()


def _gathered(model: Any, names: list[str]) -> dict[str, Tensor]:
    """Return weights that are saved though nothing trains them, such as those of a frozen projector, whole."""
    named = dict(model.named_parameters())
    wanted = [named[name] for name in names]
    if not any(hasattr(parameter, "ds_id") for parameter in wanted):
        return {name: named[name].detach().cpu() for name in names}
    import deepspeed

    with deepspeed.zero.GatheredParameters(wanted):
        return {name: named[name].detach().cpu().clone() for name in names}
