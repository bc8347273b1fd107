"""A rank's part of a global batch, cut into micro-batches.

The loader yields one batch per optimizer step, so that a stream state always lies between two steps, at any world size.
Rows of similar length share a micro-batch, which is as long as its longest row. How rows are grouped changes gradients
by rounding only, as the loss is averaged over the trained tokens of the global batch.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch

from blender.core.errors import TrainError
from blender.stream.collate import IGNORED, Batch

#: the length of a micro-batch is a multiple of this, as the collator's is
_MULTIPLE = 8


def micro_batches(batch: Batch, rows: int) -> list[Batch]:
    """Cut a batch into micro-batches, rows of similar length together.

    Args:
        batch: The batch; its number of rows must be a multiple of ``rows``.
        rows: Rows of a micro-batch.
    """
    lengths = (batch.segment_ids > 0).sum(1)
    order = torch.argsort(lengths, stable=True, descending=True)
    return [take_rows(batch, part) for part in torch.split(order, rows)]


def take_rows(batch: Batch, rows: torch.Tensor) -> Batch:
    """Return some rows of a batch with their images, without columns that are padding in all of them.

    Args:
        batch: The batch.
        rows: (R,) int64, row numbers.
    """
    used = int((batch.segment_ids[rows] > 0).sum(1).max())
    length = min(batch.input_ids.shape[1], max(1, -(-used // _MULTIPLE)) * _MULTIPLE)
    new_row = torch.full((len(batch.keys),), -1)
    new_row[rows] = torch.arange(len(rows))
    owner_rows = new_row[batch.image_owner[:, 0]] if len(batch.image_owner) else batch.image_owner[:, 0]
    images = _in_order_of_rows(owner_rows)
    # one more element at the end, which index -1 of text positions reads
    renumbered = torch.full((len(batch.pixels) + 1,), -1)
    renumbered[images] = torch.arange(len(images))
    numbers = rows.tolist()
    return replace(
        batch,
        input_ids=batch.input_ids[rows, :length],
        labels=batch.labels[rows, :length],
        position_ids=batch.position_ids[rows, :length],
        segment_ids=batch.segment_ids[rows, :length],
        image_index=renumbered[batch.image_index[rows, :length]],
        pixels=batch.pixels[images],
        image_owner=torch.stack([owner_rows[images], batch.image_owner[images, 1]], dim=1),
        keys=tuple(batch.keys[row] for row in numbers),
        datasets=tuple(batch.datasets[row] for row in numbers),
        tags=tuple(batch.tags[row] for row in numbers),
    )


def _in_order_of_rows(owner_rows: torch.Tensor) -> torch.Tensor:
    """Return the images of the rows that are taken, ordered by row."""
    kept = (owner_rows >= 0).nonzero()[:, 0]
    return kept[torch.argsort(owner_rows[kept], stable=True)]


def num_trained(batch: Batch) -> int:
    """Count the trained tokens."""
    return int((batch.labels != IGNORED).sum())


def check_images(batch: Batch, image_positions: int) -> None:
    """Check that the image index and the pixels of every sample agree.

    Args:
        batch: The batch.
        image_positions: Positions of an image in the model.

    Raises:
        TrainError: They do not; names the sample.
    """
    for row, segment, problem in _image_faults(batch, image_positions):
        key = batch.keys[row][segment - 1]
        blend = batch.tags[row][segment - 1].get("blend", "")
        raise TrainError(f"sample {key} of {blend or 'the blend'}: {problem}", "check the blend: visualchat verify DIR")


def _image_faults(batch: Batch, image_positions: int) -> Iterator[tuple[int, int, str]]:
    owners = batch.image_owner.tolist()
    shown = batch.image_index >= 0
    numbers = batch.image_index[shown]
    counts = torch.bincount(numbers, minlength=len(owners))
    for image, ((row, segment), count) in enumerate(zip(owners, counts.tolist(), strict=False)):
        if count != image_positions:
            yield row, segment, f"its text has {count} positions for an image of {image_positions} (image {image})"
    for row, column in (shown & (batch.image_index >= len(owners))).nonzero().tolist()[:1]:
        segment = int(batch.segment_ids[row, column])
        yield row, segment, f"its text shows more images than the {len(owners)} whose pixels the batch has"
    for row, column in shown.nonzero()[_of_other_sample(batch, shown)].tolist()[:1]:
        yield row, int(batch.segment_ids[row, column]), "its text shows an image of another sample"


def _of_other_sample(batch: Batch, shown: torch.Tensor) -> torch.Tensor:
    """Return (P,) bool over the positions that show an image: whether it belongs to another sample."""
    positions = shown.nonzero()
    numbers = batch.image_index[shown].clamp(max=max(0, len(batch.image_owner) - 1))
    owners = batch.image_owner[numbers] if len(batch.image_owner) else torch.zeros(len(positions), 2, dtype=torch.int64)
    segments = batch.segment_ids[shown]
    return (owners[:, 0] != positions[:, 0]) | (owners[:, 1] != segments)
