"""In which order the decoder computes the positions of a batch, and which of them attend to which.

A decoder treats every position alone, except in attention, and takes rotary positions as numbers. So the order of
positions inside the decoder is free, and padding can be left out. Here all samples of a batch are put into one row.
With ``mmca`` the image positions of a sample come first and its text follows. Then all queries and keys that belong
together are slices of the decoder's tensors: nothing is gathered, and no mask is needed. A text query always sees the
first few image positions of its sample, so the text between two images is one :class:`AttentionBlock` without a mask.

A layout is made once per forward, on the CPU, and used by all layers. Shapes: ``B`` rows and ``T`` positions of the
batch; ``R`` rows and ``L`` columns inside the decoder.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

Attention = Literal["mmca", "causal", "cross"]
ATTENTIONS: tuple[Attention, ...] = ("mmca", "causal", "cross")
_Ints = NDArray[np.int64]
_Flags = NDArray[np.bool_]
#: row, first column and end
_Range = tuple[int, int, int]


@dataclass(frozen=True)
class AttentionBlock:
    """Columns of a row (queries) that attend to columns of the same row (keys)."""

    row: int
    #: first query, and the end (exclusive)
    first: int
    end: int
    #: first key, and the end (exclusive)
    first_key: int
    end_key: int
    #: each query sees the keys up to its own column; else all keys, or those that the mask allows
    causal: bool
    #: (queries, keys) bool: the keys that each query of a sliding window sees; None for all
    mask: torch.Tensor | None = field(default=None, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether text attends to text here; attention to images is added to its output."""
        return self.causal or self.mask is not None


@dataclass(frozen=True)
class BlockLayout:
    """The order of a batch's positions inside the decoder, and the blocks that attend."""

    #: (R, L) int64; the position of the batch, ``row * T + position``, that is computed in each column
    order: torch.Tensor
    #: outputs of blocks that share a query are added up
    blocks: tuple[AttentionBlock, ...]
    #: columns whose attention output is their own value: image positions under ``mmca`` and ``cross``, and padding
    own: tuple[_Range, ...]

    @property
    def is_plain(self) -> bool:
        """Whether this is one causal sample, as in any language model."""
        rows, columns = self.order.shape
        return rows == 1 and not self.own and self.blocks == (AttentionBlock(0, 0, columns, 0, columns, True),)

    def to(self, device: torch.device | str) -> "BlockLayout":
        """Return the layout with its masks on a device."""
        blocks = [block if block.mask is None else replace(block, mask=block.mask.to(device)) for block in self.blocks]
        return replace(self, blocks=tuple(blocks))

    def inverse_order(self, size: int) -> torch.Tensor:
        """Return (size,) int64: for each position of the batch ``row * L + column``; -1 where it is left out.

        Args:
            size: Positions of the batch, ``B * T``.
        """
        flat = self.order.flatten()
        inverse = torch.full((size,), -1, dtype=torch.int64)
        inverse[flat] = torch.arange(len(flat))
        return inverse


def arrange_packed(
    segment_ids: torch.Tensor, image_index: torch.Tensor, attention: Attention, needed: torch.Tensor | None = None
) -> BlockLayout:
    """Arrange all samples of a batch in one row, without padding: the layout of training.

    Args:
        segment_ids: (B, T) on the CPU; 0 at padding, else the number of the sample in its row.
        image_index: (B, T) on the CPU; the image at each position, -1 for text.
        attention: Which attention. With ``cross`` image positions are left out: text sees images in other layers.
        needed: (B, T) bool; image positions that are kept all the same.
    """
    segments, images = segment_ids.numpy(), image_index.numpy() >= 0
    kept = segments > 0
    if attention == "cross":
        kept = kept & (~images if needed is None else ~images | needed.numpy())
    positions = np.flatnonzero(kept)
    if not len(positions):
        return BlockLayout(torch.zeros((1, 1), dtype=torch.int64), (AttentionBlock(0, 0, 1, 0, 1, True),), ())
    samples = (segments + (segments.max() + 1) * np.arange(len(segments))[:, None]).ravel()[positions]
    is_image = images.ravel()[positions]
    by_sample = np.argsort(samples, kind="stable")
    num_before = _count_images_before(samples[by_sample], is_image[by_sample])
    rank = np.zeros_like(samples) if attention == "causal" else (~is_image[by_sample]).astype(np.int64)
    images_first = np.lexsort((rank, samples[by_sample]))
    order = by_sample[images_first]
    row = _RowOfSamples(0, samples[order], is_image[order], num_before[images_first], attention)
    blocks, own = row.find_blocks()
    return BlockLayout(torch.from_numpy(positions[order][None]), tuple(blocks), tuple(own))


def arrange_rows(segment_ids: torch.Tensor, image_index: torch.Tensor, attention: Attention) -> BlockLayout:
    """Arrange every row by itself, as a KV cache needs it: images, then padding, then text.

    Text comes last, so that generated tokens continue it and the keys of text stay one slice of the cache.

    Args:
        segment_ids: (B, T) on the CPU; 0 at padding, else 1.
        image_index: (B, T) on the CPU; the image at each position, -1 for text.
        attention: Which attention.
    """
    segments, images = segment_ids.numpy(), image_index.numpy() >= 0
    batch, length = segments.shape
    padding = segments == 0
    rank = np.where(padding, 1, np.where(images & (attention != "causal"), 0, 2))
    order = np.argsort(rank, axis=1, kind="stable")
    blocks: list[AttentionBlock] = []
    own: list[_Range] = []
    for row in range(batch):
        is_image, absent = images[row][order[row]], padding[row][order[row]]
        num_before = np.cumsum(images[row] & ~padding[row])[order[row]]
        kept = np.flatnonzero(~absent)
        sample = _RowOfSamples(row, np.zeros(len(kept), dtype=np.int64), is_image[kept], num_before[kept], attention)
        more_blocks, more_own = sample.find_blocks(kept)
        blocks += more_blocks
        own += more_own + [(row, start, end) for start, end in _true_ranges(absent)]
    order_in_batch = order + np.arange(batch)[:, None] * length
    return BlockLayout(torch.from_numpy(order_in_batch), tuple(blocks), tuple(own))


def _count_images_before(samples: _Ints, is_image: _Flags) -> _Ints:
    """Count, for each position, the image positions before it in its sample; a sample's positions are adjacent."""
    total = np.cumsum(is_image)
    starts = np.flatnonzero(np.diff(samples, prepend=-1))
    lengths = np.diff(np.append(starts, len(samples)))
    before_sample: Any = (total - is_image)[starts]
    return np.asarray(total - np.repeat(before_sample, lengths), dtype=np.int64)


def _true_ranges(flags: _Flags) -> list[tuple[int, int]]:
    """Return start and end of each run of true flags."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@dataclass(frozen=True)
class _RowOfSamples:
    """The positions of one row that are not padding, sample by sample, images first where they are apart."""

    row: int
    #: the sample of each position
    samples: _Ints
    is_image: _Flags
    #: image positions of the sample before each position
    num_before: _Ints
    attention: Attention

    def find_blocks(self, columns: _Ints | None = None) -> tuple[list[AttentionBlock], list[_Range]]:
        """Return the blocks, and the columns whose output is their own value.

        Args:
            columns: The column of each position; counted from 0 when None.
        """
        blocks: list[AttentionBlock] = []
        own: list[_Range] = []
        column = np.arange(len(self.samples)) if columns is None else columns
        starts = np.flatnonzero(np.diff(self.samples, prepend=-1))
        for start, end in zip(starts, np.append(starts, len(self.samples))[1:], strict=True):
            num_images = 0 if self.attention == "causal" else int(self.is_image[start:end].sum())
            text = start + num_images
            if num_images:
                own.append((self.row, int(column[start]), int(column[start]) + num_images))
            if text < end:
                first, last = int(column[text]), int(column[end - 1]) + 1
                blocks.append(AttentionBlock(self.row, first, last, first, last, True))
                if num_images and self.attention == "mmca":
                    blocks += self._blocks_over_images(self.num_before[text:end], first, int(column[start]))
        return blocks, own

    def _blocks_over_images(self, num_before: _Ints, first: int, first_key: int) -> list[AttentionBlock]:
        """Return a block for each run of text that has the same images before it."""
        starts = np.flatnonzero(np.diff(num_before, prepend=-1))
        ends = np.append(starts, len(num_before))[1:]
        return [
            AttentionBlock(
                self.row, first + int(start), first + int(end), first_key, first_key + int(num_before[start]), False
            )
            for start, end in zip(starts, ends, strict=True)
            if num_before[start]
        ]
