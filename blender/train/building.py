"""From checked inputs to a model in DeepSpeed's engine: load the parts, join them, freeze, start, go on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blender.core.errors import ModelError
from blender.core.hub import load_named
from blender.model import VisualChatModel, parameter_groups, set_trainable
from blender.train.checkpoint import CheckpointState, check_fits, load_checkpoint
from blender.train.engine import start_engine
from blender.train.master import MasterWeights
from blender.train.prepare import Prepared, model_settings
from blender.train.ranks import Ranks
from blender.train.recipe import Lora, TrainRecipe

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclass(frozen=True)
class Built:
    """A model that can be trained."""

    model: Any
    #: DeepSpeed's
    engine: Any
    masters: MasterWeights


def build(recipe: TrainRecipe, prepared: Prepared, ranks: Ranks, latest: tuple[Path, CheckpointState] | None) -> Built:
    """Load everything and start the engine; all ranks together.

    Args:
        recipe: The recipe.
        prepared: Its inputs, checked.
        ranks: This process among all.
        latest: The checkpoint to go on from.

    Raises:
        ModelError: A part cannot be loaded.
        TrainError: The checkpoint is of another model, or damaged.
    """
    model = _load(recipe, prepared)
    choose_trained(model, recipe)
    if latest is not None:
        check_fits(*latest, {name: _shape(p) for name, p in model.named_parameters() if p.requires_grad})
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if recipe.deepspeed.stage == 3:
        _move_unpartitioned(model, ranks.device)
    said = recipe.optimizer
    groups = parameter_groups(
        model,
        lr=said.lr,
        lr_projector=said.lr_projector,
        lr_embedding=said.lr_embedding,
        lr_vision=said.lr_vision,
        weight_decay=said.weight_decay,
    )
    engine = start_engine(model, groups, said, prepared.config)
    masters = MasterWeights(engine)
    if latest is not None:
        load_checkpoint(*latest, masters)
    return Built(model, engine, masters)


def choose_trained(model: Any, recipe: TrainRecipe) -> None:
    """Freeze and unfreeze the weights of a model, or add adapters, as a recipe says."""
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
    """Give a recipe's settings of adapters as PEFT takes them."""
    settings: dict[str, Any] = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    return settings if lora.targets is None else {**settings, "target_modules": list(lora.targets)}


def _load(recipe: TrainRecipe, prepared: Prepared) -> Any:
    settings = model_settings(recipe.model)
    language: Any = recipe.model.language
    vision: Any = recipe.model.vision
    if recipe.deepspeed.stage == 3:
        language, vision = _load_in_pieces(recipe, prepared)
        # models do not say how bytes become their images; folders do, and were read before
        names = ("image_size", "image_scale", "image_mean", "image_std")
        settings.update({name: getattr(prepared.model, name) for name in names})
    return VisualChatModel.from_parts(language, vision, dtype=DTYPES[recipe.precision], seed=recipe.seed, **settings)


def _load_in_pieces(recipe: TrainRecipe, prepared: Prepared) -> tuple[Any, Any]:
    """Load the parts so that no rank ever holds more of them than its piece: weights of stage 3."""
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    # transformers looks for this object, and loads in pieces while it is there
    told = HfDeepSpeedConfig(dict(prepared.config))  # type: ignore[no-untyped-call]
    try:
        dtype = DTYPES[recipe.precision]
        return (
            _load_part("language model", AutoModelForCausalLM, recipe.model.language, dtype),
            _load_part("vision tower", AutoModel, recipe.model.vision, dtype),
        )
    finally:
        unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
        del told


def _load_part(what: str, loader: Any, part: str, dtype: torch.dtype) -> Any:
    name = str(Path(part).resolve()) if Path(part).is_dir() else part
    model, told = load_named(
        what, name, lambda found: loader.from_pretrained(found, dtype=dtype, output_loading_info=True)
    )
    missing = sorted(told["missing_keys"])
    if missing:
        raise ModelError(f"the {what} {part} lacks {len(missing)} weights, such as {missing[0]}", "load it anew")
    return model


def _move_unpartitioned(model: Any, device: torch.device) -> None:
    """Move what loading in pieces has left on the CPU: new weights, and buffers."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if not hasattr(tensor, "ds_id"):
            tensor.data = tensor.data.to(device)


def _shape(parameter: Any) -> tuple[int, ...]:
    return tuple(getattr(parameter, "ds_shape", parameter.shape))
