"""Gated cross-attention, for comparison: text reads images in layers of its own, as Flamingo (arXiv 2204.14198) does.

A layer stands before every few layers of the decoder. Its gates start at zero, so that training starts from the plain
language model. A text position sees the images that were shown before it, all of their positions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_layers import GradientCheckpointingLayer

from blender.model.projector import ReadingLayer

#: keyword argument of the decoder that says what is shown; layers hand it on as they do with any other
SHOWN = "visualchat_shown"
#: row, first place, one past the last, and the numbers of the images that all of these places see
Run = tuple[int, int, int, tuple[int, ...]]


@dataclass(frozen=True)
class Shown:
    """Which images each place sees. ``R`` rows, ``L`` places, ``N`` images of ``P`` positions, ``D`` width."""

    #: (N, P, D): the images' positions, as the projector gives them
    images: torch.Tensor
    runs: tuple[Run, ...]


def number_images(images: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Add to each image a wave that says which of its sample it is: attention alone could not tell the second image.

    Args:
        images: (N, P, D).
        numbers: (N,), from 0 in every sample.
    """
    half = images.shape[-1] // 2
    rates = torch.exp(-np.log(1e4) / max(1, half) * torch.arange(half, device=images.device))
    angles = numbers.to(images.device)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
    waves = nn.functional.pad(waves, (0, images.shape[-1] - 2 * half))
    return images + waves[:, None].to(images.dtype)


def find_runs(
    order: torch.Tensor, segment_ids: torch.Tensor, image_index: torch.Tensor, earlier: Sequence[Sequence[int]] = ()
) -> tuple[Run, ...]:
    """Find runs of text places that see the same images: those of their sample whose last position stands before.

    Args:
        order: (R, L) int64; which position of the batch stands at each place.
        segment_ids: (B, T) on the CPU.
        image_index: (B, T) on the CPU.
        earlier: Per row of the batch, images that were shown before this batch.
    """
    width = segment_ids.shape[1]
    segments, images = segment_ids.numpy(), image_index.numpy()
    lasts = _last_positions(segments, images)
    runs: list[Run] = []
    for row, line in enumerate(order.numpy()):
        rows, columns = np.divmod(line, width)
        sample = np.where(images[rows, columns] < 0, rows * (segments.max() + 1) + segments[rows, columns], -1)
        sample[segments[rows, columns] == 0] = -1
        starts = np.flatnonzero(np.diff(sample, prepend=-2))
        for first, end in zip(starts.tolist(), [*starts[1:].tolist(), len(sample)], strict=True):
            if sample[first] < 0:
                continue
            shown = lasts.get((int(rows[first]), int(segments[rows[first], columns[first]])), [])
            before = tuple(earlier[rows[first]]) if earlier else ()
            runs += _split(row, first, columns[first:end], shown, before)
    return tuple(runs)


def _last_positions(segments: Any, images: Any) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Return per row and segment: last position and number of each image, in the order shown."""
    rows, columns = np.nonzero(images >= 0)
    last = {(int(r), int(images[r, c])): int(c) for r, c in zip(rows, columns, strict=True)}
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (row, image), column in sorted(last.items(), key=lambda item: item[1]):
        found.setdefault((row, int(segments[row, column])), []).append((column, image))
    return found


def _split(row: int, first: int, columns: Any, shown: list[tuple[int, int]], before: tuple[int, ...]) -> list[Run]:
    counts = np.searchsorted([column for column, _ in shown], columns)
    starts = np.flatnonzero(np.diff(counts, prepend=-1)).tolist()
    runs = []
    for start, end in zip(starts, [*starts[1:], len(counts)], strict=True):
        seen = before + tuple(image for _, image in shown[: counts[start]])
        if seen:
            runs.append((row, first + start, first + end, seen))
    return runs


@dataclass(frozen=True)
class Gallery:
    """What was shown so far, for generation to go on from."""

    #: (N, P, D), numbered
    images: torch.Tensor
    #: per row, the images that it has shown, in order
    of_rows: tuple[tuple[int, ...], ...]


def show(
    order: torch.Tensor,
    segment_ids: torch.Tensor,
    image_index: torch.Tensor,
    projected: torch.Tensor | None,
    before: Gallery | None = None,
) -> tuple[Shown | None, Gallery | None]:
    """Work out which place sees which images.

    Args:
        order: (R, L) int64; which position of the batch stands at each place.
        segment_ids: (B, T) on the CPU.
        image_index: (B, T) on the CPU.
        projected: (N, P, D), as the projector gives them; None for none.
        before: What was shown before this batch.
    """
    known = [] if before is None else [before.images]
    earlier = [()] * len(segment_ids) if before is None else before.of_rows
    count = sum(map(len, known))
    if projected is None and not known:
        return None, before
    shifted = torch.where(image_index >= 0, image_index + count, -1)
    lasts = _last_positions(segment_ids.numpy(), shifted.numpy())
    if projected is not None:
        numbers = torch.zeros(len(projected))
        for (row, _), shown in lasts.items():
            for number, (_, image) in enumerate(shown, start=len(earlier[row])):
                numbers[image - count] = number
        known.append(number_images(projected, numbers))
    images = torch.cat(known)
    new = {row: tuple(image for (r, _), some in lasts.items() if r == row for _, image in some) for row, _ in lasts}
    of_rows = tuple((*seen, *new.get(row, ())) for row, seen in enumerate(earlier))
    return Shown(images, find_runs(order, segment_ids, shifted, earlier)), Gallery(images, of_rows)


class CrossLayer(GradientCheckpointingLayer):  # type: ignore[no-untyped-call]
    """A gated cross-attention layer and a gated feed-forward layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reading = ReadingLayer(width, width)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.mlp_gate = nn.Parameter(torch.zeros(1))

    def forward(self, states: torch.Tensor, images: torch.Tensor, runs: Any) -> torch.Tensor:
        """Let (R, L, D) states read (N, P, D) images."""
        layer = self.reading
        read = layer.memory_norm(images)
        query = layer.query(layer.norm(states)).unflatten(-1, (layer.num_heads, -1))
        key, value = (part.unflatten(-1, (layer.num_heads, -1)) for part in (layer.key(read), layer.value(read)))
        parts = [_read_run(query, key, value, run) for run in runs]
        attended = _scatter(states, parts, runs)
        # no bias where nothing is read: what sees no image stays as it is
        reads = _scatter(states[..., :1], [part.new_ones((len(part), 1)) for part in parts], runs)
        states = states + torch.tanh(self.attention_gate) * layer.out(attended) * reads
        changed = layer.mlp(layer.mlp_norm(states)) * reads
        # every weight takes part, images or not: ranks that train together expect each other's gradients
        unused = 0 * (query.sum() + key.sum() + value.sum())
        mixed: torch.Tensor = states + torch.tanh(self.mlp_gate) * changed + unused
        return mixed


def _read_run(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, run: Any) -> torch.Tensor:
    """Return (Q, D): what the places of one run read from all images that they see."""
    row, first, end, images = run
    chosen = torch.tensor(images, device=key.device)
    some = query[row, first:end].transpose(0, 1)[None]
    keys, values = (part[chosen].flatten(0, 1).transpose(0, 1)[None] for part in (key, value))
    return scaled_dot_product_attention(some, keys, values)[0].transpose(0, 1).flatten(1)


def _scatter(like: torch.Tensor, parts: list[torch.Tensor], runs: Any) -> torch.Tensor:
    """Put (Q, D) parts in their places, zeros elsewhere."""
    rows, places, width = like.shape
    if not parts:
        return torch.zeros_like(like)
    at = [torch.arange(row * places + first, row * places + end) for row, first, end, _ in runs]
    index = torch.cat(at).to(like.device)
    empty = like.new_zeros((rows * places, width))
    return empty.index_copy(0, index, torch.cat(parts).to(like.dtype)).view_as(like)


def make_cross_layers(width: int, num_layers: int, every: int) -> nn.ModuleDict:
    """Make the layers; keys are the numbers of the decoder's layers that they stand before."""
    return nn.ModuleDict({str(number): CrossLayer(width) for number in range(every - 1, num_layers, every)})


def insert_before(layers: Any, cross: nn.ModuleDict) -> None:
    """Let the cross layers run before the decoder's layers, without touching the decoder's code.

    They run when the decoder's forward is given a :class:`Shown` under :data:`SHOWN`.

    Args:
        layers: The decoder's layers.
        cross: As :func:`make_cross_layers` made them.
    """

    def hook(number: str) -> Callable[..., Any]:
        def read_first(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            shown: Shown | None = keywords.get(SHOWN)
            if shown is None:
                return None
            states = arguments[0] if arguments else keywords["hidden_states"]
            changed = cross[number](states, shown.images, shown.runs)
            if arguments:
                return (changed, *arguments[1:]), keywords
            return arguments, {**keywords, "hidden_states": changed}

        return read_first

    for number in cross:
        layers[int(number)].register_forward_pre_hook(hook(number), with_kwargs=True)
