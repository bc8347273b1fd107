"""Attention block by block: the fast path of ``mmca``, and of packed samples with any attention.

Queries, keys and values come as the decoder made them, in the order of a
:class:`~blender.model.block_layout.BlockLayout`. Each block is one call of a fused kernel on slices of them, without a
mask. Image positions under ``mmca`` need no call: their output is their own value. So only the products that the
formula needs are computed, and no (T, T) tensor exists.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from blender.model.block_layout import AttentionBlock, BlockLayout
from blender.model.kernels import Kernel, choose_kernel

_Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: BlockLayout,
    scale: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend as a layout says.

    ``R`` rows, ``H`` heads, ``K`` key heads (``H`` is a multiple of it), ``L`` columns, ``D`` width.

    Args:
        query: (R, H, L, D).
        key: (R, K, L, D).
        value: (R, K, L, D).
        layout: The blocks.
        scale: Of the products; by default one over the root of ``D``.
        dropout: Share of the attention weights that are set to zero.

    Returns:
        (R, L, H, D).
    """
    query, key, value = _of_one_type(query, key, value)
    if layout.is_plain:
        return _sdpa(query, key, value, True, None, scale, dropout).transpose(1, 2)
    # the kernels of :mod:`blender.model.kernels` take no mask
    masked = any(block.mask is not None for block in layout.blocks)
    kernel = None if dropout or masked else choose_kernel(query, key)
    if kernel is None or not torch.is_grad_enabled():
        return _attend_with_sdpa(query, key, value, layout, scale, dropout)
    attended: torch.Tensor = _AttendBlocks.apply(query, key, value, layout, scale, kernel)  # type: ignore[no-untyped-call]
    return attended


def _of_one_type(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
    """Cast to one type: under autocast, rotary positions leave queries and keys wider than values."""
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
        key, value = (repeat_heads(tensor, query.shape[1]) for tensor in (key, value))
    grouped = query.shape[1] != key.shape[1]
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def _sliced(block: AttentionBlock, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
    row = slice(block.row, block.row + 1)
    keys = slice(block.first_key, block.end_key)
    return query[row, :, block.first : block.end], key[row, :, keys], value[row, :, keys]


def repeat_heads(tensor: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Repeat the key heads of (B, K, L, D) keys or values for ``num_heads`` query heads."""
    groups = num_heads // tensor.shape[1]
    return tensor if groups == 1 else tensor.repeat_interleave(groups, dim=1)


def _empty(query: torch.Tensor) -> torch.Tensor:
    """Return an empty output of shape (R, H, L, D), (R, L, H, D) in memory, as decoders want it."""
    rows, heads, columns, width = query.shape
    return query.new_empty((rows, columns, heads, width)).transpose(1, 2)


def _attend_with_sdpa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: BlockLayout,
    scale: float | None,
    dropout: float,
) -> torch.Tensor:
    """Attend through PyTorch's public function, with autograd's own backward."""
    output = _empty(query)
    _fill_own(output, value, layout)
    for block in layout.blocks:
        part = _sdpa(*_sliced(block, query, key, value), block.causal, block.mask, scale, dropout)
        _write(output[block.row : block.row + 1, :, block.first : block.end], part, block)
    return output.transpose(1, 2)


def _fill_own(output: torch.Tensor, value: torch.Tensor, layout: BlockLayout) -> None:
    for row, start, end in layout.own:
        output[row : row + 1, :, start:end] = repeat_heads(value[row : row + 1, :, start:end], output.shape[1])


def _write(target: torch.Tensor, part: torch.Tensor, block: AttentionBlock) -> None:
    """Write a block's output. Blocks of text over text come first and cover all text; the others are added to them."""
    if block.is_first:
        target.copy_(part)
    else:
        target.add_(part)


class _AttendBlocks(torch.autograd.Function):
    """All blocks of a layer as one node of the autograd graph. Saves its inputs and the output of each block."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> torch.Tensor:
        query, key, value, layout, scale, kernel = arguments
        output = _empty(query)
        _fill_own(output, value, layout)
        kept: list[Any] = []
        for call in _calls(layout, kernel, query, key):
            part, extra = kernel.forward(*call.inputs(query, key, value), call.block.causal, scale)
            _write(call.queries(output), part, call.block)
            kept += [part, *extra]
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
            part, *extra = kept[number * each : (number + 1) * each]
            inputs = call.inputs(query, key, value)
            parts = kernel.backward(call.queries(grad), *inputs, part, extra, call.block.causal, scale)
            for target, gradient in zip(call.inputs(*grads), parts, strict=True):
                target.add_(gradient)
        return (*grads, None, None, None)


def _own_gradient(value_grad: torch.Tensor, grad: torch.Tensor, layout: BlockLayout) -> None:
    heads = value_grad.shape[1]
    for row, start, end in layout.own:
        of_heads = grad[row : row + 1, :, start:end]
        value_grad[row : row + 1, :, start:end] = of_heads.reshape(1, heads, -1, *of_heads.shape[2:]).sum(2)


class _KernelCall:
    """One call of a kernel: a block, and the heads that it is computed for."""

    def __init__(self, block: AttentionBlock, heads: slice, key_heads: slice) -> None:
        self.block, self.heads, self.key_heads = block, heads, key_heads

    def queries(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[self.block.row : self.block.row + 1, self.heads, self.block.first : self.block.end]

    def inputs(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> _Tensors:
        row, keys = slice(self.block.row, self.block.row + 1), slice(self.block.first_key, self.block.end_key)
        return self.queries(query), key[row, self.key_heads, keys], value[row, self.key_heads, keys]


def _calls(layout: BlockLayout, kernel: Kernel, query: torch.Tensor, key: torch.Tensor) -> Iterator[_KernelCall]:
    """Yield the calls. A large block is computed a few heads at a time, so that its gradients stay small."""
    heads, key_heads = query.shape[1], key.shape[1]
    for block in layout.blocks:
        size = (block.end - block.first + 2 * (block.end_key - block.first_key)) / query.shape[2]
        groups = 1
        while size / groups > kernel.most_at_once and key_heads % (2 * groups) == 0:
            groups *= 2
        for group in range(groups):
            yield _KernelCall(block, _part(heads, group, groups), _part(key_heads, group, groups))


def _part(size: int, number: int, count: int) -> slice:
    return slice(size // count * number, size // count * (number + 1))
