"""What is remembered beside a cache of keys and values, so that generation sees what one long forward would.

A cache holds keys in the order in which they were computed: the first forward lays every row as images, padding, text
(:func:`~blender.model.layout.lay_out_rows`), and new positions follow. :class:`Past` says what each cached place is. It
is kept on the cache object, so that it goes wherever the cache goes.

One new text position a row, the usual step, looks at two slices of the cache, with a mask only where rows differ;
longer new pieces, such as another question with images, take masks over what is new times what is cached.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

from blender.model.cross import Gallery
from blender.model.layout import Attention, Layout

PADDING, IMAGE, TEXT = 0, 1, 2
_KEPT_AS = "visualchat_past"


@dataclass(frozen=True)
class Past:
    """What the places of a cache are. ``B`` rows, ``L`` places."""

    attention: Attention
    #: (B, L) int8: padding, image or text
    kinds: NDArray[np.int8]
    #: (B, L) int64: where in its row each place stood, which says what came earlier
    times: NDArray[np.int64]
    #: (B, L) int64: position numbers, which sliding windows count
    numbers: NDArray[np.int64]
    #: the position number of what comes next in each row
    next_positions: NDArray[np.int64]
    #: with cross attention, the images shown so far
    gallery: Gallery | None = None

    @property
    def length(self) -> int:
        """Cached places of a row."""
        return int(self.kinds.shape[1])


def remember(cache: Any, past: Past) -> None:
    """Keep a past with its cache."""
    setattr(cache, _KEPT_AS, past)


def recall(cache: Any) -> Past | None:
    """Return what is kept with a cache; None for an empty one.

    Raises:
        ValueError: The cache was not filled by this model, or was cut since.
    """
    length = int(cache.get_seq_length()) if cache is not None else 0
    if not length:
        return None
    past: Past | None = getattr(cache, _KEPT_AS, None)
    if past is None or past.length != length:
        raise ValueError("the cache does not hold what this model left in it")
    return past


def begin(
    layout: Layout,
    segment_ids: torch.Tensor,
    image_index: torch.Tensor,
    position_ids: torch.Tensor,
    attention: Attention,
) -> Past:
    """Return what is remembered of a first forward; all tensors (B, T) on the CPU."""
    within = (layout.order % segment_ids.shape[1]).numpy()
    kinds = np.take_along_axis(_kinds(segment_ids, image_index), within, axis=1)
    ahead = torch.where(segment_ids > 0, position_ids, -1).amax(1).numpy() + 1
    numbers = np.take_along_axis(position_ids.numpy(), within, axis=1)
    return Past(attention, kinds, within, numbers, ahead)


def extend(past: Past, segment_ids: torch.Tensor, image_index: torch.Tensor, position_ids: torch.Tensor) -> Past:
    """Return a past with new positions behind it; all tensors (B, T) on the CPU."""
    kinds = _kinds(segment_ids, image_index)
    times = np.broadcast_to(past.length + np.arange(kinds.shape[1]), kinds.shape)
    ahead = torch.where(segment_ids > 0, position_ids, -1).amax(1).numpy() + 1
    return replace(
        past,
        kinds=np.concatenate([past.kinds, kinds], axis=1),
        times=np.concatenate([past.times, times], axis=1),
        numbers=np.concatenate([past.numbers, position_ids.numpy()], axis=1),
        next_positions=np.maximum(past.next_positions, ahead),
    )


def _kinds(segment_ids: torch.Tensor, image_index: torch.Tensor) -> NDArray[np.int8]:
    kinds = torch.where(segment_ids == 0, PADDING, torch.where(image_index >= 0, IMAGE, TEXT))
    return kinds.numpy().astype(np.int8)


@dataclass(frozen=True)
class Step:
    """How new positions look at a cache that they are part of already. ``B`` rows, ``Q`` new, ``S`` keys of a slice."""

    #: slices of the cache's places, each with a (B, 1, Q, S) bool mask, or None where every query sees every key
    branches: tuple[tuple[slice, torch.Tensor | None], ...]
    #: (B, 1, Q, 1) bool: whose output is its own value; None for none
    own: torch.Tensor | None


def plan_step(past: Past, num_new: int, device: torch.device | str, window: int | None = None) -> Step:
    """Plan attention of the last ``num_new`` places of a past.

    Args:
        past: What is cached, what is new included.
        num_new: Places that are new.
        device: Of the masks.
        window: Positions that text looks back over, its own included; None for all.
    """
    if past.attention == "causal":
        kinds_seen: tuple[tuple[int, ...], ...] = ((IMAGE, TEXT),)
    else:
        kinds_seen = ((TEXT,), (IMAGE,)) if past.attention == "mmca" else ((TEXT,),)
    branches = [_branch(past, kinds, num_new, device, window if TEXT in kinds else None) for kinds in kinds_seen]
    queries = past.kinds[:, -num_new:]
    own = queries == PADDING if past.attention == "causal" else queries != TEXT
    told = torch.from_numpy(own)[:, None, :, None].to(device) if own.any() else None
    return Step(tuple(branch for branch in branches if branch), told)


def _branch(
    past: Past, seen: tuple[int, ...], num_new: int, device: torch.device | str, window: int | None
) -> tuple[slice, torch.Tensor | None] | None:
    """Return the slice of places that anyone looks at in this branch, and who looks at which of them."""
    wanted = np.isin(past.kinds, seen)
    if window is not None:
        # what no query reaches any more
        wanted = wanted & (past.numbers > past.numbers[:, -num_new:].min(1, keepdims=True) - window)
    used = np.flatnonzero(wanted.any(0))
    if not len(used):
        return None
    places = slice(int(used[0]), int(used[-1]) + 1)
    times = past.times[:, -num_new:, None]
    allowed = wanted[:, None, places] & (past.times[:, None, places] <= times)
    if window is not None:
        allowed &= past.numbers[:, None, places] > past.numbers[:, -num_new:, None] - window
    mask = None if allowed.all() else torch.from_numpy(allowed)[:, None].to(device)
    return places, mask


def attend_cached(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    step: Step,
    scale: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend from new places to all cached ones, themselves included.

    ``B`` rows, ``H`` heads, ``K`` key heads, ``Q`` new places, ``L`` cached ones, ``D`` width.

    Args:
        query: (B, H, Q, D).
        key: (B, K, L, D).
        value: (B, K, L, D).
        step: What looks at what.
        scale: Of the products; by default one over the root of ``D``.
        dropout: Not done here: a cache is not trained with.

    Returns:
        (B, Q, H, D).
    """
    output = torch.zeros_like(query)
    for places, mask in step.branches:
        output = output + _attend_branch(query, key[:, :, places], value[:, :, places], mask, scale)
    if step.own is not None:
        own = value[:, :, -query.shape[2] :].repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        output = torch.where(step.own, own, output)
    return output.transpose(1, 2)


def _attend_branch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float | None
) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    if mask is None:
        return scaled_dot_product_attention(query, key, value, scale=scale, enable_gqa=grouped)
    none = ~mask.any(-1, keepdim=True)
    made = scaled_dot_product_attention(query, key, value, attn_mask=mask | none, scale=scale, enable_gqa=grouped)
    return made.masked_fill(none, 0)
