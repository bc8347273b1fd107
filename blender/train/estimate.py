"""How much memory a run takes on each GPU, part by part, estimated from above.

Weights, gradients and optimizer follow ZeRO (arXiv 1910.02054): 16-bit weights of 2 bytes, gradients added up in fp32,
and 12 bytes of optimizer state for each trained number, divided among the GPUs from a stage on. Activations follow what
is kept: with gradient checkpointing the input of every decoder layer, and what one layer works with while it is gone
through again. ``docs/training.md`` has the table.
"""

from typing import Any

from blender.encoding.patches import num_patches
from blender.train.arithmetic import BatchPlan
from blender.train.recipe import TrainRecipe

#: bytes of DeepSpeed's buckets for reducing and gathering, in elements: two of each
_BUCKET = 500_000_000
#: bytes that CUDA, its libraries and the allocator's spare pieces take
_CONTEXT = 1_500_000_000


def estimate(
    recipe: TrainRecipe, plan: BatchPlan, config: Any, num_weights: int, num_trained: int
) -> tuple[dict[str, tuple[int, str]], int]:
    """Estimate bytes of each GPU by part, with a word on what each is, and of the host for each of them.

    Args:
        recipe: The recipe.
        plan: How its batch is cut.
        config: The joined model's configuration.
        num_weights: Numbers in all weights.
        num_trained: Numbers in the trained ones.
    """
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
    of_head = getattr(text, "head_dim", None) or width // heads
    # of a layer: norms and sums (6 widths), queries and output, keys and values, and three of the inner width
    layer = positions * wide * (6 * width + 2 * heads * of_head + 2 * kv * of_head + 3 * _inner_width(text))
    if recipe.gradient_checkpointing:
        return int(positions * width * wide * text.num_hidden_layers + 2 * layer)
    return int(layer * text.num_hidden_layers)


def _inner_width(text: Any) -> int:
    """Return the inner width that a position goes through; of a decoder of experts, that of the chosen ones."""
    inner = int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size)
    chosen = getattr(text, "num_experts_per_tok", None)
    if not chosen:
        return inner
    shared = int(getattr(text, "shared_expert_intermediate_size", None) or 0)
    return int(chosen) * int(getattr(text, "moe_intermediate_size", None) or inner) + shared


def _logits(recipe: TrainRecipe, config: Any, wide: int) -> int:
    trained = recipe.batch.micro * recipe.data.max_tokens // 4
    return int(trained * config.text_config.vocab_size * 2 * wide)


def _images(recipe: TrainRecipe, config: Any, wide: int) -> int:
    vision = config.vision_config
    images = recipe.batch.micro * min(8, recipe.data.max_tokens // max(1, config.image_positions))
    patches = num_patches(vision, config.image_size)
    inner = getattr(vision, "intermediate_size", None) or 4 * vision.hidden_size
    keeps = vision.num_hidden_layers if recipe.train.vision != "frozen" else 1
    # all hidden states of a frozen tower are held until the wanted one is taken
    states = vision.num_hidden_layers + 1
    return int(images * patches * wide * (vision.hidden_size * states + keeps * (6 * vision.hidden_size + 2 * inner)))
