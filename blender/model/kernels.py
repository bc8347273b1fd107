"""PyTorch's fused attention kernels, with forward and backward called directly.

Autograd makes a full-sized gradient of zeros for every slice of a tensor. Attention over many slices of the same keys
(:mod:`blender.model.block_attention`) would spend more on those zeros than on attention, so it calls the kernels itself
and adds their gradients up in place. On a GPU that is the flash kernel, for half precision. cuDNN's is not used: it
builds a plan for every new shape, and here shapes differ from sample to sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

_aten: Any = torch.ops.aten
_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Kernel:
    """One fused kernel."""

    #: (query, key, value, causal, scale) -> (output, tensors that the backward needs)
    forward: Callable[..., tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]]
    #: (grad, query, key, value, output, those tensors, causal, scale) -> gradients of query, key and value
    backward: Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    #: gradients of queries, keys and values that one call may allocate, as a share of the gradient of one full tensor;
    #: where it would be more, the heads go to several calls. A GPU's flash kernel has buffers of its own, a CPU's none.
    most_at_once: float


def choose_kernel(query: torch.Tensor, key: torch.Tensor) -> Kernel | None:
    """Return the kernel for tensors like these, or None where only PyTorch's own choice will do.

    Args:
        query: (B, H, T, D).
        key: (B, K, T, D).
    """
    if query.device.type == "cpu":
        return CPU_FLASH if query.dtype in (*_HALF, torch.float32, torch.float64) else None
    if query.device.type != "cuda" or query.shape[-1] % 8 or query.shape[-1] > 256:
        return None
    if query.dtype in _HALF and torch.backends.cuda.is_flash_attention_available():
        return CUDA_FLASH if torch.cuda.get_device_capability(query.device) >= (8, 0) else None
    return None


def _cpu_forward(query: Any, key: Any, value: Any, causal: bool, scale: float | None) -> Any:
    output, weight = _aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, causal, scale=scale)
    return output, (weight,)


def _cpu_backward(
    grad: Any, query: Any, key: Any, value: Any, output: Any, kept: Any, causal: bool, scale: float | None
) -> Any:
    return _aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, query, key, value, output, kept[0], 0.0, causal, scale=scale
    )


def _cuda_forward(query: Any, key: Any, value: Any, causal: bool, scale: float | None) -> Any:
    result = _aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, False, scale=scale)
    output, weight, query_starts, key_starts, _, _, seed, offset, _ = result
    return output, (weight, query_starts, key_starts, seed, offset)


def _cuda_backward(
    grad: Any, query: Any, key: Any, value: Any, output: Any, kept: Any, causal: bool, scale: float | None
) -> Any:
    weight, query_starts, key_starts, seed, offset = kept
    lengths = query.shape[2], key.shape[2]
    return _aten._scaled_dot_product_flash_attention_backward(
        grad, query, key, value, output, weight, query_starts, key_starts, *lengths, 0.0, causal, seed, offset,
        scale=scale,
    )  # fmt: skip


CPU_FLASH = Kernel(_cpu_forward, _cpu_backward, 0.4)
CUDA_FLASH = Kernel(_cuda_forward, _cuda_backward, 1.1)
