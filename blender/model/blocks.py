"""Attention over blocks of places: the fast path of ``mmca``, and of packed samples with any attention.

Queries, keys and values come as the decoder made them, in the order of a :class:`~blender.model.layout.Layout`. Each
block is one call of a fused kernel on slices of them, without a mask; image places take no call at all, their output is
their own value. Multiplications are those that the formula needs and no more, and no (T, T) tensor is ever made.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from blender.model.kernels import Kernel, choose_kernel
from blender.model.layout import Block, Layout

_Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scale: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend as a layout says.

    ``R`` rows, ``H`` heads, ``K`` key heads (``H`` is a multiple of it), ``L`` places, ``D`` width.

    Args:
        query: (R, H, L, D).
        key: (R, K, L, D).
        value: (R, K, L, D).
        layout: What looks at what.
        scale: Of the products; by default one over the root of ``D``.
        dropout: Share of the weights that are dropped.

    Returns:
        (R, L, H, D).
    """
    query, key, value = _of_one_type(query, key, value)
    if layout.is_plain:
        return _sdpa(query, key, value, True, None, scale, dropout).transpose(1, 2)
    # the kernels that are called by hand take no mask
    masked = any(block.mask is not None for block in layout.blocks)
    kernel = None if dropout or masked else choose_kernel(query, key)
    if kernel is None or not torch.is_grad_enabled():
        return _attend_plainly(query, key, value, layout, scale, dropout)
    attended: torch.Tensor = _Blocks.apply(query, key, value, layout, scale, kernel)  # type: ignore[no-untyped-call]
    return attended


def _of_one_type(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
    """Under autocast, rotary positions leave queries and keys wider than values."""
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def _sdpa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool,
    mask: torch.Tensor | None,
    scale: float | None,
    dropout: float,
) -> torch.Tensor:
    if mask is not None:
        # on a GPU, grouped heads and a mask together leave only the kernel that makes all scores
        key, value = (_repeat_heads(tensor, query.shape[1]) for tensor in (key, value))
    grouped = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def _sliced(block: Block, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
    row = slice(block.row, block.row + 1)
    keys = slice(block.first_key, block.end_key)
    return query[row, :, block.first : block.end], key[row, :, keys], value[row, :, keys]


def _repeat_heads(tensor: torch.Tensor, num_heads: int) -> torch.Tensor:
    groups = num_heads // tensor.shape[1]
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


def _empty(query: torch.Tensor) -> torch.Tensor:
    """Return room for the output, (R, H, L, D) to look at and (R, L, H, D) in memory."""
    rows, heads, places, width = query.shape
    return query.new_empty((rows, places, heads, width)).transpose(1, 2)


def _attend_plainly(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float | None, dropout: float
) -> torch.Tensor:
    """Do it through PyTorch's public function, with autograd's own backward."""
    output = _empty(query)
    _fill_own(output, value, layout)
    for block in layout.blocks:
        made = _sdpa(*_sliced(block, query, key, value), block.causal, block.mask, scale, dropout)
        _put(output[block.row : block.row + 1, :, block.first : block.end], made, block)
    return output.transpose(1, 2)


def _fill_own(output: torch.Tensor, value: torch.Tensor, layout: Layout) -> None:
    for row, start, end in layout.own:
        output[row : row + 1, :, start:end] = _repeat_heads(value[row : row + 1, :, start:end], output.shape[1])


def _put(there: torch.Tensor, made: torch.Tensor, block: Block) -> None:
    """Blocks of text that looks at text come first and cover every place of it; the others are added to them."""
    if block.is_first:
        there.copy_(made)
    else:
        there.add_(made)


class _Blocks(torch.autograd.Function):
    """All blocks as one node of the graph. Saves its inputs and the output of each block."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        query, key, value, layout, scale, kernel = arguments
        output = _empty(query)
        _fill_own(output, value, layout)
        kept: list[Any] = []
        for call in _calls(layout, kernel, query, key):
            made, extra = kernel.forward(*call.inputs(query, key, value), call.block.causal, scale)
            _put(call.queries(output), made, call.block)
            kept += [made, *extra]
        ctx.save_for_backward(query, key, value, *kept)
        ctx.rest = layout, scale, kernel
        return output.transpose(1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        layout, scale, kernel = ctx.rest
        grad = grad.transpose(1, 2)
        grads = tuple(torch.zeros_like(tensor) for tensor in (query, key, value))
        _own_gradient(grads[2], grad, layout)
        calls = list(_calls(layout, kernel, query, key))
        each = len(kept) // len(calls) if calls else 0
        for number, call in enumerate(calls):
            made, *extra = kept[number * each : (number + 1) * each]
            inputs = call.inputs(query, key, value)
            parts = kernel.backward(call.queries(grad), *inputs, made, extra, call.block.causal, scale)
            for there, part in zip(call.inputs(*grads), parts, strict=True):
                there.add_(part)
        return (*grads, None, None, None)


def _own_gradient(value_grad: torch.Tensor, grad: torch.Tensor, layout: Layout) -> None:
    heads = value_grad.shape[1]
    for row, start, end in layout.own:
        of_heads = grad[row : row + 1, :, start:end]
        value_grad[row : row + 1, :, start:end] = of_heads.reshape(1, heads, -1, *of_heads.shape[2:]).sum(2)


class _Call:
    """One call of a kernel: a block, and which of the heads."""

    def __init__(self, block: Block, heads: slice, key_heads: slice) -> None:
        self.block, self.heads, self.key_heads = block, heads, key_heads

    def queries(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[self.block.row : self.block.row + 1, self.heads, self.block.first : self.block.end]

    def inputs(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
        row, keys = slice(self.block.row, self.block.row + 1), slice(self.block.first_key, self.block.end_key)
        return self.queries(query), key[row, self.key_heads, keys], value[row, self.key_heads, keys]


def _calls(layout: Layout, kernel: Kernel, query: torch.Tensor, key: torch.Tensor) -> Iterator[_Call]:
    """Yield the calls; a large block goes a few heads at a time, so that its gradients stay small."""
    heads, key_heads = query.shape[1], key.shape[1]
    for block in layout.blocks:
        size = (block.end - block.first + 2 * (block.end_key - block.first_key)) / query.shape[2]
        groups = 1
        while size / groups > kernel.most_at_once and key_heads % (2 * groups) == 0:
            groups *= 2
        for group in range(groups):
            yield _Call(block, _part(heads, group, groups), _part(key_heads, group, groups))


def _part(size: int, number: int, count: int) -> slice:
    return slice(size // count * number, size // count * (number + 1))
