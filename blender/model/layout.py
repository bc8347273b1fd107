"""Where each position of a batch stands inside the language model, and which places look at which.

Everything in a decoder but its attention treats positions one by one, and rotary positions are given as numbers. So
the order of positions is ours to choose, and padding can be left out. Samples are laid one behind the other in one row;
with ``mmca`` the image positions of a sample come first and its text after them. All keys and queries that belong
together are then slices of the tensors that the decoder hands to its attention: nothing is gathered, no mask is made.

A layout is worked out once per forward, on the CPU, and shared by all layers. Image keys that a text query may see are
always the first few of its sample, so a :class:`Block` between one image and the next needs no mask either.
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


@dataclass(frozen=True)
class Block:
    """Places of a row that look at other places of it."""

    row: int
    #: first query, and one past the last
    first: int
    end: int
    #: first key, and one past the last
    first_key: int
    end_key: int
    #: each query sees the keys up to its own place; else every query sees every key, or those that the mask allows
    causal: bool
    #: (queries, keys) bool: which keys a query of a sliding window sees; None for all
    mask: torch.Tensor | None = field(default=None, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this is text that looks at text; what looks at images is added to it."""
        return self.causal or self.mask is not None


@dataclass(frozen=True)
class Layout:
    """What stands where. ``B`` rows and ``T`` positions of the batch; ``R`` rows and ``L`` places in the model."""

    #: (R, L) int64; which position of the batch, ``row * T + position``, stands at each place
    order: torch.Tensor
    #: what looks at what; outputs of blocks that share a query are added up
    blocks: tuple[Block, ...]
    #: row, first and end of places whose output is their own value
    own: tuple[tuple[int, int, int], ...]

    @property
    def is_plain(self) -> bool:
        """Whether this is one causal sample, as any language model has it."""
        rows, places = self.order.shape
        return rows == 1 and not self.own and self.blocks == (Block(0, 0, places, 0, places, True),)

    def to(self, device: torch.device | str) -> "Layout":
        """Return the layout with its masks on a device."""
        blocks = [block if block.mask is None else replace(block, mask=block.mask.to(device)) for block in self.blocks]
        return replace(self, blocks=tuple(blocks))

    def places(self, size: int) -> torch.Tensor:
        """Return (size,) int64: the place of each position of the batch, counted through all rows; -1 for none."""
        flat = self.order.flatten()
        places = torch.full((size,), -1, dtype=torch.int64)
        places[flat] = torch.arange(len(flat))
        return places


def lay_out(
    segment_ids: torch.Tensor, image_index: torch.Tensor, attention: Attention, needed: torch.Tensor | None = None
) -> Layout:
    """Lay all samples of a batch into one row, without padding.

    Args:
        segment_ids: (B, T) on the CPU; 0 at padding, else which sample of the row.
        image_index: (B, T) on the CPU; -1 at text, else which image.
        attention: What looks at what. With ``cross`` image positions are left out: text sees images in other layers.
        needed: (B, T) bool; positions that are kept all the same.
    """
    segments, images = segment_ids.numpy(), image_index.numpy() >= 0
    kept = segments > 0
    if attention == "cross":
        kept = kept & (~images if needed is None else ~images | needed.numpy())
    positions = np.flatnonzero(kept)
    if not len(positions):
        return Layout(torch.zeros((1, 1), dtype=torch.int64), (Block(0, 0, 1, 0, 1, True),), ())
    samples = (segments + (segments.max() + 1) * np.arange(len(segments))[:, None]).ravel()[positions]
    is_image = images.ravel()[positions]
    natural = np.argsort(samples, kind="stable")
    seen = _images_before(samples[natural], is_image[natural])
    rank = np.zeros_like(samples) if attention == "causal" else (~is_image[natural]).astype(np.int64)
    again = np.lexsort((rank, samples[natural]))
    order = natural[again]
    spans = _Spans(0, samples[order], is_image[order], seen[again], attention)
    blocks, own = spans.describe()
    return Layout(torch.from_numpy(positions[order][None]), tuple(blocks), tuple(own))


def lay_out_rows(segment_ids: torch.Tensor, image_index: torch.Tensor, attention: Attention) -> Layout:
    """Lay every row for itself, as a cache of keys and values wants it: images, then padding, then text.

    Text stands last, so that what is generated continues it and text keys stay one slice; image keys are the first.
    """
    segments, images = segment_ids.numpy(), image_index.numpy() >= 0
    batch, length = segments.shape
    padding = segments == 0
    rank = np.where(padding, 1, np.where(images & (attention != "causal"), 0, 2))
    within = np.argsort(rank, axis=1, kind="stable")
    blocks: list[Block] = []
    own: list[tuple[int, int, int]] = []
    for row in range(batch):
        order = within[row]
        is_image, absent = images[row][order], padding[row][order]
        seen = np.cumsum(images[row] & ~padding[row])[order]
        kept = np.flatnonzero(~absent)
        spans = _Spans(row, np.zeros(len(kept), dtype=np.int64), is_image[kept], seen[kept], attention)
        more_blocks, more_own = spans.describe(kept)
        blocks += more_blocks
        own += more_own + [(row, start, end) for start, end in _runs(absent)]
    order_in_batch = within + np.arange(batch)[:, None] * length
    return Layout(torch.from_numpy(order_in_batch), tuple(blocks), tuple(own))


def _images_before(samples: _Ints, is_image: _Flags) -> _Ints:
    """Count the image positions of its sample that stand before each position; samples stand together."""
    total = np.cumsum(is_image)
    starts = np.flatnonzero(np.diff(samples, prepend=-1))
    lengths = np.diff(np.append(starts, len(samples)))
    before_sample: Any = (total - is_image)[starts]
    return np.asarray(total - np.repeat(before_sample, lengths), dtype=np.int64)


def _runs(flags: _Flags) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@dataclass(frozen=True)
class _Spans:
    """The kept places of one row, sample by sample."""

    row: int
    #: which sample, whether an image position, and how many image positions of the sample came before
    samples: _Ints
    is_image: _Flags
    seen: _Ints
    attention: Attention

    def describe(self, places: _Ints | None = None) -> tuple[list[Block], list[tuple[int, int, int]]]:
        """Return blocks, and places whose output is their own value; ``places`` are the places of these positions."""
        blocks: list[Block] = []
        own: list[tuple[int, int, int]] = []
        at = np.arange(len(self.samples)) if places is None else places
        starts = np.flatnonzero(np.diff(self.samples, prepend=-1))
        for start, end in zip(starts, np.append(starts, len(self.samples))[1:], strict=True):
            images = 0 if self.attention == "causal" else int(self.is_image[start:end].sum())
            text = start + images
            if images:
                own.append((self.row, int(at[start]), int(at[start]) + images))
            if text < end:
                first, last = int(at[text]), int(at[end - 1]) + 1
                blocks.append(Block(self.row, first, last, first, last, True))
                if images and self.attention == "mmca":
                    blocks += self._pieces(self.seen[text:end], first, int(at[start]))
        return blocks, own

    def _pieces(self, seen: _Ints, first: int, first_key: int) -> list[Block]:
        """Return a block for each run of text that has the same images before it."""
        starts = np.flatnonzero(np.diff(seen, prepend=-1))
        ends = np.append(starts, len(seen))[1:]
        return [
            Block(self.row, first + int(start), first + int(end), first_key, first_key + int(seen[start]), False)
            for start, end in zip(starts, ends, strict=True)
            if seen[start]
        ]
