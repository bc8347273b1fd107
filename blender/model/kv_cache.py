"""Which positions a KV cache holds, so that a step of generation sees what one long forward would.

A cache holds keys in the order in which they were computed: the first forward puts every row into the order images,
padding, text (:func:`~blender.model.block_layout.arrange_rows`), and new positions follow. :class:`CachedPositions`
says what each of them is. It is an attribute of the cache object, so that it is wherever the cache is.

In the usual step each row has one new text position, which attends to two slices of the cache; a mask is needed only
where rows differ. Longer steps of several rows, or with sliding windows, use masks of new positions times cached ones;
those of one row, such as a piece of a long prompt, need none (:mod:`blender.model.piece_attention`).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

from blender.model.block_attention import repeat_heads
from blender.model.block_layout import Attention, BlockLayout
from blender.model.cross_attention import ImageMemory

PADDING, IMAGE, TEXT = 0, 1, 2
_ATTRIBUTE = "visualchat_positions"


@dataclass(frozen=True)
class CachedPositions:
    """The positions of a cache. ``B`` rows, ``L`` cached positions, in the order of the cache."""

    attention: Attention
    #: (B, L) int8: padding, image or text
    kinds: NDArray[np.int8]
    #: (B, L) int64: index in the row; a query sees what has a smaller one
    indices: NDArray[np.int64]
    #: (B, L) int64: position numbers, which sliding windows count
    position_ids: NDArray[np.int64]
    #: (B,) the position number of what comes next in each row
    next_position_ids: NDArray[np.int64]
    #: with cross attention, the images shown so far
    image_memory: ImageMemory | None = None

    @property
    def length(self) -> int:
        """Cached positions of a row."""
        return int(self.kinds.shape[1])


def attach_positions(cache: Any, positions: CachedPositions) -> None:
    """Keep the positions with their cache."""
    setattr(cache, _ATTRIBUTE, positions)


def positions_in(cache: Any) -> CachedPositions | None:
    """Return the positions of a cache; None for an empty cache, or for no cache.

    Raises:
        ValueError: The cache was not filled by this model, or was cut since.
    """
    length = int(cache.get_seq_length()) if cache is not None else 0
    if not length:
        return None
    positions: CachedPositions | None = getattr(cache, _ATTRIBUTE, None)
    if positions is None or positions.length != length:
        raise ValueError("the cache does not hold what this model left in it")
    return positions


def start_positions(
    layout: BlockLayout,
    segment_ids: torch.Tensor,
    image_index: torch.Tensor,
    position_ids: torch.Tensor,
    attention: Attention,
) -> CachedPositions:
    """Return the positions of a first forward.

    Args:
        layout: The order in which they were computed.
        segment_ids: (B, T) on the CPU.
        image_index: (B, T) on the CPU.
        position_ids: (B, T) on the CPU.
        attention: Which attention.
    """
    indices = (layout.order % segment_ids.shape[1]).numpy()
    kinds = np.take_along_axis(_kinds(segment_ids, image_index), indices, axis=1)
    numbers = np.take_along_axis(position_ids.numpy(), indices, axis=1)
    return CachedPositions(attention, kinds, indices, numbers, _next_position_ids(segment_ids, position_ids))


def extend_positions(
    cached: CachedPositions, segment_ids: torch.Tensor, image_index: torch.Tensor, position_ids: torch.Tensor
) -> CachedPositions:
    """Return cached positions with new ones behind them; all tensors (B, T) on the CPU."""
    kinds = _kinds(segment_ids, image_index)
    indices = np.broadcast_to(cached.length + np.arange(kinds.shape[1]), kinds.shape)
    return replace(
        cached,
        kinds=np.concatenate([cached.kinds, kinds], axis=1),
        indices=np.concatenate([cached.indices, indices], axis=1),
        position_ids=np.concatenate([cached.position_ids, position_ids.numpy()], axis=1),
        next_position_ids=np.maximum(cached.next_position_ids, _next_position_ids(segment_ids, position_ids)),
    )


def _kinds(segment_ids: torch.Tensor, image_index: torch.Tensor) -> NDArray[np.int8]:
    kinds = torch.where(segment_ids == 0, PADDING, torch.where(image_index >= 0, IMAGE, TEXT))
    return kinds.numpy().astype(np.int8)


def _next_position_ids(segment_ids: torch.Tensor, position_ids: torch.Tensor) -> NDArray[np.int64]:
    return torch.where(segment_ids > 0, position_ids, -1).amax(1).numpy() + 1


def crop_cache(cache: Any, length: int) -> bool:
    """Cut a cache of one row down to the first positions of the row; False where they are not the first of the cache.

    A first forward may have put the images of a prompt before its text.

    Args:
        cache: Filled by a ``VisualChatModel``, without padding.
        length: Positions to keep.
    """
    cached = positions_in(cache)
    if cached is None or not (cached.indices[0, :length] < length).all():
        return False
    cache.crop(length - cached.length)
    attach_positions(cache, _first_positions(cached, length))
    return True


def _first_positions(cached: CachedPositions, length: int) -> CachedPositions:
    memory = cached.image_memory
    if memory is not None:
        kept, everything = (int((cached.kinds[0, :end] == IMAGE).sum()) for end in (length, cached.length))
        num_images = kept * len(memory.images) // max(1, everything)
        memory = ImageMemory(memory.images[:num_images], (memory.of_rows[0][:num_images],))
    return CachedPositions(
        cached.attention,
        cached.kinds[:, :length],
        cached.indices[:, :length],
        cached.position_ids[:, :length],
        np.array([length]),
        memory,
    )


@dataclass(frozen=True)
class CacheBranch:
    """One softmax of new positions over a slice of the cache."""

    keys: slice
    #: (B, 1, Q, S) bool, true for at least one key of each query; None where every query sees every key
    mask: torch.Tensor | None = None
    #: (B, 1, Q, 1) bool: queries that see no key at all, whose output is zero; None for none
    sees_none: torch.Tensor | None = None


@dataclass(frozen=True)
class CacheAttention:
    """How new positions attend to a cache that holds them already. ``B`` rows, ``Q`` new positions, ``S`` keys."""

    #: outputs of branches are added up
    branches: tuple["CacheBranch", ...]
    #: (B, 1, Q, 1) bool: positions whose output is their own value; None for none
    own: torch.Tensor | None


def plan_cache_attention(
    cached: CachedPositions, num_new: int, device: torch.device | str, window: int | None = None
) -> CacheAttention:
    """Plan attention of the last ``num_new`` cached positions.

    Args:
        cached: All positions, new ones included.
        num_new: New positions.
        device: Of the masks.
        window: Positions that text sees, its own included; None for all.
    """
    if cached.attention == "causal":
        branch_kinds: tuple[tuple[int, ...], ...] = ((IMAGE, TEXT),)
    else:
        branch_kinds = ((TEXT,), (IMAGE,)) if cached.attention == "mmca" else ((TEXT,),)
    branches = [
        _plan_branch(cached, kinds, num_new, device, window if TEXT in kinds else None) for kinds in branch_kinds
    ]
    new_kinds = cached.kinds[:, -num_new:]
    own = new_kinds == PADDING if cached.attention == "causal" else new_kinds != TEXT
    own_mask = torch.from_numpy(own)[:, None, :, None].to(device) if own.any() else None
    return CacheAttention(tuple(branch for branch in branches if branch), own_mask)


def _plan_branch(
    cached: CachedPositions, kinds: tuple[int, ...], num_new: int, device: torch.device | str, window: int | None
) -> CacheBranch | None:
    """Plan attention to keys of these kinds; None where no query sees any."""
    wanted = np.isin(cached.kinds, kinds)
    new_ids = cached.position_ids[:, -num_new:]
    if window is not None:
        # without the keys that no query sees
        wanted = wanted & (cached.position_ids > new_ids.min(1, keepdims=True) - window)
    used = np.flatnonzero(wanted.any(0))
    if not len(used):
        return None
    keys = slice(int(used[0]), int(used[-1]) + 1)
    allowed = wanted[:, None, keys] & (cached.indices[:, None, keys] <= cached.indices[:, -num_new:, None])
    if window is not None:
        allowed &= cached.position_ids[:, None, keys] > new_ids[:, :, None] - window
    if allowed.all():
        return CacheBranch(keys)
    sees_none = ~allowed.any(-1, keepdims=True)
    # fused kernels want at least one key for each query
    mask = torch.from_numpy(allowed | sees_none)[:, None].to(device)
    return CacheBranch(keys, mask, torch.from_numpy(sees_none)[:, None].to(device) if sees_none.any() else None)


def attend_cache(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: CacheAttention,
    scale: float | None = None,
) -> torch.Tensor:
    """Attend from new positions to all cached ones, themselves included. Without dropout: a cache is not for training.

    ``B`` rows, ``H`` heads, ``K`` key heads, ``Q`` new positions, ``L`` cached ones, ``D`` width.

    Args:
        query: (B, H, Q, D).
        key: (B, K, L, D).
        value: (B, K, L, D).
        plan: Which query sees which keys.
        scale: Of the products; by default one over the root of ``D``.

    Returns:
        (B, Q, H, D).
    """
    output = torch.zeros_like(query)
    for branch in plan.branches:
        output = output + _attend_branch(query, key[:, :, branch.keys], value[:, :, branch.keys], branch, scale)
    if plan.own is not None:
        own = repeat_heads(value[:, :, -query.shape[2] :], query.shape[1])
        output = torch.where(plan.own, own, output)
    return output.transpose(1, 2)


def _attend_branch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, branch: CacheBranch, scale: float | None
) -> torch.Tensor:
    if branch.mask is not None and query.shape[2] > 1:
        # on a GPU, grouped heads and a mask together leave only the kernel that stores all scores; of one query these
        # are few
        key, value = (repeat_heads(tensor, query.shape[1]) for tensor in (key, value))
    grouped = query.shape[1] != key.shape[1]
    attended = scaled_dot_product_attention(query, key, value, attn_mask=branch.mask, scale=scale, enable_gqa=grouped)
    return attended if branch.sees_none is None else attended.masked_fill(branch.sees_none, 0)
