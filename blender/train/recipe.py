"""The training recipe as frozen pydantic models; defaults are here and nowhere else.

The defaults of optimizer, schedule and batch are those of the published training script (code of arXiv 2309.14327).
``docs/training.md`` is the reference for those who write recipes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from blender.recipe.fields import Count, Location, Size, as_list
from blender.recipe.load import load_kind
from blender.recipe.section import BaseRecipe, RecipeKind, Section
from blender.train.fields import Betas, Blends, Steps
from blender.train.rules import broken_rules

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
How = Literal["frozen", "lora", "full"]
Stage = Literal[0, 1, 2, 3]
Offload = Literal["none", "optimizer", "all"]


class Data(Section):
    """The blends, and how their samples become rows."""

    blends: Blends = Field(
        description="The folder or URL of one blend, or several by name: each a folder, a URL, or {blend: …} or "
        "{members: …} with at most one of weight, repeat and samples."
    )
    max_tokens: Count = Field(default=4096, description="Positions of a sample (and a packed row), images counted.")
    pack: bool = Field(default=False, description="Put several samples into a row of max_tokens positions.")
    pack_window: Count = Field(default=256, description="Samples that may share rows with each other.")
    workers: Annotated[int, Field(ge=0, le=1024)] = Field(default=4, description="Loader processes of each rank.")
    max_damaged: Count = Field(default=16, description="More damaged samples in a row than this stop the run.")
    draft: bool = Field(default=False, description="Decode JPEGs at reduced size: faster, less exact.")


class Shapes(Section):
    """The parts' configurations, as their config.json says them, for dry runs without the parts."""

    language: Mapping[str, Any] | None = Field(default=None, description="Configuration of the language model.")
    vision: Mapping[str, Any] | None = Field(default=None, description="Configuration of the vision tower.")


def _no_shapes(value: Any) -> Any:
    return {} if value is None else value


#: configurations of parts, or null
_Shapes = Annotated[Shapes, BeforeValidator(_no_shapes, json_schema_input_type=Shapes | None)]


class Model(Section):
    """The parts, and how they are joined."""

    language: Location = Field(description="Name or folder of the language model.")
    vision: Location = Field(description="Name or folder of the vision tower.")
    tokenizer: Location | None = Field(
        default=None, description="Name or folder of the tokenizer; that of the language model by default."
    )
    attention: Literal["mmca", "causal", "cross"] = Field(default="mmca", description="How text attends to images.")
    cross_every: Count = Field(default=4, description="With cross: a cross-attention layer before every n-th layer.")
    projector: Literal["linear", "vit", "perceiver"] = Field(
        default="linear", description="Maps image features to the language model's width."
    )
    image_positions: Count | None = Field(
        default=None, description="Positions of an image: queries of the perceiver; else one per patch."
    )
    image_size: Count | None = Field(
        default=None,
        description="Edge of an image in pixels; the tower's position embedding is interpolated to it.",
    )
    vision_layer: int = Field(default=-2, description="Layer of the tower whose output is used; -1 is the last.")
    keep_class_token: bool = Field(default=False, description="Whether the tower's class token is a feature, too.")
    shapes: _Shapes = Field(
        default_factory=Shapes, description="Configurations of the parts, for dry runs; null for none."
    )


class Lora(Section):
    """Low-rank adapters, by PEFT."""

    rank: Count = Field(default=16, description="Rank of the adapters.")
    alpha: Positive = Field(default=32.0, description="Their output is scaled by alpha over rank.")
    dropout: Fraction = Field(default=0.0, description="Dropout of their inputs while training.")
    targets: Annotated[tuple[str, ...], BeforeValidator(as_list)] | None = Field(
        default=None, description="Names of the layers that get one; all linear layers by default."
    )


class Trained(Section):
    """Which weights are trained."""

    projector: bool = Field(default=True, description="Train the projector.")
    embedding: bool = Field(default=True, description="Train the language model's input embedding.")
    language: How = Field(default="frozen", description="The rest of the language model: frozen, lora or full.")
    vision: How = Field(default="frozen", description="The vision tower: frozen, lora or full.")
    lora: Lora = Field(default_factory=Lora, description="The adapters, where language or vision is lora.")


class Optimizer(Section):
    """AdamW."""

    lr: Positive = Field(default=1e-3, description="Highest learning rate.")
    lr_projector: Positive | None = Field(default=None, description="That of the projector, if another.")
    lr_embedding: Positive | None = Field(default=None, description="That of the embedding, if another.")
    lr_vision: Positive | None = Field(default=None, description="That of the vision tower, if another.")
    betas: Betas = Field(
        default=(0.9, 0.95), description="Decay of the running means of gradients and of their squares."
    )
    eps: Positive = Field(default=1e-8, description="Added to the root of the second mean.")
    weight_decay: NotNegative = Field(default=0.0, description="Of weights; never of norms, biases and embeddings.")
    clip: NotNegative = Field(default=1.0, description="Largest norm of the gradient; 0 is no limit.")


class Schedule(Section):
    """Number of steps, and the learning rate over them."""

    kind: Literal["cosine", "linear", "constant"] = Field(default="cosine", description="What follows the warm-up.")
    warmup: Steps = Field(default="10%", description='Steps of the warm-up: a number, or a share such as "10%".')
    floor: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="Share of the rate at the end.")
    epochs: Positive | None = Field(default=None, description="Passes over the data; this or steps.")
    steps: Count | None = Field(default=None, description="Optimizer steps; this or epochs.")


class BatchSize(Section):
    """Rows of a step."""

    global_: Count = Field(default=128, alias="global", description="Rows of a step, over all ranks.")
    micro: Count = Field(default=1, description="Rows that go through the model at once on one rank.")


class DeepSpeed(Section):
    """DeepSpeed's settings."""

    stage: Stage = Field(
        default=2, description="ZeRO: 1 divides optimizer state, 2 gradients, 3 weights among the ranks."
    )
    offload: Offload = Field(
        default="none", description="What is kept in the host's memory: optimizer state, or (stage 3) weights as well."
    )
    config: Location | None = Field(
        default=None, description="A DeepSpeed JSON that is merged in; what the recipe decides may not be in it."
    )


class Evaluation(Section):
    """Loss on the blends' eval splits, before, during and at the end."""

    every: Count | None = Field(default=None, description="Steps between evaluations; none during training if null.")
    samples: Count | None = Field(default=None, description="At most so many rows; all by default.")
    micro: Count | None = Field(default=None, description="Rows at once on one rank; those of training by default.")


class Wandb(Section):
    """Weights & Biases."""

    project: str = Field(description="Its project.")
    entity: str | None = Field(default=None, description="Whose project.")
    run: str | None = Field(default=None, description="Name of the run; that of the recipe by default.")


class Logging(Section):
    """Where figures are written while training."""

    every: Count = Field(default=10, description="Steps between lines of metrics.jsonl.")
    tensorboard: bool = Field(default=True, description="Write for TensorBoard as well.")
    wandb: Wandb | None = Field(default=None, description="Send to Weights & Biases as well.")


class Checkpoints(Section):
    """When checkpoints are saved, and which are kept."""

    every: Count | None = Field(default=500, description="Steps between checkpoints; only at the end if null.")
    keep: Count = Field(default=2, description="How many of the latest are kept.")
    best: bool = Field(default=True, description="Keep the one with the lowest eval loss as well.")


class TrainRecipe(BaseRecipe):
    """A training recipe."""

    template: str = Field(
        default="deepspeed-visualchat",
        description="Template of the blends, or chat: the tokenizer's chat template.",
    )
    data: Data = Field(description="The blends, and how their samples become rows.")
    model: Model = Field(description="The parts, and how they are joined.")
    train: Trained = Field(default_factory=Trained, description="Which weights are trained.")
    optimizer: Optimizer = Field(default_factory=Optimizer, description="AdamW.")
    schedule: Schedule = Field(description="Number of steps, and the learning rate over them.")
    batch: BatchSize = Field(default_factory=BatchSize, description="Rows of a step.")
    precision: Literal["bf16", "fp16", "fp32"] = Field(
        default="bf16", description="Of weights and activations; the optimizer works in fp32."
    )
    gradient_checkpointing: bool = Field(
        default=True, description="Recompute activations instead of keeping them: less memory, more time."
    )
    threads: Count | None = Field(
        default=None, description="CPU threads of each rank; PyTorch's own number by default. Tiny models want 1."
    )
    vision_cache: Size | None = Field(
        default=None, description="Memory of each rank for features of images that come again, such as 2GB."
    )
    deepspeed: DeepSpeed = Field(default_factory=DeepSpeed, description="DeepSpeed's settings.")
    evaluation: Evaluation | None = Field(
        default_factory=Evaluation, description="Loss on the eval splits; null for none."
    )
    logging: Logging = Field(default_factory=Logging, description="Where figures are written.")
    checkpoints: Checkpoints = Field(
        default_factory=Checkpoints, description="When they are saved, and which are kept."
    )

    def resolved(self) -> dict[str, Any]:
        """Return the recipe as plain data, with variables replaced and defaults filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude={"variables"})

    def identity(self) -> dict[str, Any]:
        """Return the identity fields: the keys that decide what is learnt.

        A run resumes from checkpoints of a recipe with the same identity. Paths of blends and parts are not part of
        it, as folders move: the stream state tells whether the blends are the same, names and shapes of the weights
        whether the model is.
        """
        content = self.resolved()
        keys = ("seed", "template", "train", "optimizer", "schedule", "precision")
        kept = {key: content[key] for key in keys}
        kept["data"] = {key: content["data"][key] for key in ("max_tokens", "pack", "pack_window", "draft")}
        kept["batch"] = {"global": content["batch"]["global"]}
        paths = ("language", "vision", "tokenizer", "shapes")
        kept["model"] = {key: value for key, value in content["model"].items() if key not in paths}
        return kept

    def hash(self) -> str:
        """Return a hash of the identity fields."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


#: recipes of training runs
TRAIN: RecipeKind[TrainRecipe] = RecipeKind("train", TrainRecipe, broken_rules)


def load_train_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> TrainRecipe:
    """Load a training recipe.

    Args:
        name_or_path: Name of a shipped recipe (``train-7b``), or a path.
        overrides: Changes such as ``blend=/mnt/blend`` or ``batch.micro=2``.

    Raises:
        RecipeError: The recipe cannot be used; lists all faults, each with its line.
    """
    return load_kind(TRAIN, name_or_path, overrides)
