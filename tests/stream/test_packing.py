"""Which samples share a row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.stream.packing import pack_rows

lengths = st.lists(st.integers(1, 100), max_size=120)


@settings(deadline=None)
@given(lengths=lengths, window=st.integers(1, 40))
def test_packing_keeps_every_sample_once_and_fits(lengths, window):
    rows = [row.tolist() for row in pack_rows(lengths, 100, window)]
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(lengths[place] for place in row) <= 100
        assert row == sorted(row)
        assert row[0] // window == row[-1] // window
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


@settings(deadline=None)
@given(lengths=lengths, window=st.integers(1, 40), num_windows=st.integers(0, 5))
def test_packed_windows_do_not_depend_on_what_follows(lengths, window, num_windows):
    whole, part = pack_rows(lengths, 100, window), pack_rows(lengths[: num_windows * window], 100, window)
    assert [row.tolist() for row in whole][: len(part)] == [row.tolist() for row in part]


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_packing_is_first_fit_longest_first(lengths):
    free, rows = [], []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        row = next((number for number, room in enumerate(free) if room >= lengths[place]), len(free))
        if row == len(free):
            free.append(100)
            rows.append([])
        free[row] -= lengths[place]
        rows[row].append(place)
    expected = sorted(sorted(row) for row in rows)
    assert [row.tolist() for row in pack_rows(lengths, 100, len(lengths))] == expected


def test_rows_are_well_filled():
    lengths = np.random.default_rng(0).lognormal(6.3, 0.6, 20_000).astype(int).clip(20, 4096)
    fill = {window: lengths.sum() / len(pack_rows(lengths, 4096, window)) / 4096 for window in (1, 16, 64, 256)}
    assert fill[1] < 0.2
    assert fill[64] > 0.93
    assert fill[256] > 0.97


@pytest.mark.parametrize("length", [0, 101])
def test_lengths_that_fit_no_row_are_refused(length):
    with pytest.raises(ValueError, match="cannot be packed into rows of 100"):
        pack_rows([5, length, 50], 100, 10)
