"""Gated cross-attention, for comparison: text reads images in layers of its own, as Flamingo (arXiv 2204.14198) does.

Such a layer runs before every few layers of the decoder. Its gates start at zero, so that training starts from the
plain language model. A text position sees all positions of the images that were shown before it in its sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_layers import GradientCheckpointingLayer

from blender.model.projector import ReadingLayer

#: keyword argument of the decoder's forward that carries :class:`VisibleImages` to the layers
VISIBLE_IMAGES = "visualchat_images"


class VisibleRange(NamedTuple):
    """Columns of a row, all text, that see the same images."""

    row: int
    #: first column, and the end (exclusive)
    first: int
    end: int
    #: numbers of the images, in the order shown
    images: tuple[int, ...]


@dataclass(frozen=True)
class VisibleImages:
    """The images that each column sees. ``N`` images of ``P`` positions, ``D`` width."""

    #: (N, P, D), as the projector gives them, with their numbers added
    images: torch.Tensor
    ranges: tuple[VisibleRange, ...]


@dataclass(frozen=True)
class ImageMemory:
    """All images shown so far, for later steps of generation."""

    #: (N, P, D), with their numbers added
    images: torch.Tensor
    #: per row, the images that it has shown, in order
    of_rows: tuple[tuple[int, ...], ...]


def find_visible_images(
    order: torch.Tensor,
    segment_ids: torch.Tensor,
    image_index: torch.Tensor,
    projected: torch.Tensor | None,
    memory: ImageMemory | None = None,
) -> tuple[VisibleImages | None, ImageMemory | None]:
    """Find which column of a layout sees which images.

    Args:
        order: (R, L) int64; the position of the batch in each column.
        segment_ids: (B, T) on the CPU.
        image_index: (B, T) on the CPU.
        projected: (N, P, D), as the projector gives them; None for none.
        memory: Images that were shown before this batch.

    Returns:
        What the cross layers read, and the memory for the next step.
    """
    known = [] if memory is None else [memory.images]
    earlier = [()] * len(segment_ids) if memory is None else memory.of_rows
    num_known = sum(map(len, known))
    if projected is None and not known:
        return None, memory
    shifted = torch.where(image_index >= 0, image_index + num_known, -1)
    last_positions = _last_positions(segment_ids.numpy(), shifted.numpy())
    if projected is not None:
        numbers = torch.zeros(len(projected))
        for (row, _), images in last_positions.items():
            for number, (_, image) in enumerate(images, start=len(earlier[row])):
                numbers[image - num_known] = number
        known.append(add_image_numbers(projected, numbers))
    new: dict[int, tuple[int, ...]] = {}
    for (row, _), images in last_positions.items():
        new[row] = (*new.get(row, ()), *(image for _, image in images))
    of_rows = tuple((*before, *new.get(row, ())) for row, before in enumerate(earlier))
    ranges = _find_ranges(order, segment_ids, shifted, last_positions, earlier)
    every = torch.cat(known)
    return VisibleImages(every, ranges), ImageMemory(every, of_rows)


def add_image_numbers(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Add a sinusoidal code of its number to each image: attention alone cannot tell the first image from the second.

    Args:
        images: (N, P, D).
        numbers: (N,), from 0 in every sample.
    """
    half = images.shape[-1] // 2
    rates = torch.exp(-np.log(1e4) / max(1, half) * torch.arange(half, device=images.device))
    angles = numbers.to(images.device)[:, None] * rates
    code = torch.cat([angles.sin(), angles.cos()], dim=-1)
    code = nn.functional.pad(code, (0, images.shape[-1] - 2 * half))
    return images + code[:, None].to(images.dtype)


#: per row and segment: last position and number of each image, in the order shown
_LastPositions = dict[tuple[int, int], list[tuple[int, int]]]


def _last_positions(segments: Any, images: Any) -> _LastPositions:
    rows, columns = np.nonzero(images >= 0)
    last = {(int(r), int(images[r, c])): int(c) for r, c in zip(rows, columns, strict=True)}
    by_segment: _LastPositions = {}
    for (row, image), column in sorted(last.items(), key=lambda item: item[1]):
        by_segment.setdefault((row, int(segments[row, column])), []).append((column, image))
    return by_segment


def _find_ranges(
    order: torch.Tensor,
    segment_ids: torch.Tensor,
    image_index: torch.Tensor,
    last_positions: _LastPositions,
    earlier: Sequence[Sequence[int]],
) -> tuple[VisibleRange, ...]:
    """Find ranges of text that see the same images: those whose last position comes before, and earlier ones."""
    width = segment_ids.shape[1]
    segments, images = segment_ids.numpy(), image_index.numpy()
    ranges: list[VisibleRange] = []
    for row, positions in enumerate(order.numpy()):
        rows, columns = np.divmod(positions, width)
        sample = np.where(images[rows, columns] < 0, rows * (segments.max() + 1) + segments[rows, columns], -1)
        sample[segments[rows, columns] == 0] = -1
        starts = np.flatnonzero(np.diff(sample, prepend=-2))
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(sample)], strict=True):
            if sample[first] >= 0:
                key = int(rows[first]), int(segments[rows[first], columns[first]])
                shown = last_positions.get(key, [])
                ranges += _split_at_images(row, first, columns[first:end], shown, tuple(earlier[key[0]]))
    return tuple(ranges)


def _split_at_images(
    row: int, first: int, columns: Any, shown: list[tuple[int, int]], earlier: tuple[int, ...]
) -> list[VisibleRange]:
    counts = np.searchsorted([column for column, _ in shown], columns)
    starts = np.flatnonzero(np.diff(counts, prepend=-1)).tolist()
    ranges = []
    for start, end in zip(starts, [*starts[1:], len(counts)], strict=True):
        seen = earlier + tuple(image for _, image in shown[: counts[start]])
        if seen:
            ranges.append(VisibleRange(row, first + start, first + end, seen))
    return ranges


class CrossLayer(GradientCheckpointingLayer):  # type: ignore[no-untyped-call]
    """A gated cross-attention layer and a gated feed-forward layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reading = ReadingLayer(width, width)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.mlp_gate = nn.Parameter(torch.zeros(1))

    def forward(self, states: torch.Tensor, images: torch.Tensor, ranges: Sequence[VisibleRange]) -> torch.Tensor:
        """Let (R, L, D) states read (N, P, D) images."""
        layer = self.reading
        read = layer.memory_norm(images)
        query = layer.query(layer.norm(states)).unflatten(-1, (layer.num_heads, -1))
        key, value = (part.unflatten(-1, (layer.num_heads, -1)) for part in (layer.key(read), layer.value(read)))
        parts = [_read_images(query, key, value, each) for each in ranges]
        attended = _scatter(states, parts, ranges)
        # a column that sees no image stays as it is: without this the bias would be added to it
        reads = _scatter(states[..., :1], [part.new_ones((len(part), 1)) for part in parts], ranges)
        states = states + torch.tanh(self.attention_gate) * layer.out(attended) * reads
        changed = layer.mlp(layer.mlp_norm(states)) * reads
        # every weight takes part even without images: ranks that train together expect each other's gradients
        unused = 0 * (query.sum() + key.sum() + value.sum())
        mixed: torch.Tensor = states + torch.tanh(self.mlp_gate) * changed + unused
        return mixed


def _read_images(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: VisibleRange) -> torch.Tensor:
    """Return (Q, D): what the columns of one range read from all images that they see."""
    chosen = torch.tensor(visible.images, device=key.device)
    queries = query[visible.row, visible.first : visible.end].transpose(0, 1)[None]
    keys, values = (part[chosen].flatten(0, 1).transpose(0, 1)[None] for part in (key, value))
    return scaled_dot_product_attention(queries, keys, values)[0].transpose(0, 1).flatten(1)


def _scatter(like: torch.Tensor, parts: list[torch.Tensor], ranges: Sequence[VisibleRange]) -> torch.Tensor:
    """Put the (Q, D) parts into their columns of (R, L, D) zeros."""
    rows, columns, width = like.shape
    if not parts:
        return torch.zeros_like(like)
    indices = [torch.arange(each.row * columns + each.first, each.row * columns + each.end) for each in ranges]
    index = torch.cat(indices).to(like.device)
    empty = like.new_zeros((rows * columns, width))
    return empty.index_copy(0, index, torch.cat(parts).to(like.dtype)).view_as(like)


def make_cross_layers(width: int, num_layers: int, every: int) -> nn.ModuleDict:
    """Make the layers; keys are the numbers of the decoder's layers that they run before."""
    return nn.ModuleDict({str(number): CrossLayer(width) for number in range(every - 1, num_layers, every)})


def insert_before(layers: Any, cross: nn.ModuleDict) -> None:
    """Let the cross layers run before the decoder's layers, without touching the decoder's code.

    They run when the decoder's forward is given a :class:`VisibleImages` under :data:`VISIBLE_IMAGES`.

    Args:
        layers: The decoder's layers.
        cross: As :func:`make_cross_layers` made them.
    """

    def hook(number: str) -> Callable[..., Any]:
        def read_first(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            visible: VisibleImages | None = keywords.get(VISIBLE_IMAGES)
            if visible is None:
                return None
            states = arguments[0] if arguments else keywords["hidden_states"]
            changed = cross[number](states, visible.images, visible.ranges)
            if arguments:
                return (changed, *arguments[1:]), keywords
            return arguments, {**keywords, "hidden_states": changed}

        return read_first

    for number in cross:
        layers[int(number)].register_forward_pre_hook(hook(number), with_kwargs=True)
