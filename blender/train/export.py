"""Writes the trained model as a Hugging Face folder, from a checkpoint's fp32 weights.

The folder holds the trained weights, and the names of the parts whose weights are frozen (the small save of
``docs/model.md``). With a language model trained in full this is nearly everything.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blender.core.checksums import write_checksums
from blender.core.files import put_folder_in_place
from blender.model.saving import trained_names
from blender.train.checkpoint import Checkpoint, read_weights
from blender.train.deepspeed_internals import is_partitioned
from blender.train.distributed import Ranks


def export_model(model: Any, processor: Any, checkpoint: Checkpoint, folder: Path, ranks: Ranks) -> None:
    """Write the model of a checkpoint; all ranks must call this together.

    Args:
        model: The model; its own trained weights may be newer and are not written.
        processor: Its processor, which is saved beside it.
        checkpoint: The checkpoint whose weights are written.
        folder: The folder, which is replaced as a whole.
        ranks: This process among the ranks.
    """
    others = _gathered(model, [name for name in trained_names(model) if name not in checkpoint.state.shapes])
    if ranks.is_first:
        dtype = model.config.dtype or torch.float32
        weights = {name: weight.to(dtype) for name, weight in read_weights(checkpoint).items()}
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        model.save_trained(partial, weights={**others, **weights})
        processor.save_pretrained(partial)
        write_checksums(partial)
        put_folder_in_place(partial, folder)
    ranks.barrier()


def _gathered(model: Any, names: list[str]) -> dict[str, Tensor]:
    """Return weights that are saved though they are frozen, such as those of a frozen projector, in full shape."""
    named = dict(model.named_parameters())
    wanted = [named[name] for name in names]
    if not any(is_partitioned(parameter) for parameter in wanted):
        return {name: named[name].detach().cpu() for name in names}
    import deepspeed

    with deepspeed.zero.GatheredParameters(wanted):
        return {name: named[name].detach().cpu().clone() for name in names}
