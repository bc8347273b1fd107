"""FLOP of a training step, for the model FLOPs utilisation (MFU).

Counted are the multiplications and additions that the result needs, as in PaLM (arXiv 2204.02311, appendix B):
recomputation for gradient checkpointing does not count. A token costs 6 FLOP for each trained weight and 4 for each
frozen one, which has no gradient of its own.
"""

from dataclasses import dataclass
from typing import Any

import torch

from blender.encoding.patches import num_patches
from blender.stream.collate import Batch
from blender.train.deepspeed_internals import full_shape, full_size


@dataclass(frozen=True)
class ModelFlops:
    """FLOP of a model, forward and backward together, per unit of its input."""

    #: per position that passes the decoder layers
    per_position: float
    #: per trained token, in the output head
    per_trained: float
    #: per image, in vision encoder and projector
    per_image: float
    #: per pair of a query and a key that it attends to, over all layers
    per_pair: float
    #: whether image positions attend to nothing
    is_mmca: bool

    def of(self, batch: Batch, num_trained: int) -> float:
        """Return the FLOP of a batch."""
        pairs = _pairs(batch, self.is_mmca)
        return (
            self.per_position * batch.num_tokens
            + self.per_trained * num_trained
            + self.per_image * len(batch.pixels)
            + self.per_pair * pairs
        )


def _pairs(batch: Batch, is_mmca: bool) -> float:
    """Count pairs of queries and keys: on average, a query attends to half of its sample."""
    num_segments = int(batch.segment_ids.max()) + 1
    rows = torch.arange(len(batch.segment_ids))[:, None] * num_segments
    samples = (batch.segment_ids + rows).flatten()
    totals = torch.bincount(samples, minlength=len(rows) * num_segments).double()
    text_queries = torch.bincount(samples, weights=(batch.image_index < 0).flatten().double(), minlength=len(totals))
    queries = text_queries if is_mmca else totals
    real = torch.arange(len(totals)) % num_segments > 0
    return float((queries * totals * real).sum()) / 2


def count_flops(model: Any) -> ModelFlops:
    """Derive the FLOP of a model from the shapes of its weights.

    Args:
        model: A ``VisualChatModel``, with what is not trained frozen.
    """
    config = model.config.text_config
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    apart = {id(parameter) for part in (embedding, head) for parameter in part.parameters()}
    layers = _weights(model.language, apart)
    tower = _weights(model.vision, set())
    # gradients flow back through the decoder to embedding and projector even where the decoder is frozen
    decoder = 4 * sum(layers) + 2 * layers[1]
    vision = 2 * sum(tower) + (4 * tower[1] if tower[1] else 0)
    projector = 6 * sum(_weights(model.projector, set()))
    size = full_size(head.weight)
    patches = num_patches(model.config.vision_config, model.config.image_size)
    return ModelFlops(
        per_position=decoder,
        per_trained=(6 if head.weight.requires_grad else 4) * size,
        per_image=vision * patches + projector * model.image_positions,
        # two products of width x, forward once and backward twice
        per_pair=3 * 2 * 2 * config.hidden_size * config.num_hidden_layers,
        is_mmca=model.config.attention == "mmca",
    )


def _weights(module: Any, apart: set[int]) -> tuple[int, int]:
    """Count the frozen and trained elements of matrices, without the parameters in ``apart``."""
    frozen = trained = 0
    for parameter in module.parameters():
        if len(full_shape(parameter)) < 2 or id(parameter) in apart:
            continue
        if parameter.requires_grad:
            trained += full_size(parameter)
        else:
            frozen += full_size(parameter)
    return frozen, trained
