"""Put encoded samples together into a batch: one sample a row, or several a row, packed.

There is one kind of batch. A row holds one or more samples one after the other. Segment numbers tell them apart,
positions begin at 0 in each, and the first label of each is masked, so that no sample is trained to predict the
beginning of the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blender.stream.encode import EncodedSample
from blender.stream.shared_buffers import Bytes, SharedBatch, SharedBuffers

#: label of positions without loss, as in PyTorch's cross entropy
IGNORED = -100

Ints = NDArray[np.int64]
Rows = Sequence[Sequence[EncodedSample]]


@dataclass(frozen=True)
class Batch:
    """Rows of samples as tensors.

    ``B`` rows, ``T`` positions, ``N`` images in the whole batch, ``C`` channels, ``H`` height, ``W`` width.
    """

    #: (B, T) int64
    input_ids: torch.Tensor
    #: (B, T) int64; the id itself where it is trained, else -100; not shifted
    labels: torch.Tensor
    #: (B, T) int64; from 0 in every sample; 0 at padding
    position_ids: torch.Tensor
    #: (B, T) int64; which sample of its row a position belongs to, from 1; 0 at padding
    segment_ids: torch.Tensor
    #: (B, T) int64; which of ``pixels`` has its features here; -1 for text and padding
    image_index: torch.Tensor
    #: (N, C, H, W) uint8; the images of all rows, sample by sample, in the order shown
    pixels: torch.Tensor
    #: (N, 2) int64; row, and segment in it, of the sample that each image belongs to
    image_owner: torch.Tensor
    #: per row, per sample
    keys: tuple[tuple[str, ...], ...]
    datasets: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[Mapping[str, str], ...], ...]

    @property
    def num_tokens(self) -> int:
        """Positions that are not padding."""
        return int(self.segment_ids.count_nonzero())

    @property
    def padding_share(self) -> float:
        """Share of the batch's positions that are padding."""
        return 1 - self.num_tokens / self.segment_ids.numel()

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Move all tensors."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Move all tensors to page-locked memory; called by a DataLoader that pins."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        changed: dict[str, Any] = {name: change(tensor) for name, tensor in _tensors(self).items()}
        return replace(self, **changed)


def _tensors(batch: Batch) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class Collator:
    """Makes batches; plain data, for worker processes."""

    #: id at padding
    pad_id: int
    #: channels, height and width of an image, for batches without one
    image_shape: tuple[int, int, int]
    #: rows are as long as the longest, rounded up to a multiple of this
    multiple: int = 8
    #: or all exactly this long
    length: int | None = None

    def __call__(self, rows: Rows) -> Batch:
        """Put rows of samples together.

        Args:
            rows: The samples of each row, at least one row; ``[[a], [b]]`` for one sample a row. A row without samples
                (all were dropped) is padding alone.
        """
        # numpy copies in one thread; torch would wake all threads for it
        return self._batch(rows, torch.from_numpy(np.concatenate(self._pixels(rows))))

    def send(self, rows: Rows, buffers: SharedBuffers) -> Batch | SharedBatch[Batch]:
        """Put rows of samples together in a shared buffer, in a worker process; pixels are copied once.

        Args:
            rows: As for calling.
            buffers: The worker's buffers; a batch that is too large for them is returned as it is.
        """
        batch = self._batch(rows, torch.from_numpy(self._no_image))
        tensors = _tensors(batch)
        pixels = self._pixels(rows)
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
        shapes["pixels"] = torch.Size((sum(map(len, pixels)), *self.image_shape)), torch.uint8
        pieces = {name: [_bytes_of(tensor)] for name, tensor in tensors.items()}
        pieces["pixels"] = [part.reshape(-1) for part in pixels]
        if not buffers.fits(sum(map(len, parts)) for parts in pieces.values()):
            return self(rows)
        rest = {field.name: getattr(batch, field.name) for field in fields(batch) if field.name not in tensors}
        return buffers.send([buffers.write(*parts) for parts in pieces.values()], partial(_unpack, shapes, rest))

    def _pixels(self, rows: Rows) -> list[NDArray[np.uint8]]:
        return [self._no_image, *(sample.pixels.numpy() for row in rows for sample in row)]

    @property
    def _no_image(self) -> NDArray[np.uint8]:
        return np.empty((0, *self.image_shape), dtype=np.uint8)

    def _batch(self, rows: Rows, pixels: torch.Tensor) -> Batch:
        return Batch(
            **self._positions(rows),
            pixels=pixels,
            image_owner=_owners(rows),
            keys=tuple(tuple(sample.key for sample in row) for row in rows),
            datasets=tuple(tuple(sample.dataset for sample in row) for row in rows),
            tags=tuple(tuple(sample.tags for sample in row) for row in rows),
        )

    def _positions(self, rows: Rows) -> dict[str, torch.Tensor]:
        shape = len(rows), self._row_length(rows)
        padding = {"input_ids": self.pad_id, "labels": IGNORED, "position_ids": 0, "segment_ids": 0, "image_index": -1}
        arrays = {name: np.full(shape, value, dtype=np.int64) for name, value in padding.items()}
        num_images = 0
        for number, row in enumerate(rows):
            start = 0
            for segment, sample in enumerate(row, start=1):
                end = start + sample.num_tokens
                _fill({name: array[number, start:end] for name, array in arrays.items()}, sample, segment, num_images)
                start, num_images = end, num_images + len(sample.pixels)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _row_length(self, rows: Rows) -> int:
        longest = max(sum(sample.num_tokens for sample in row) for row in rows)
        if self.length is None:
            return max(1, -(-longest // self.multiple)) * self.multiple
        assert longest <= self.length, f"a row of {longest} positions was planned for {self.length}"
        return self.length


def _fill(positions: Mapping[str, Ints], sample: EncodedSample, segment: int, first_image: int) -> None:
    """Fill the positions of a sample, given as views of the batch's arrays."""
    text = sample.text
    positions["input_ids"][:] = text.input_ids
    positions["labels"][:] = np.where(text.loss_mask, text.input_ids, IGNORED)
    # nothing of this sample comes before its first token, so there is nothing to predict it from
    positions["labels"][:1] = IGNORED
    positions["position_ids"][:] = np.arange(len(text))
    positions["segment_ids"][:] = segment
    image_index = text.image_index.astype(np.int64)
    positions["image_index"][:] = np.where(image_index >= 0, image_index + first_image, -1)


def _owners(rows: Rows) -> torch.Tensor:
    owners = [
        (number, segment)
        for number, row in enumerate(rows)
        for segment, sample in enumerate(row, start=1)
        for _ in range(len(sample.pixels))
    ]
    return torch.tensor(owners, dtype=torch.int64).reshape(-1, 2)


def _bytes_of(tensor: torch.Tensor) -> Bytes:
    flat: Bytes = tensor.view(-1).view(torch.uint8).numpy()
    return flat


def _unpack(
    shapes: Mapping[str, tuple[torch.Size, torch.dtype]], rest: Mapping[str, Any], pieces: Sequence[Bytes]
) -> Batch:
    tensors: dict[str, Any] = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes.items()}
    for tensor, piece in zip(tensors.values(), pieces, strict=True):
        _bytes_of(tensor)[:] = piece
    return Batch(**tensors, **rest)
