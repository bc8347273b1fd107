"""The inputs of a forward, completed and checked, on the CPU.

Layouts are worked out on the CPU. ``segment_ids``, ``image_index`` and ``position_ids`` may stay there: ``Batch.to``
moves them with the rest, but then the model waits for a copy back from the device.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blender.core.errors import ModelError
from blender.model.kv_cache import CachedPositions


@dataclass(frozen=True)
class Positions:
    """Sample, image and number of each position of a batch; all (B, T) int64 on the CPU."""

    #: 0 at padding, else the number of the sample in its row
    segment_ids: torch.Tensor
    #: the image at each position; -1 for text
    image_index: torch.Tensor
    #: from 0 in every sample, for rotary positions
    position_ids: torch.Tensor


def complete_positions(
    shape: tuple[int, ...],
    segment_ids: torch.Tensor | None,
    image_index: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    cached: CachedPositions | None,
) -> Positions:
    """Fill in what was not given.

    Args:
        shape: (B, T) of the token ids.
        segment_ids: (B, T), or None: then ``attention_mask`` tells padding, or each row is one sample.
        image_index: (B, T), or None for text alone.
        position_ids: (B, T), or None for counting from 0, or from what is cached.
        attention_mask: (B, T) or longer: 0 at padding; its last ``T`` columns count.
        cached: The positions of the cache, if any.
    """
    if attention_mask is not None and attention_mask.dim() != 2:
        raise ValueError("an attention mask must say 0 or 1 for each position")
    images = torch.full(shape, -1) if image_index is None else image_index.cpu()
    if segment_ids is not None:
        segments = segment_ids.cpu()
    elif attention_mask is not None:
        # an image position is no padding, even where its token id is the padding token
        segments = ((attention_mask[:, -shape[1] :].cpu() > 0) | (images >= 0)).long()
    else:
        segments = torch.ones(shape, dtype=torch.int64)
    images = images.masked_fill(segments == 0, -1)
    positions = _count(segments, cached) if position_ids is None else position_ids.cpu().expand(shape)
    return Positions(segments, images, positions)


def _count(segments: torch.Tensor, cached: CachedPositions | None) -> torch.Tensor:
    """Count the positions of each sample of a row."""
    real = segments > 0
    counted = torch.zeros_like(segments)
    for number in np.unique(segments.numpy()).tolist():
        mine = segments == number
        counted += torch.where(mine, mine.cumsum(1) - 1, 0)
    if cached is not None:
        counted += torch.from_numpy(cached.next_position_ids)[:, None]
    return counted.masked_fill(~real, 0)


def index_features(positions: Positions, num_images: int, image_positions: int) -> NDArray[np.int64]:
    """Return (B, T): the feature at each image position, ``image * image_positions + number``; -1 for text.

    Args:
        positions: Samples and images of the positions.
        num_images: Images that pixels are given for.
        image_positions: Positions that an image takes.

    Raises:
        ModelError: A sample shows an image without pixels or without all of its positions, or no sample shows an image
            that pixels are given for.
    """
    images = positions.image_index.numpy()
    rows, columns = np.nonzero(images >= 0)
    shown = images[rows, columns]
    keys = rows * (int(shown.max(initial=-1)) + 1) + shown
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    wrong = counts != image_positions
    if wrong.any() or shown.max(initial=-1) >= num_images or len(set(shown.tolist())) != num_images:
        raise _mismatch(positions, num_images, image_positions, order[starts[wrong]], rows, columns, counts[wrong])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, counts)
    features = np.full(images.shape, -1, dtype=np.int64)
    features[rows, columns] = shown * image_positions + rank
    return features


def _mismatch(
    positions: Positions, num_images: int, image_positions: int, firsts: Any, rows: Any, columns: Any, counts: Any
) -> ModelError:
    hint = "samples must be encoded with the positions that this model gives to an image"
    if len(firsts):
        row, column = int(rows[firsts[0]]), int(columns[firsts[0]])
        segment, image = int(positions.segment_ids[row, column]), int(positions.image_index[row, column])
        reason = (
            f"row {row}, sample {segment}: image {image} takes {counts[0]} positions, and must take {image_positions}"
        )
        return ModelError(reason, hint)
    images = positions.image_index
    beyond = (images >= num_images).nonzero().tolist()
    if beyond:
        row, column = beyond[0]
        reason = f"row {row}, sample {int(positions.segment_ids[row, column])} shows image {int(images[row, column])}"
        return ModelError(f"{reason}, and there are pixels of {num_images}", "every image needs its pixels")
    unseen = sorted(set(range(num_images)) - set(images.flatten().tolist()))
    return ModelError(f"image {unseen[0]} of {num_images} has pixels and is shown in no row", "leave its pixels out")
