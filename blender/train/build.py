"""Builds what is trained: loads the parts, joins and freezes them, starts DeepSpeed's engine, loads a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blender.core.errors import ModelError
from blender.core.hub import load_named
from blender.model import VisualChatModel, parameter_groups, set_trainable
from blender.train.checkpoint import Checkpoint, check_fits, load_checkpoint
from blender.train.deepspeed_internals import MasterWeights, full_shape, is_partitioned
from blender.train.distributed import Ranks
from blender.train.engine import start_engine
from blender.train.inputs import RunInputs, model_settings
from blender.train.recipe import Lora, TrainRecipe

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class EngineModel:
    """A model in DeepSpeed's engine."""

    model: Any
    #: DeepSpeed's engine around it
    engine: Any
    masters: MasterWeights


def build(recipe: TrainRecipe, inputs: RunInputs, ranks: Ranks, latest: Checkpoint | None) -> EngineModel:
    """Load the model and start the engine; all ranks must call this together.

    Args:
        recipe: The recipe.
        inputs: Its inputs.
        ranks: This process among the ranks.
        latest: The checkpoint to resume from.

    Raises:
        ModelError: A part cannot be loaded.
        TrainError: The checkpoint is of another model, or damaged.
    """
    model = _load(recipe, inputs)
    choose_trained(model, recipe)
    if latest is not None:
        check_fits(latest, {name: full_shape(p) for name, p in model.named_parameters() if p.requires_grad})
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if recipe.deepspeed.stage == 3:
        _move_unpartitioned(model, ranks.device)
    optimizer = recipe.optimizer
    groups = parameter_groups(
        model,
        lr=optimizer.lr,
        lr_projector=optimizer.lr_projector,
        lr_embedding=optimizer.lr_embedding,
        lr_vision=optimizer.lr_vision,
        weight_decay=optimizer.weight_decay,
    )
    engine = start_engine(model, groups, optimizer, inputs.config)
    masters = MasterWeights(engine)
    if latest is not None:
        load_checkpoint(latest, masters)
    return EngineModel(model, engine, masters)


def choose_trained(model: Any, recipe: TrainRecipe) -> None:
    """Freeze or unfreeze the weights of a model and add adapters, as a recipe asks."""
    trained = recipe.train
    set_trainable(
        model,
        projector=trained.projector,
        embedding=trained.embedding,
        language=trained.language,
        vision=trained.vision,
        lora=_adapter_settings(trained.lora),
        seed=recipe.seed,
    )


def _adapter_settings(lora: Lora) -> dict[str, Any]:
    """Return a recipe's settings of adapters as arguments of PEFT."""
    settings: dict[str, Any] = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    return settings if lora.targets is None else {**settings, "target_modules": list(lora.targets)}


def _load(recipe: TrainRecipe, inputs: RunInputs) -> Any:
    settings = model_settings(recipe.model)
    language: Any = recipe.model.language
    vision: Any = recipe.model.vision
    if recipe.deepspeed.stage == 3:
        language, vision = _load_partitioned(recipe, inputs)
        # how bytes become pixels is written in the parts' folders, not in loaded models
        names = ("image_size", "image_scale", "image_mean", "image_std")
        settings.update({name: getattr(inputs.model, name) for name in names})
    return VisualChatModel.from_parts(language, vision, dtype=DTYPES[recipe.precision], seed=recipe.seed, **settings)


def _load_partitioned(recipe: TrainRecipe, inputs: RunInputs) -> tuple[Any, Any]:
    """Load the parts for stage 3, so that no rank ever holds more than its partition of the weights."""
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    # transformers keeps a weak reference to this object, and partitions weights while it exists
    partitioning = HfDeepSpeedConfig(dict(inputs.config))  # type: ignore[no-untyped-call]
    try:
        dtype = DTYPES[recipe.precision]
        return (
            _load_part("language model", AutoModelForCausalLM, recipe.model.language, dtype),
            _load_part("vision tower", AutoModel, recipe.model.vision, dtype),
        )
    finally:
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
        del partitioning


def _load_part(what: str, loader: Any, part: str, dtype: torch.dtype) -> Any:
    name = str(Path(part).resolve()) if Path(part).is_dir() else part
    model, info = load_named(
        what, name, lambda path: loader.from_pretrained(path, dtype=dtype, output_loading_info=True)
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(f"the {what} {part} lacks {len(missing)} weights, such as {missing[0]}", "load it anew")
    return model


def _move_unpartitioned(model: Any, device: torch.device) -> None:
    """Move to the device what is not partitioned: new weights, and buffers."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if not is_partitioned(tensor):
            tensor.data = tensor.data.to(device)
