"""Attention of a piece of a long prompt over the KV cache of what came before, without masks.

All new text sees all earlier keys, so attention over these needs no mask, and attention among new text is causal. The
two share one softmax: each fused kernel also returns the logarithm of its sum of exponentials (LSE), and the results
are weighted by these. With ``mmca`` images have a second softmax, over the first few image keys for each run of text. A
mask over new times cached positions would cost about twice the time, and memory that grows with the prompt.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from blender.model.block_attention import repeat_heads
from blender.model.kernels import Kernel
from blender.model.kv_cache import IMAGE, PADDING, TEXT, CachedPositions


@dataclass(frozen=True)
class PieceAttention:
    """How the new positions of one row attend to its cache. ``L`` cached positions, ``Q`` new ones among them."""

    #: new positions that attend, in order; the output of the others is their own value
    queries: torch.Tensor
    #: cached positions before the new ones that they see; a slice where these are all
    earlier: torch.Tensor | slice
    #: with ``mmca``, cached image positions, and runs of queries (first, end) that see the first few of them
    images: torch.Tensor
    runs: tuple[tuple[int, int, int], ...]

    def to(self, device: torch.device | str) -> "PieceAttention":
        """Return the plan on a device."""
        earlier = self.earlier if isinstance(self.earlier, slice) else self.earlier.to(device)
        return PieceAttention(self.queries.to(device), earlier, self.images.to(device), self.runs)


def plan_piece(cached: CachedPositions, num_new: int) -> PieceAttention:
    """Plan attention of the last ``num_new`` cached positions of one row, without a window.

    Args:
        cached: All positions of one row, new ones included.
        num_new: New positions.
    """
    kinds = cached.kinds[0]
    is_key = kinds != PADDING if cached.attention == "causal" else kinds == TEXT
    old = len(kinds) - num_new
    queries = np.flatnonzero(is_key[old:])
    images, runs = np.zeros(0, dtype=np.int64), []
    if cached.attention == "mmca":
        images = np.flatnonzero(kinds == IMAGE)
        num_before = np.cumsum(kinds == IMAGE)[old:][queries]
        starts = np.flatnonzero(np.diff(num_before, prepend=-1))
        ends = np.append(starts, len(queries))[1:]
        runs = [(int(s), int(e), int(num_before[s])) for s, e in zip(starts, ends, strict=True) if num_before[s]]
    earlier = slice(0, old) if is_key[:old].all() else torch.from_numpy(np.flatnonzero(is_key[:old]))
    return PieceAttention(torch.from_numpy(queries), earlier, torch.from_numpy(images), tuple(runs))


def attend_piece(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: PieceAttention,
    kernel: Kernel,
    scale: float | None = None,
) -> torch.Tensor:
    """Attend from new positions to all cached ones, themselves included. Without gradients.

    ``H`` heads, ``K`` key heads, ``D`` width.

    Args:
        query: (1, H, Q, D).
        key: (1, K, L, D).
        value: (1, K, L, D).
        plan: Which query sees which keys.
        kernel: One for these tensors.
        scale: Of the products; by default one over the root of ``D``.

    Returns:
        (1, Q, H, D).
    """
    num_new = query.shape[2]
    output = repeat_heads(value[:, :, -num_new:], query.shape[1]).clone()
    if len(plan.queries):
        asking, new = query[:, :, plan.queries], (key.shape[2] - num_new) + plan.queries
        attended, own_lse = kernel.forward(asking, key[:, :, new], value[:, :, new], True, scale)
        keys, values = key[:, :, plan.earlier], value[:, :, plan.earlier]
        if keys.shape[2]:
            before, lse = kernel.forward(asking, keys, values, False, scale)
            attended = _merge(attended, own_lse[0], before, lse[0])
        if plan.runs:
            images = key[:, :, plan.images], value[:, :, plan.images]
            for first, end, num_keys in plan.runs:
                keys, values = (tensor[:, :, :num_keys] for tensor in images)
                attended[:, :, first:end] += scaled_dot_product_attention(
                    asking[:, :, first:end], keys, values, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
                )
        output[:, :, plan.queries] = attended
    return output.transpose(1, 2)


def _merge(
    one: torch.Tensor, one_lse: torch.Tensor | None, other: torch.Tensor, other_lse: torch.Tensor | None
) -> torch.Tensor:
    """Join two results of attention over parts of the keys, (1, H, Q, D), by their LSE, (1, H, Q)."""
    assert one_lse is not None and other_lse is not None
    share = torch.sigmoid(one_lse - other_lse)[..., None]
    return (one * share + other * (1 - share)).to(one.dtype)
