"""Strings as numbers: hashes of 128 bits, compared in place of the strings.

Of 100 million different strings two have the same 128 bits with a probability below 1e-22.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from blender.core.arrays import Ints


def hash_names(names: pl.Series) -> pl.DataFrame:
    """Hash strings: ``hash`` and ``hash2``, 64 bits each."""
    return pl.DataFrame({"hash": names.hash(seed=1), "hash2": names.hash(seed=2)})


def number_by_hash(hashes: pl.DataFrame) -> tuple[npt.NDArray[np.uint32], Ints]:
    """Number hashes in the order of first use.

    Args:
        hashes: ``hash`` and ``hash2`` of N strings.

    Returns:
        (N,) the number of each, and of each number the first row that has it.
    """
    first, second = hashes["hash"].to_numpy(), hashes["hash2"].to_numpy()
    order = np.argsort(first, kind="stable")
    is_new = np.ones(len(order), bool)
    is_new[1:] = first[order[1:]] != first[order[:-1]]
    if not _agree(second[order], is_new):
        order = np.lexsort((second, first))
        is_new[1:] = (first[order[1:]] != first[order[:-1]]) | (second[order[1:]] != second[order[:-1]])
    # within equal hashes the order is stable: the first of each run is its first use
    firsts = order[is_new]
    run = np.cumsum(is_new, dtype=np.uint32)
    run -= 1
    by_first_use = np.argsort(firsts, kind="stable")
    number_of_run = np.empty(len(firsts), np.uint32)
    number_of_run[by_first_use] = np.arange(len(firsts), dtype=np.uint32)
    numbers = np.empty(len(order), np.uint32)
    numbers[order] = number_of_run[run]
    return numbers, firsts[by_first_use]


def _agree(second: npt.NDArray[np.uint64], is_new: npt.NDArray[np.bool_]) -> bool:
    """Tell whether rows with the same first half have the same second half."""
    return bool(((second[1:] == second[:-1]) | is_new[1:]).all())
