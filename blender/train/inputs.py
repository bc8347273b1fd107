"""The inputs of a run but its weights, opened and checked.

Configurations, tokenizer, image settings and blends are small, so every fault of a run is reported before the weights
are loaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blender.core.errors import TrainError
from blender.model import VisualChatConfig, VisualChatProcessor, check_vocabulary, read_config
from blender.stream.collate import Collator
from blender.stream.encode import Encoder
from blender.train.batch_plan import BatchPlan, plan_batch
from blender.train.data import BlendSources, make_encoder, open_sources
from blender.train.deepspeed_config import deepspeed_config
from blender.train.metrics import check_logging
from blender.train.recipe import Model, TrainRecipe


@dataclass(frozen=True)
class RunInputs:
    """The inputs of a run but its weights, checked."""

    plan: BatchPlan
    #: DeepSpeed's configuration
    config: dict[str, Any]
    model: VisualChatConfig
    processor: VisualChatProcessor
    encoder: Encoder
    collator: Collator
    sources: BlendSources


def open_inputs(recipe: TrainRecipe, world: int) -> RunInputs:
    """Open and check all inputs of a run but its weights.

    Args:
        recipe: The recipe.
        world: Number of ranks.

    Raises:
        BlenderError: An input cannot be used, or the inputs do not fit together.
    """
    plan = plan_batch(recipe.batch.global_, recipe.batch.micro, world)
    _check_device(recipe)
    check_logging(recipe.logging)
    config = deepspeed_config(recipe, plan)
    model = model_config(recipe.model)
    check_shapes(recipe.model, model)
    _check_length(recipe, model)
    assert model.image_positions and model.image_size
    encoder, collator, tokenizer = make_encoder(recipe, model.image_positions, model.image_size)
    check_vocabulary(model, tokenizer)
    tokenizer_name = recipe.model.tokenizer or recipe.model.language
    processor = VisualChatProcessor.from_parts(tokenizer_name, recipe.model.vision, model, recipe.template)
    return RunInputs(plan, config, model, processor, encoder, collator, open_sources(recipe))


def model_config(model: Model) -> VisualChatConfig:
    """Read the configuration of the joined model, without weights.

    Raises:
        ModelError: A part cannot be found, or the parts cannot be joined.
    """
    return read_config(_name_or_path(model.language), _name_or_path(model.vision), **model_settings(model))


def model_settings(model: Model) -> dict[str, Any]:
    """Return a recipe's settings of the joined model as arguments of the model."""
    return {
        "attention": model.attention,
        "cross_every": model.cross_every,
        "projector": model.projector,
        "image_positions": model.image_positions,
        "image_size": model.image_size,
        "vision_layer": model.vision_layer,
        "keep_class_token": model.keep_class_token,
    }


def check_shapes(model: Model, config: VisualChatConfig) -> None:
    """Check that the shapes that a recipe gives for dry runs are those of its parts.

    Raises:
        TrainError: They differ; names one key.
    """
    parts = {
        "language": (model.shapes.language, config.text_config),
        "vision": (model.shapes.vision, config.vision_config),
    }
    for part, (given, actual) in parts.items():
        for key, value in (given or {}).items():
            actual_value = getattr(actual, key, None)
            if actual_value != value:
                raise TrainError(
                    f"model.shapes.{part} says {key} is {value}, and {getattr(model, part)} has {actual_value}",
                    f"correct model.shapes.{part}, or set it to null",
                )


def _name_or_path(name: str) -> str | Path:
    return Path(name) if Path(name).is_dir() else name


def _check_device(recipe: TrainRecipe) -> None:
    cuda = torch.cuda.is_available()
    if recipe.precision == "fp16" and not cuda:
        raise TrainError("fp16 needs a GPU, and there is none here", "set precision=bf16 or precision=fp32")
    if recipe.precision == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name()
        raise TrainError(f"{name} does not support bf16", "set precision=fp16")


def _check_length(recipe: TrainRecipe, config: VisualChatConfig) -> None:
    most = getattr(config.text_config, "max_position_embeddings", None)
    if isinstance(most, int) and recipe.data.max_tokens > most:
        raise TrainError(
            f"data.max_tokens is {recipe.data.max_tokens}, and the language model has {most} positions",
            f"set data.max_tokens={most}",
        )
    if config.image_positions and config.image_positions >= recipe.data.max_tokens:
        raise TrainError(
            f"an image takes {config.image_positions} positions, and data.max_tokens allows {recipe.data.max_tokens}",
            "raise data.max_tokens, or use the perceiver with fewer image_positions",
        )
