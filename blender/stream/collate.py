"""Put encoded samples together: one a row, or several a row, packed.

There is one kind of batch. A row holds one or more samples one after the other; segment numbers say which, positions
start again at 0 with each, and the first label of each is masked, so that no loss is taken across the seam. Which
samples share a row is planned from lengths alone (:func:`pack_rows`), before anything is read, so that packing is part
of the exact order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from blender.stream.encode import Encoded
from blender.stream.slots import Bytes, Sent, Slots, Span

#: label of positions that no loss falls on, as PyTorch's cross entropy has it
IGNORED = -100
#: windows that are packed at once: enough to keep numpy busy, few enough to stay in the cache
_WINDOWS_AT_ONCE = 2048


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
        return self._change(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Move all tensors to page-locked memory; called by a DataLoader that pins."""
        return self._change(torch.Tensor.pin_memory)

    def _change(self, change: Any) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: change(value) for n, value in values.items() if isinstance(value, torch.Tensor)})


#: where a tensor lies in a slot, its shape and type
_Placed = tuple[Span, torch.Size, torch.dtype]


def _place(tensors: Sequence[torch.Tensor], slots: Slots) -> _Placed:
    """Put tensors into a slot as if they had been concatenated."""
    first = tensors[0]
    shape = torch.Size((sum(map(len, tensors)), *first.shape[1:]))
    return slots.write(*map(_bytes_of, tensors)), shape, first.dtype


def _bytes_of(tensor: torch.Tensor) -> Bytes:
    flat: Bytes = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return flat


def _unpack(content: Bytes, beside: tuple[Mapping[str, _Placed], Mapping[str, Any]]) -> Batch:
    placed, others = beside
    tensors: dict[str, Any] = {name: torch.empty(shape, dtype=dtype) for name, (_, shape, dtype) in placed.items()}
    for name, ((start, end), _, _) in placed.items():
        _bytes_of(tensors[name])[:] = content[start:end]
    return Batch(**tensors, **others)


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

    def __call__(self, rows: Sequence[Sequence[Encoded]]) -> Batch:
        """Put rows of samples together.

        Args:
            rows: The samples of each row, at least one row; ``[[a], [b]]`` for one sample a row. A row without samples
                (all were dropped) is padding alone.
        """
        images = [sample.pixels.numpy() for row in rows for sample in row]
        # numpy copies; torch would wake all threads for it
        return self._batch(rows, torch.from_numpy(np.concatenate([self._no_image, *images])))

    def send(self, rows: Sequence[Sequence[Encoded]], slots: Slots) -> Batch | Sent[Batch]:
        """Put rows of samples together in a slot, in a worker process; pixels are copied once, from sample to slot.

        Args:
            rows: As for calling.
            slots: The worker's slots; what is too large for one is returned as if it were called.
        """
        batch = self._batch(rows, torch.from_numpy(self._no_image))
        values = {f.name: getattr(batch, f.name) for f in fields(batch)}
        pieces = {name: [value] for name, value in values.items() if isinstance(value, torch.Tensor)}
        pieces["pixels"] += [sample.pixels for row in rows for sample in row]
        if not slots.has_room([sum(tensor.nbytes for tensor in tensors) for tensors in pieces.values()]):
            return self(rows)
        placed = {name: _place(tensors, slots) for name, tensors in pieces.items()}
        return slots.send(_unpack, (placed, {name: values[name] for name in values.keys() - pieces.keys()}))

    @property
    def _no_image(self) -> NDArray[np.uint8]:
        return np.empty((0, *self.image_shape), dtype=np.uint8)

    def _batch(self, rows: Sequence[Sequence[Encoded]], pixels: torch.Tensor) -> Batch:
        return Batch(
            **self._positions(rows),
            pixels=pixels,
            image_owner=_owners(rows),
            keys=tuple(tuple(sample.key for sample in row) for row in rows),
            datasets=tuple(tuple(sample.dataset for sample in row) for row in rows),
            tags=tuple(tuple(sample.tags for sample in row) for row in rows),
        )

    def _positions(self, rows: Sequence[Sequence[Encoded]]) -> dict[str, torch.Tensor]:
        shape = len(rows), self._row_length(rows)
        names = {"input_ids": self.pad_id, "labels": IGNORED, "position_ids": 0, "segment_ids": 0, "image_index": -1}
        filled = {name: torch.full(shape, value, dtype=torch.int64) for name, value in names.items()}
        num_images = 0
        for number, row in enumerate(rows):
            start = 0
            for segment, sample in enumerate(row, start=1):
                end = start + sample.num_tokens
                place = {name: tensor[number, start:end] for name, tensor in filled.items()}
                _fill(place, sample, segment, num_images)
                start, num_images = end, num_images + len(sample.pixels)
        return filled

    def _row_length(self, rows: Sequence[Sequence[Encoded]]) -> int:
        longest = max(sum(sample.num_tokens for sample in row) for row in rows)
        if self.length is None:
            return max(1, -(-longest // self.multiple)) * self.multiple
        assert longest <= self.length, f"a row of {longest} positions was planned for {self.length}"
        return self.length


def _fill(place: dict[str, torch.Tensor], sample: Encoded, segment: int, first_image: int) -> None:
    place["input_ids"].copy_(sample.input_ids)
    place["labels"].copy_(sample.input_ids.to(torch.int64).masked_fill(~sample.loss_mask, IGNORED))
    # nothing of this sample stands before its first token to tell it from
    place["labels"][:1] = IGNORED
    place["position_ids"].copy_(torch.arange(sample.num_tokens))
    place["segment_ids"].fill_(segment)
    image_index = sample.image_index.to(torch.int64)
    place["image_index"].copy_(torch.where(image_index >= 0, image_index + first_image, -1))


def _owners(rows: Sequence[Sequence[Encoded]]) -> torch.Tensor:
    owners = [
        (number, segment)
        for number, row in enumerate(rows)
        for segment, sample in enumerate(row, start=1)
        for _ in range(len(sample.pixels))
    ]
    return torch.tensor(owners, dtype=torch.int64).reshape(-1, 2)


def may_attend(segment_ids: torch.Tensor) -> torch.Tensor:
    """Say which keys a query may look at: those of its own sample, up to itself.

    Args:
        segment_ids: (B, T), as in a batch.

    Returns:
        (B, 1, T, T) bool, queries before keys. Padding looks at padding, so that no query is without a key. PyTorch's
        own attention takes it as it is; transformers' ``eager`` one adds what it is given, and wants 0 and -inf.
    """
    same = segment_ids[:, None, :, None] == segment_ids[:, None, None, :]
    return same.tril()


@dataclass(frozen=True)
class PackedRows:
    """Which samples share a row; ``packed[row]`` are their places, rising."""

    #: places of all samples, row by row
    order: NDArray[np.int64] | NDArray[np.int32]
    #: where each row begins in ``order``, and its length at the end
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> NDArray[np.int64] | NDArray[np.int32]:
        """Return the samples of a row.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self.order[self.starts[row] : self.starts[row + 1]]


def pack_rows(lengths: ArrayLike, max_tokens: int, window: int) -> PackedRows:
    """Plan which samples share a row: first fit, longest first, among each ``window`` samples that follow each other.

    Windows are packed for themselves: the rows of the first windows do not depend on what comes after. Rows come in the
    order of their first samples.

    Args:
        lengths: (n,) positions of each sample, in the order of the epoch; from 1 to ``max_tokens``.
        max_tokens: Positions of a row.
        window: Samples of a window. More of them fill rows better, and take samples of a row from farther apart.

    Raises:
        ValueError: A length is out of range.
    """
    array = np.asarray(lengths, dtype=np.int64)
    if len(array) and not 1 <= array.min() <= array.max() <= max_tokens:
        raise ValueError(f"lengths from {array.min()} to {array.max()} cannot be packed into rows of {max_tokens}")
    num_windows = -(-len(array) // window)
    padded = np.zeros(num_windows * window, dtype=np.int32)
    padded[: len(array)] = array
    windows = padded.reshape(num_windows, window)
    step = _WINDOWS_AT_ONCE
    firsts = [_first_in_row(windows[start : start + step], max_tokens) for start in range(0, num_windows, step)]
    within = np.concatenate([np.zeros((0, window), dtype=np.int64), *firsts])
    first = (within + np.arange(num_windows)[:, None] * window).ravel()[: len(array)]
    order = np.argsort(first, kind="stable")
    seams = np.flatnonzero(np.diff(first[order], prepend=-1))
    return PackedRows(order, np.append(seams, len(array)))


def _first_in_row(windows: NDArray[np.int32], max_tokens: int) -> NDArray[np.int64]:
    """Return (windows, samples): the first sample of the row that each sample goes to, all windows at once."""
    count, window = windows.shape
    every = np.arange(count)
    longest_first = np.argsort(-windows, axis=1, kind="stable")
    free = np.full((count, 1), max_tokens, dtype=np.int32)
    rows = np.zeros((count, window), dtype=np.int64)
    for place in range(window):
        sample = longest_first[:, place]
        length = windows[every, sample]
        # the last column is never used yet, so there is always a fit
        row = (free >= length[:, None]).argmax(axis=1)
        free[every, row] -= length
        rows[every, sample] = row
        if (row == free.shape[1] - 1).any():
            free = np.concatenate([free, np.full((count, 1), max_tokens, dtype=np.int32)], axis=1)
    first = np.full(free.shape, window, dtype=np.int64)
    np.minimum.at(first, (every[:, None], rows), np.arange(window))
    return np.take_along_axis(first, rows, axis=1)
