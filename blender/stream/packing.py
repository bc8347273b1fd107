"""Which samples share a row of a packed batch, planned from their lengths alone, before anything is read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: windows that are packed at once: enough to keep numpy busy, few enough to stay in the processor's cache
_WINDOWS_AT_ONCE = 2048


@dataclass(frozen=True)
class PackedRows:
    """Which samples share a row; ``packed[row]`` are their positions, ascending."""

    #: positions of all samples, row by row
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
    """Plan which samples share a row: first fit, longest first, among each ``window`` consecutive samples.

    Windows are packed independently: the rows of the first windows do not depend on what comes after. Rows are in the
    order of their first samples.

    Args:
        lengths: (n,) positions of each sample, in the order of the epoch; from 1 to ``max_tokens``.
        max_tokens: Positions of a row.
        window: Samples of a window. A larger one fills rows better, and puts samples into a row from farther apart.

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
    for rank in range(window):
        sample = longest_first[:, rank]
        length = windows[every, sample]
        # the last column is always an unused row, so there is always a fit
        row = (free >= length[:, None]).argmax(axis=1)
        free[every, row] -= length
        rows[every, sample] = row
        if (row == free.shape[1] - 1).any():
            free = np.concatenate([free, np.full((count, 1), max_tokens, dtype=np.int32)], axis=1)
    first = np.full(free.shape, window, dtype=np.int64)
    np.minimum.at(first, (every[:, None], rows), np.arange(window))
    return np.take_along_axis(first, rows, axis=1)
