"""Sliding windows: layers in which text looks back over so many positions and no further.

A window counts positions as the published models count them: a query at position p sees keys at positions above
p - window. Positions of images count, as they do in rotary positions, so a windowed layer never meets a distance
between text and text that it was not trained with. With ``mmca`` and ``cross`` only text keys are left out: all text
behind an image sees it in every layer, because its keys have a softmax of their own, and a window would hide all images
but the last. With ``causal`` images are tokens like any other, and leave the window like any other.

A layout is worked out for each window that a decoder's layers have (most have one, or one and none). Its causal blocks
are cut into pieces of queries, each with the keys that its window reaches and a mask over these alone, so no T x T
tensor is made. Samples no longer than the window keep the blocks that they have.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blender.model.layout import Block, Layout

#: queries of a piece, at least; more with wide windows, where pieces of a quarter cost a quarter more than the window
_LEAST = 64


def narrow(layout: Layout, position_ids: torch.Tensor, window: int | None) -> Layout:
    """Return a layout in which text looks back over a window.

    Args:
        layout: The layout of layers without a window.
        position_ids: (B, T) on the CPU; from 0 in every sample.
        window: Positions that a query sees, its own included; None for all.
    """
    if window is None:
        return layout
    numbers = position_ids.flatten().numpy()[layout.order.numpy()]
    blocks = [piece for block in layout.blocks for piece in _pieces(block, numbers[block.row], window)]
    return replace(layout, blocks=tuple(blocks))


def _pieces(block: Block, numbers: NDArray[np.int64], window: int) -> Iterator[Block]:
    """Cut a causal block into pieces whose keys are those of the window."""
    own = numbers[block.first : block.end]
    # the first key of each query; positions grow within a sample
    firsts = np.searchsorted(own, own - window, side="right") if block.causal else np.zeros(0, dtype=np.int64)
    whole = int((firsts == 0).sum())
    if whole == len(firsts):
        yield block
        return
    if whole:
        yield replace(block, end=block.first + whole, end_key=block.first + whole)
    size = max(_LEAST, window // 4)
    for start in range(whole, len(own), size):
        end = min(start + size, len(own))
        first = int(firsts[start])
        keys = np.arange(first, end)
        allowed = (keys >= firsts[start:end, None]) & (keys <= np.arange(start, end)[:, None])
        yield Block(
            block.row,
            block.first + start,
            block.first + end,
            block.first + first,
            block.first + end,
            causal=False,
            mask=torch.from_numpy(allowed),
        )


def windows_of(config: Any) -> list[int | None]:
    """Return the window of each of a decoder's layers, as its configuration says; None for a layer that sees all."""
    window: int | None = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types:
        return [window if kind == "sliding_attention" else None for kind in types]
    uses = getattr(config, "use_sliding_window", True)
    return [window if uses else None] * int(config.num_hidden_layers)
