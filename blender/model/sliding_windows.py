"""Sliding windows: layers in which text sees a limited number of earlier positions.

A window counts positions as the published models count them: a query at position p sees keys at positions above
p - window. Image positions count, as they do for rotary positions, so a windowed layer never meets a distance between
text and text that it was not trained with. With ``mmca`` and ``cross`` only text keys leave the window: the keys of
images have a softmax of their own, and a window over them would hide all images but the last. With ``causal`` images
are tokens like any other, and leave the window like any other.

There is one layout for each window that a decoder's layers have (most have one, or one and none). Its causal blocks are
cut into groups of queries, each with the keys that its window reaches and a mask over these alone, so no T x T tensor
is made. Samples no longer than the window keep their blocks.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blender.model.block_layout import AttentionBlock, BlockLayout

#: fewest queries of a group; a quarter of a wide window, where a group reads a quarter more keys than its window has
_MIN_QUERIES = 64


def limit_window(layout: BlockLayout, position_ids: torch.Tensor, window: int | None) -> BlockLayout:
    """Return a layout in which text sees no further back than a window.

    Args:
        layout: The layout of layers without a window.
        position_ids: (B, T) on the CPU; from 0 in every sample.
        window: Positions that a query sees, its own included; None for all.
    """
    if window is None:
        return layout
    numbers = position_ids.flatten().numpy()[layout.order.numpy()]
    blocks = [group for block in layout.blocks for group in _cut_block(block, numbers[block.row], window)]
    return replace(layout, blocks=tuple(blocks))


def _cut_block(block: AttentionBlock, numbers: NDArray[np.int64], window: int) -> Iterator[AttentionBlock]:
    """Cut a causal block into groups of queries with the keys that their windows reach."""
    own = numbers[block.first : block.end]
    # the first key of each query; positions grow within a sample
    firsts = np.searchsorted(own, own - window, side="right") if block.causal else np.zeros(0, dtype=np.int64)
    whole = int((firsts == 0).sum())
    if whole == len(firsts):
        yield block
        return
    if whole:
        yield replace(block, end=block.first + whole, end_key=block.first + whole)
    size = max(_MIN_QUERIES, window // 4)
    for start in range(whole, len(own), size):
        end = min(start + size, len(own))
        first = int(firsts[start])
        keys = np.arange(first, end)
        allowed = (keys >= firsts[start:end, None]) & (keys <= np.arange(start, end)[:, None])
        yield AttentionBlock(
            block.row,
            block.first + start,
            block.first + end,
            block.first + first,
            block.first + end,
            causal=False,
            mask=torch.from_numpy(allowed),
        )


def layer_windows(config: Any) -> list[int | None]:
    """Return the window of each of a decoder's layers, as its configuration says; None for a layer that sees all."""
    window: int | None = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types:
        return [window if kind == "sliding_attention" else None for kind in types]
    uses = getattr(config, "use_sliding_window", True)
    return [window if uses else None] * int(config.num_hidden_layers)
