"""Arrays that hold runs: types, and what is often done with the lengths of runs."""

import numpy as np
import numpy.typing as npt

#: integers of any width: arithmetic with Python's integers and with 64 bits is done in 64 bits
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def sums(values: npt.NDArray[np.integer | np.bool_], counts: Ints) -> Ints:
    """Sum runs of values, each ``counts`` long."""
    summed: Ints = np.diff(bounds_of(values)[bounds_of(counts)])
    return summed


def bounds_of(counts: npt.NDArray[np.integer | np.bool_]) -> Ints:
    """Return where each run of ``counts`` elements begins, and where the last one ends; (N + 1,)."""
    bounds: Ints = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return bounds


def starts_of(counts: Ints) -> Ints:
    """Return where each run of ``counts`` elements begins."""
    starts: Ints = np.cumsum(counts, dtype=np.int64) - counts
    return starts


def expand(starts: Ints, counts: Ints) -> Ints:
    """Concatenate the ranges ``starts[i] : starts[i] + counts[i]``."""
    ends = np.cumsum(counts, dtype=np.int64)
    expanded: Ints = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts - starts, counts)
    return expanded


def group_starts(groups: Ints) -> Ints:
    """Return, for each element of a sorted array, the index at which its run of equal values begins."""
    firsts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])) if len(groups) else groups
    counts = np.diff(np.append(firsts, len(groups)))
    return np.repeat(firsts, counts).astype(np.int64, copy=False)
