"""Everything that can be wrong with a run, looked for before any weight is loaded.

Configurations, tokenizer, image settings and blends are small and are opened first; weights are large and come last.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blender.core.errors import TrainError
from blender.model import VisualChatConfig, VisualChatProcessor, check_vocabulary, read_config
from blender.stream.collate import Collator
from blender.stream.encode import Encoder
from blender.train.arithmetic import BatchPlan, plan_batch
from blender.train.data import Sources, make_encoder, open_sources
from blender.train.deepspeed_config import deepspeed_config
from blender.train.metrics import check_logging
from blender.train.recipe import Model, TrainRecipe


@dataclass(frozen=True)
class Prepared:
    """A run whose inputs are in order."""

    plan: BatchPlan
    #: DeepSpeed's
    config: dict[str, Any]
    model: VisualChatConfig
    processor: VisualChatProcessor
    encoder: Encoder
    collator: Collator
    sources: Sources


def prepare(recipe: TrainRecipe, world: int) -> Prepared:
    """Open all inputs of a run but the weights.

    Args:
        recipe: The recipe.
        world: Number of ranks.

    Raises:
        BlenderError: Something is wrong; one sentence says what.
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
    tokenizer_place = recipe.model.tokenizer or recipe.model.language
    processor = VisualChatProcessor.from_parts(tokenizer_place, recipe.model.vision, model, recipe.template)
    return Prepared(plan, config, model, processor, encoder, collator, open_sources(recipe))


def model_config(model: Model) -> VisualChatConfig:
    """Read the configuration that the joined model will have; no weights.

    Raises:
        ModelError: A part cannot be found, or the parts cannot be joined.
    """
    return read_config(_place(model.language), _place(model.vision), **model_settings(model))


def model_settings(model: Model) -> dict[str, Any]:
    """Give a recipe's settings of the joined model as the model takes them."""
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
    """Look whether the shapes that a recipe names for dry runs are those of its parts.

    Raises:
        TrainError: They are not.
    """
    parts = {
        "language": (model.shapes.language, config.text_config),
        "vision": (model.shapes.vision, config.vision_config),
    }
    for part, (said, real) in parts.items():
        for key, value in (said or {}).items():
            found = getattr(real, key, None)
            if found != value:
                raise TrainError(
                    f"model.shapes.{part} says {key} is {value}, and {getattr(model, part)} has {found}",
                    f"correct model.shapes.{part}, or set it to null",
                )


def _place(name: str) -> str | Path:
    return Path(name) if Path(name).is_dir() else name


def _check_device(recipe: TrainRecipe) -> None:
    cuda = torch.cuda.is_available()
    if recipe.precision == "fp16" and not cuda:
        raise TrainError("fp16 needs a GPU, and there is none here", "set precision=bf16 or precision=fp32")
    if recipe.precision == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        name = torch.cuda.get_device_name()
        raise TrainError(f"bf16 is not what {name} can work in", "set precision=fp16")


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
