"""How much arithmetic a step needs at least, and how much a device could do: for the model FLOPs utilisation.

Counted are the multiplications and additions that the result needs, as PaLM (arXiv 2204.02311, appendix B) does it:
activations that are worked out again for gradient checkpointing do not count, and frozen weights need no gradient of
their own, so that a token costs 4 instead of 6 for each of them.
"""

from dataclasses import dataclass
from typing import Any

import torch

from blender.encoding.patches import num_patches
from blender.stream.collate import Batch

#: peak of dense 16-bit arithmetic by a part of the device's name, in FLOP/s, as its maker says; the first that fits
_PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A10": 125e12,
    "V100": 125e12,
    "T4": 65e12,
    "4090": 165e12,
    "3090": 71e12,
    "MI300X": 1307e12,
    "MI250": 362e12,
}


def peak_flops(device: torch.device) -> float | None:
    """Return the peak of a device in 16-bit arithmetic, in FLOP/s; None where it is not known, as of CPUs."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in _PEAKS.items() if known in name), None)


@dataclass(frozen=True)
class Arithmetic:
    """What a model costs, in FLOP per something, forward and backward together."""

    #: per position that runs through the decoder's layers
    per_position: float
    #: per trained token: the head
    per_trained: float
    #: per image: tower and projector
    per_image: float
    #: per pair of a query and a key that it looks at, all layers
    per_pair: float
    #: whether images look at nothing
    is_mmca: bool

    def of(self, batch: Batch, num_trained: int) -> float:
        """Work out what a batch costs."""
        pairs = _pairs(batch, self.is_mmca)
        return (
            self.per_position * batch.num_tokens
            + self.per_trained * num_trained
            + self.per_image * len(batch.pixels)
            + self.per_pair * pairs
        )


def _pairs(batch: Batch, is_mmca: bool) -> float:
    """Count pairs of queries and keys: on average, a query looks at half of its sample."""
    num_segments = int(batch.segment_ids.max()) + 1
    rows = torch.arange(len(batch.segment_ids))[:, None] * num_segments
    samples = (batch.segment_ids + rows).flatten()
    totals = torch.bincount(samples, minlength=len(rows) * num_segments).double()
    asking = torch.bincount(samples, weights=(batch.image_index < 0).flatten().double(), minlength=len(totals))
    queries = asking if is_mmca else totals
    real = torch.arange(len(totals)) % num_segments > 0
    return float((queries * totals * real).sum()) / 2


def count_arithmetic(model: Any) -> Arithmetic:
    """Work out the costs of a model from its weights' shapes.

    Args:
        model: A ``VisualChatModel``, with what is not trained frozen.
    """
    config = model.config.text_config
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    apart = {id(parameter) for part in (embedding, head) for parameter in part.parameters()}
    layers = _weights(model.language, apart)
    tower = _weights(model.vision, set())
    # gradients flow back through the decoder to the embedding and the projector, whatever is frozen
    decoder = 4 * sum(layers) + 2 * layers[1]
    vision = 2 * sum(tower) + (4 * tower[1] if tower[1] else 0)
    projector = 6 * sum(_weights(model.projector, set()))
    size = _size(head.weight)
    patches = num_patches(model.config.vision_config, model.config.image_size)
    return Arithmetic(
        per_position=decoder,
        per_trained=(6 if head.weight.requires_grad else 4) * size,
        per_image=vision * patches + projector * model.image_positions,
        # two products of width x, forward once and backward twice
        per_pair=3 * 2 * 2 * config.hidden_size * config.num_hidden_layers,
        is_mmca=model.config.attention == "mmca",
    )


def _weights(module: Any, apart: set[int]) -> tuple[int, int]:
    """Count frozen and trained numbers in matrices, without some."""
    frozen = trained = 0
    for parameter in module.parameters():
        if len(getattr(parameter, "ds_shape", parameter.shape)) < 2 or id(parameter) in apart:
            continue
        if parameter.requires_grad:
            trained += _size(parameter)
        else:
            frozen += _size(parameter)
    return frozen, trained


def _size(parameter: Any) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel()))
