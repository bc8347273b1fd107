"""What a run would need, worked out from configurations alone: batch arithmetic, weights, memory, and whether it fits.

Parts are built on PyTorch's meta device, which has shapes and no numbers, so counts are exact. The recipe may name the
parts' configurations itself (``model.shapes``); then nothing else is read, and no network is needed. The memory of each
GPU is estimated (:mod:`blender.train.estimate`) for the recipe's ZeRO stage and for every other, so that a run that
does not fit comes with the stage at which it would.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from blender.core.errors import TrainError
from blender.model import VisualChatConfig, VisualChatModel, trainable_parameters
from blender.train.arithmetic import BatchPlan, plan_batch
from blender.train.building import choose_trained
from blender.train.engine import choose_accelerator
from blender.train.estimate import estimate
from blender.train.prepare import model_config, model_settings
from blender.train.recipe import Offload, Stage, TrainRecipe

#: bytes of a GPU, unless another one is named
GPU_MEMORY = 80_000_000_000
#: ZeRO stages and what is offloaded, from the fastest to the smallest
_SETTINGS: tuple[tuple[Stage, Offload], ...] = (
    (0, "none"), (1, "none"), (2, "none"), (3, "none"), (2, "optimizer"), (3, "optimizer"), (3, "all"),
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A ZeRO stage, what is offloaded, and what that needs."""

    stage: Stage
    offload: Offload
    #: bytes of each GPU, and of the host for each of them
    total: int
    host: int
    fits: bool

    def __str__(self) -> str:
        offloaded = "" if self.offload == "none" else f", deepspeed.offload={self.offload}"
        return f"deepspeed.stage={self.stage}{offloaded}"


@dataclass(frozen=True)
class Verdict:
    """Whether a run fits, and what would help."""

    #: bytes of each GPU
    gpu_memory: int
    #: whether the recipe fits as it is
    fits: bool
    #: what else there is, from the fastest to the smallest; the recipe's own among them
    settings: tuple[Setting, ...]

    @property
    def remedy(self) -> Setting | None:
        """The fastest setting that fits; None where none does."""
        return next((setting for setting in self.settings if setting.fits), None)


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
    verdict: Verdict
    warnings: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of each GPU."""
        return sum(size for size, _ in self.memory.values())


def dry_run(recipe: TrainRecipe, gpus: int, gpu_memory: int = GPU_MEMORY) -> DryRun:
    """Work out what a run would need.

    Args:
        recipe: The recipe.
        gpus: Number of GPUs.
        gpu_memory: Bytes of each.

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
    numbers = sum(parts.values()), sum(groups.values())
    memory, host = estimate(recipe, plan, config, *numbers)
    total = sum(size for size, _ in memory.values())
    verdict = Verdict(gpu_memory, total <= gpu_memory, _settings(recipe, plan, config, numbers, gpu_memory))
    return DryRun(
        recipe.name, plan, recipe.data.max_tokens, model.image_positions, parts, groups, memory, host, verdict,
        tuple(_warnings(recipe, plan)),
    )  # fmt: skip


def _settings(
    recipe: TrainRecipe, plan: BatchPlan, config: Any, numbers: tuple[int, int], gpu_memory: int
) -> tuple[Setting, ...]:
    """Estimate every ZeRO stage that the recipe could name."""
    found = []
    for stage, offload in _SETTINGS:
        # stage 0 works in fp32 alone, and features are not kept at stage 3: rules.py
        if (stage == 0 and recipe.precision != "fp32") or (stage == 3 and recipe.vision_cache is not None):
            continue
        deepspeed = recipe.deepspeed.model_copy(update={"stage": stage, "offload": offload})
        memory, host = estimate(recipe.model_copy(update={"deepspeed": deepspeed}), plan, config, *numbers)
        total = sum(size for size, _ in memory.values())
        found.append(Setting(stage, offload, total, host, total <= gpu_memory))
    return tuple(found)


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


def _warnings(recipe: TrainRecipe, plan: BatchPlan) -> list[str]:
    found = []
    if recipe.deepspeed.stage > 0 and plan.world == 1 and recipe.deepspeed.offload == "none":
        found.append("on one GPU nothing is divided: a ZeRO stage helps with deepspeed.offload only")
    return found
