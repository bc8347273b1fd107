"""DeepSpeed's configuration: made from the recipe, with a user's own JSON merged in.

The recipe sets batches, optimizer, schedule, precision, clipping and the ZeRO stage. A JSON that sets one of them to
another value is refused, as one of the two would be ignored silently.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blender.core.errors import TrainError
from blender.train.batch_plan import BatchPlan
from blender.train.recipe import TrainRecipe

#: keys of DeepSpeed's JSON that the recipe has its own key for
_RECIPE_KEYS = {
    "optimizer": "optimizer",
    "scheduler": "schedule",
    "tensorboard": "logging.tensorboard",
    "wandb": "logging.wandb",
    "amp": "precision",
    "torch_autocast": "precision",
}
#: the value that leaves a key to the trainer, as in transformers' integration of DeepSpeed
_AUTO = "auto"


def deepspeed_config(recipe: TrainRecipe, plan: BatchPlan) -> dict[str, Any]:
    """Make DeepSpeed's configuration.

    Args:
        recipe: The recipe.
        plan: Its global batch, divided.

    Raises:
        TrainError: The recipe's JSON cannot be read, or contradicts the recipe.
    """
    own = _from_recipe(recipe, plan)
    if recipe.deepspeed.config is None:
        return own
    theirs = _read(Path(recipe.deepspeed.config))
    for key, recipe_key in _RECIPE_KEYS.items():
        if key in theirs:
            raise TrainError(f"{recipe.deepspeed.config} has {key}", f"take it out; the recipe has {recipe_key} for it")
    for path, mine, other in _conflicts(own, theirs):
        raise TrainError(
            f"{recipe.deepspeed.config} says {path} is {other}, and the recipe makes it {mine}",
            'change the recipe, or write "auto" into the JSON',
        )
    return _merged(own, theirs)


def _from_recipe(recipe: TrainRecipe, plan: BatchPlan) -> dict[str, Any]:
    zero: dict[str, Any] = {"stage": recipe.deepspeed.stage}
    if recipe.deepspeed.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if recipe.deepspeed.offload == "all":
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    config: dict[str, Any] = {
        "train_batch_size": plan.rows,
        "train_micro_batch_size_per_gpu": plan.micro,
        "gradient_accumulation_steps": plan.accumulation,
        "gradient_clipping": recipe.optimizer.clip,
        "zero_optimization": zero,
        # AdamW of PyTorch, fused, is as fast and needs no compiler
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": recipe.precision == "bf16"},
        "fp16": {"enabled": recipe.precision == "fp16"},
    }
    if recipe.deepspeed.stage and recipe.precision != "fp32":
        # added up in 16 bits, the gradients of later micro-batches would be rounded away
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}", "name a DeepSpeed JSON") from error
    except ValueError as error:
        raise TrainError(f"{path} is not JSON: {error}", "name a DeepSpeed JSON") from error
    if not isinstance(content, dict):
        raise TrainError(f"{path} holds no keys", "name a DeepSpeed JSON")
    return content


def _conflicts(own: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key, other in theirs.items():
        full_path, mine = f"{path}{key}", own.get(key)
        if isinstance(other, dict) and isinstance(mine, dict):
            # the JSON may refine how to offload; the recipe decides whether to
            if not key.startswith("offload_") and key != "data_types":
                yield from _conflicts(mine, other, f"{full_path}.")
        elif key in own and other not in (mine, _AUTO):
            yield full_path, mine, other
        elif key.startswith("offload_") and key not in own and other != _AUTO:
            yield full_path, "none (deepspeed.offload)", "given"


def _merged(own: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(own)
    for key, other in theirs.items():
        if isinstance(other, dict):
            merged[key] = _merged(merged.get(key) or {}, other)
        elif other != _AUTO:
            merged[key] = other
    return merged
