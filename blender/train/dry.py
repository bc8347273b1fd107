"""What a run would need, worked out from configurations alone: batch arithmetic, weights, memory of each GPU.

Parts are built on PyTorch's meta device, which has shapes and no numbers, so counts are exact. The recipe may name the
parts' configurations itself (``model.shapes``); then nothing else is read, and no network is needed.

The estimate of activations follows what is kept: with gradient checkpointing the input of every decoder layer, and what
one layer works with while it is gone through again. ``docs/training.md`` says what they were held against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from blender.errors import TrainError
from blender.model import VisualChatConfig, VisualChatModel, trainable_parameters
from blender.train.arithmetic import BatchPlan, plan_batch
from blender.train.building import choose_trained
from blender.train.engine import choose_accelerator
from blender.train.prepare import model_config, model_settings
from blender.train.recipe import TrainRecipe

#: bytes of DeepSpeed's buckets for reducing and gathering, in elements: two of each
_BUCKET = 500_000_000
#: bytes that CUDA, its libraries and the allocator's spare pieces take
_CONTEXT = 1_500_000_000


@dataclass(frozen=True)
class DryRun:
    """What a run would need."""

    name: str
    plan: BatchPlan
    #: positions of a row at most, and of an image
    positions: int
    image_positions: int
    #: numbers of weights by part, and of trained ones by group
    weights: Mapping[str, int]
    trained: Mapping[str, int]
    #: bytes of each GPU by part, with a word on what it is
    memory: Mapping[str, tuple[int, str]]
    #: bytes of the host for what is offloaded, per process
    host: int
    warnings: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of each GPU."""
        return sum(size for size, _ in self.memory.values())


def dry_run(recipe: TrainRecipe, gpus: int) -> DryRun:
    """Work out what a run would need.

    Args:
        recipe: The recipe.
        gpus: Number of GPUs.

    Raises:
        BlenderError: The batch cannot be divided, or the parts' configurations cannot be had.
    """
    choose_accelerator()
    plan = plan_batch(recipe.batch.global_, recipe.batch.micro, gpus)
    config = shaped_config(recipe)
    with torch.device("meta"):
        model: Any = VisualChatModel(config)
        choose_trained(model, recipe)
    parts = {
        name: sum(p.numel() for p in getattr(model, name).parameters()) for name in ("language", "vision", "projector")
    }
    if model.cross is not None:
        parts["cross"] = sum(p.numel() for p in model.cross.parameters())
    groups = {name: sum(w.numel() for _, w in members) for name, members in trainable_parameters(model).items()}
    memory, host = _memory(recipe, plan, config, sum(parts.values()), sum(groups.values()))
    return DryRun(
        recipe.name, plan, recipe.data.max_tokens, model.image_positions, parts, groups, memory, host,
        tuple(_warnings(recipe, plan)),
    )  # fmt: skip


def shaped_config(recipe: TrainRecipe) -> VisualChatConfig:
    """Give the joined model's configuration, from the recipe's shapes where it has them.

    Raises:
        ModelError: The parts' own configurations cannot be read.
        TrainError: The shapes are of no model that is known.
    """
    shapes = recipe.model.shapes
    if shapes.language is None or shapes.vision is None:
        return model_config(recipe.model)
    from transformers import AutoConfig

    made = {}
    for part, shape in (("language", shapes.language), ("vision", shapes.vision)):
        kind = shape.get("model_type")
        try:
            made[part] = AutoConfig.for_model(**shape)
        except (TypeError, ValueError, KeyError) as error:
            raise TrainError(
                f"model.shapes.{part} is of no model that is known: model_type is {kind}",
                "copy model_type and sizes from the part's config.json",
            ) from error
    settings = {key: value for key, value in model_settings(recipe.model).items() if value is not None}
    return VisualChatConfig(text_config=made["language"], vision_config=made["vision"], **settings)


def _memory(
    recipe: TrainRecipe, plan: BatchPlan, config: Any, num_weights: int, num_trained: int
) -> tuple[dict[str, tuple[int, str]], int]:
    """Estimate bytes of each GPU by part, and of the host."""
    wide = 4 if recipe.precision == "fp32" else 2
    stage, offload, world = recipe.deepspeed.stage, recipe.deepspeed.offload, plan.world
    shared = {name: world if stage >= least else 1 for name, least in (("state", 1), ("gradients", 2), ("weights", 3))}
    weights = num_weights * wide // shared["weights"]
    gradients = num_trained * 4 // shared["gradients"] + (num_trained * wide if stage < 2 and wide == 2 else 0)
    state = num_trained * (8 if wide == 4 else 12) // shared["state"]
    host = 0
    if offload != "none":
        host, state = state + gradients, 0
        gradients = 0 if stage == 3 else gradients
    if offload == "all":
        host, weights = host + weights, 0
    bucket = min(_BUCKET, num_trained) * wide * 2 if world > 1 else 0
    found = {
        "weights": (weights, _share("all weights", shared["weights"])),
        "gradients": (gradients, _share("of trained weights, in fp32", shared["gradients"])),
        "optimizer": (state, _share("fp32 weights and two means of each trained one", shared["state"])),
        "activations": (_activations(recipe, config, wide), "of the longest rows, all positions filled"),
        "logits": (_logits(recipe, config, wide), "of trained positions, a quarter of all, with their gradient"),
        "images": (_images(recipe, config, wide), "the vision tower's layer in use, eight images a row"),
        "buffers": (bucket, "DeepSpeed's buckets, at most"),
        "CUDA": (_CONTEXT, "its libraries, and gaps of the allocator"),
    }
    if stage == 3:
        layer = (num_weights // max(1, config.text_config.num_hidden_layers)) * wide
        embedding = config.text_config.vocab_size * config.text_config.hidden_size * wide
        found["gathered"] = (2 * max(layer, embedding), "whole layers, while they are worked with")
    return found, host


def _share(what: str, world: int) -> str:
    return f"{what}, 1/{world} of them" if world > 1 else what


def _activations(recipe: TrainRecipe, config: Any, wide: int) -> int:
    """Estimate what the decoder keeps for the backward pass."""
    text = config.text_config
    positions = recipe.batch.micro * recipe.data.max_tokens
    width = text.hidden_size
    heads, kv = text.num_attention_heads, getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    inner = getattr(text, "intermediate_size", None) or 4 * width
    # of a layer: norms and sums (6 widths), queries and output (2), keys and values, and three of the inner width
    layer = positions * wide * (8 * width + 2 * width * kv // heads + 3 * inner)
    if recipe.gradient_checkpointing:
        return int(positions * width * wide * text.num_hidden_layers + 2 * layer)
    return int(layer * text.num_hidden_layers)


def _logits(recipe: TrainRecipe, config: Any, wide: int) -> int:
    trained = recipe.batch.micro * recipe.data.max_tokens // 4
    return int(trained * config.text_config.vocab_size * 2 * wide)


def _images(recipe: TrainRecipe, config: Any, wide: int) -> int:
    vision = config.vision_config
    images = recipe.batch.micro * min(8, recipe.data.max_tokens // max(1, config.image_positions))
    patches = (config.image_size // getattr(vision, "patch_size", 14)) ** 2
    inner = getattr(vision, "intermediate_size", None) or 4 * vision.hidden_size
    keeps = vision.num_hidden_layers if recipe.train.vision != "frozen" else 1
    # all hidden states of a frozen tower are held until the wanted one is taken
    states = vision.num_hidden_layers + 1
    return int(images * patches * wide * (vision.hidden_size * states + keeps * (6 * vision.hidden_size + 2 * inner)))


def _warnings(recipe: TrainRecipe, plan: BatchPlan) -> list[str]:
    found = []
    if recipe.deepspeed.stage > 0 and plan.world == 1 and recipe.deepspeed.offload == "none":
        found.append("on one GPU nothing is divided: a ZeRO stage helps with deepspeed.offload only")
    return found
