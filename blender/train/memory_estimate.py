"""The memory that a run takes on each GPU by part, estimated from above.

Weights, gradients and optimizer follow ZeRO (arXiv 1910.02054): 16-bit weights of 2 bytes, gradients added up in fp32,
and 12 bytes of optimizer state for each trained weight, each divided among the GPUs from some stage on. Activations
are those kept for the backward pass: with gradient checkpointing the input of every decoder layer, and all of a layer
while it is recomputed. ``docs/training.md`` has the table.
"""

from typing import Any

from blender.encoding.patches import num_patches
from blender.train.batch_plan import BatchPlan
from blender.train.recipe import TrainRecipe

#: elements of each of DeepSpeed's two buckets, for reducing and for gathering
_BUCKET = 500_000_000
#: bytes of CUDA, its libraries and the allocator's unused blocks
_CONTEXT = 1_500_000_000


def estimate(
    recipe: TrainRecipe, plan: BatchPlan, config: Any, num_weights: int, num_trained: int
) -> tuple[dict[str, tuple[int, str]], int]:
    """Estimate the bytes of each GPU by part with a description, and of the host for each GPU.

    Args:
        recipe: The recipe.
        plan: Its global batch, divided.
        config: The joined model's configuration.
        num_weights: Number of all weights.
        num_trained: Number of trained weights.
    """
    num_bytes = 4 if recipe.precision == "fp32" else 2
    stage, offload, world = recipe.deepspeed.stage, recipe.deepspeed.offload, plan.world
    shared = {name: world if stage >= least else 1 for name, least in (("state", 1), ("gradients", 2), ("weights", 3))}
    weights = num_weights * num_bytes // shared["weights"]
    gradients = num_trained * 4 // shared["gradients"] + (
        num_trained * num_bytes if stage < 2 and num_bytes == 2 else 0
    )
    state = num_trained * (8 if num_bytes == 4 else 12) // shared["state"]
    host = 0
    if offload != "none":
        host, state = state + gradients, 0
        gradients = 0 if stage == 3 else gradients
    if offload == "all":
        host, weights = host + weights, 0
    bucket = min(_BUCKET, num_trained) * num_bytes * 2 if world > 1 else 0
    memory = {
        "weights": (weights, _share("all weights", shared["weights"])),
        "gradients": (gradients, _share("of trained weights, in fp32", shared["gradients"])),
        "optimizer": (state, _share("fp32 weights and two means of each trained one", shared["state"])),
        "activations": (_activations(recipe, config, num_bytes), "of the longest rows, all positions filled"),
        "logits": (_logits(recipe, config, num_bytes), "of trained positions, a quarter of all, with their gradient"),
        "images": (_images(recipe, config, num_bytes), "the vision tower's layer in use, eight images a row"),
        "buffers": (bucket, "DeepSpeed's buckets, at most"),
        "CUDA": (_CONTEXT, "its libraries, and gaps of the allocator"),
    }
    if stage == 3:
        layer = (num_weights // max(1, config.text_config.num_hidden_layers)) * num_bytes
        embedding = config.text_config.vocab_size * config.text_config.hidden_size * num_bytes
        memory["gathered"] = (2 * max(layer, embedding), "whole layers, while they are computed")
    return memory, host


def _share(what: str, world: int) -> str:
    return f"{what}, 1/{world} of them" if world > 1 else what


def _activations(recipe: TrainRecipe, config: Any, num_bytes: int) -> int:
    """Estimate what the decoder keeps for the backward pass, in bytes."""
    text = config.text_config
    positions = recipe.batch.micro * recipe.data.max_tokens
    width = text.hidden_size
    heads, kv = text.num_attention_heads, getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head_dim = getattr(text, "head_dim", None) or width // heads
    # of a layer: norms and sums (6 widths), queries and output, keys and values, and three of the inner width
    layer = positions * num_bytes * (6 * width + 2 * heads * head_dim + 2 * kv * head_dim + 3 * _inner_width(text))
    if recipe.gradient_checkpointing:
        return int(positions * width * num_bytes * text.num_hidden_layers + 2 * layer)
    return int(layer * text.num_hidden_layers)


def _inner_width(text: Any) -> int:
    """Return the inner width of the MLP; with a mixture of experts, that of the experts chosen for a position."""
    inner = int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)
    chosen = getattr(text, "num_experts_per_tok", None)
    if not chosen:
        return inner
    shared = int(getattr(text, "shared_expert_intermediate_size", None) or 0)
    return int(chosen) * int(getattr(text, "moe_intermediate_size", None) or inner) + shared


def _logits(recipe: TrainRecipe, config: Any, num_bytes: int) -> int:
    trained = recipe.batch.micro * recipe.data.max_tokens // 4
    return int(trained * config.text_config.vocab_size * 2 * num_bytes)


def _images(recipe: TrainRecipe, config: Any, num_bytes: int) -> int:
    vision = config.vision_config
    images = recipe.batch.micro * min(8, recipe.data.max_tokens // max(1, config.image_positions))
    patches = num_patches(vision, config.image_size)
    inner = getattr(vision, "intermediate_size", None) or 4 * vision.hidden_size
    keeps = vision.num_hidden_layers if recipe.train.vision != "frozen" else 1
    # a frozen tower keeps all hidden states until one of them is selected
    states = vision.num_hidden_layers + 1
    return int(
        images * patches * num_bytes * (vision.hidden_size * states + keeps * (6 * vision.hidden_size + 2 * inner))
    )
