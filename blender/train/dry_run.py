"""What a run would need, computed from configurations alone: batches, weights, memory, and whether it fits.

The model is built on PyTorch's meta device, which has shapes without data, so the counts are exact. The recipe may
contain the parts' configurations (``model.shapes``); then nothing else is read, and no network is needed. The memory of
each GPU is estimated (:mod:`blender.train.memory_estimate`) for the recipe's ZeRO stage and for every other one, so
that a run that does not fit is reported with the first stage at which it would.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from blender.core.errors import TrainError
from blender.model import VisualChatConfig, VisualChatModel, trainable_parameters
from blender.train.batch_plan import BatchPlan, plan_batch
from blender.train.build import choose_trained
from blender.train.engine import choose_accelerator
from blender.train.inputs import model_config, model_settings
from blender.train.memory_estimate import estimate
from blender.train.recipe import Offload, Stage, TrainRecipe

#: default bytes of a GPU
GPU_MEMORY = 80_000_000_000
#: ZeRO stages and offloads, from the fastest to the one that needs least memory
_SETTINGS: tuple[tuple[Stage, Offload], ...] = (
    (0, "none"), (1, "none"), (2, "none"), (3, "none"), (2, "optimizer"), (3, "optimizer"), (3, "all"),
)  # fmt: skip


@dataclass(frozen=True)
class ZeroSetting:
    """A ZeRO stage with an offload, and the memory it needs."""

    stage: Stage
    offload: Offload
    #: bytes of each GPU
    total: int
    #: bytes of the host, for each GPU
    host: int
    fits: bool

    def __str__(self) -> str:
        offloaded = "" if self.offload == "none" else f", deepspeed.offload={self.offload}"
        return f"deepspeed.stage={self.stage}{offloaded}"


@dataclass(frozen=True)
class MemoryVerdict:
    """Whether a run fits, and with which ZeRO stage and offload it would."""

    #: bytes of each GPU
    gpu_memory: int
    #: whether the recipe fits unchanged
    fits: bool
    #: all settings, from the fastest to the one that needs least memory; the recipe's own is among them
    settings: tuple[ZeroSetting, ...]

    @property
    def remedy(self) -> ZeroSetting | None:
        """The fastest setting that fits; None where none does."""
        return next((setting for setting in self.settings if setting.fits), None)


@dataclass(frozen=True)
class DryRun:
    """What a run would need."""

    name: str
    plan: BatchPlan
    #: positions of a row, at most
    positions: int
    #: positions of an image
    image_positions: int
    #: number of weights by part
    weights: Mapping[str, int]
    #: number of trained weights by group
    trained: Mapping[str, int]
    #: bytes of each GPU by part, with a description
    memory: Mapping[str, tuple[int, str]]
    #: bytes of the host for offloaded weights and states, for each GPU
    host: int
    verdict: MemoryVerdict
    warnings: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of each GPU."""
        return sum(size for size, _ in self.memory.values())


def dry_run(recipe: TrainRecipe, gpus: int, gpu_memory: int = GPU_MEMORY) -> DryRun:
    """Compute what a run would need.

    Args:
        recipe: The recipe.
        gpus: Number of GPUs.
        gpu_memory: Bytes of each.

    Raises:
        BlenderError: The batch cannot be divided, or the parts' configurations cannot be read.
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
    verdict = MemoryVerdict(gpu_memory, total <= gpu_memory, _settings(recipe, plan, config, numbers, gpu_memory))
    return DryRun(
        recipe.name, plan, recipe.data.max_tokens, model.image_positions, parts, groups, memory, host, verdict,
        tuple(_warnings(recipe, plan)),
    )  # fmt: skip


def _settings(
    recipe: TrainRecipe, plan: BatchPlan, config: Any, numbers: tuple[int, int], gpu_memory: int
) -> tuple[ZeroSetting, ...]:
    """Estimate every ZeRO stage and offload that the recipe could use."""
    settings = []
    for stage, offload in _SETTINGS:
        # rules.py refuses these
        if (stage == 0 and recipe.precision != "fp32") or (stage == 3 and recipe.vision_cache is not None):
            continue
        deepspeed = recipe.deepspeed.model_copy(update={"stage": stage, "offload": offload})
        memory, host = estimate(recipe.model_copy(update={"deepspeed": deepspeed}), plan, config, *numbers)
        total = sum(size for size, _ in memory.values())
        settings.append(ZeroSetting(stage, offload, total, host, total <= gpu_memory))
    return tuple(settings)


def shaped_config(recipe: TrainRecipe) -> VisualChatConfig:
    """Return the joined model's configuration, from the recipe's shapes if it has them.

    Raises:
        ModelError: The parts' own configurations cannot be read.
        TrainError: The shapes are of an unknown type of model.
    """
    shapes = recipe.model.shapes
    if shapes.language is None or shapes.vision is None:
        return model_config(recipe.model)
    from transformers import AutoConfig

    parts = {}
    for part, shape in (("language", shapes.language), ("vision", shapes.vision)):
        try:
            parts[part] = AutoConfig.for_model(**shape)
        except (TypeError, ValueError, KeyError) as error:
            raise TrainError(
                f"model.shapes.{part} is of no model that is known: model_type is {shape.get('model_type')}",
                "copy model_type and sizes from the part's config.json",
            ) from error
    settings = {key: value for key, value in model_settings(recipe.model).items() if value is not None}
    return VisualChatConfig(text_config=parts["language"], vision_config=parts["vision"], **settings)


def _warnings(recipe: TrainRecipe, plan: BatchPlan) -> list[str]:
    warnings = []
    if recipe.deepspeed.stage > 0 and plan.world == 1 and recipe.deepspeed.offload == "none":
        warnings.append("on one GPU nothing is divided: a ZeRO stage helps with deepspeed.offload only")
    return warnings
