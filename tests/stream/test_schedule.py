from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from blender.stream import schedule
from blender.stream.schedule import Schedule

share = st.one_of(st.integers(1, 5), st.integers(1, 60), st.integers(1, 400))
#: similar ones put anchors close to each other
shares = st.one_of(
    st.lists(share, min_size=1, max_size=24), st.lists(st.integers(20, 60), min_size=6, max_size=24, unique=True)
)
#: small blocks: many anchors in few draws
blocks = st.sampled_from([1, 2, 3, 7, 16, 64])

unhurried = settings(deadline=None)


def make(shares, length, block):
    with patch.object(schedule, "BLOCK", block):
        made = Schedule(shares, length)
        return made.slice(0, length)


def running_counts(leaves, num_leaves):
    drawn = leaves[:, None] == np.arange(num_leaves)
    return np.concatenate([np.zeros((1, num_leaves), int), np.cumsum(drawn, axis=0)])


def long_enough(shares, length):
    return max(length, -(-sum(shares) // min(shares)))


@settings(max_examples=300, deadline=None)
@given(shares, st.integers(1, 1500), blocks)
def test_every_count_is_within_one_of_its_share_at_every_point(shares, length, block):
    length = long_enough(shares, length)
    assume(length < 5000)
    counts = running_counts(make(shares, length, block), len(shares))
    away = counts * sum(shares) - np.arange(length + 1)[:, None] * np.array(shares)
    assert np.abs(away).max() < sum(shares)


@unhurried
@given(shares, st.integers(1, 1500), blocks, st.data())
def test_any_stretch_is_the_same_when_it_is_asked_for_alone(shares, length, block, data):
    length = long_enough(shares, length)
    assume(length < 5000)
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    whole = make(shares, length, block)
    with patch.object(schedule, "BLOCK", block):
        alone, counted = Schedule(shares, length).slice(start, stop), Schedule(shares, length).counts(start)
    assert np.array_equal(alone, whole[start:stop])
    assert np.array_equal(counted, running_counts(whole, len(shares))[start])


@unhurried
@given(shares, st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_jumping_back_and_forth_gives_the_same(shares, starts):
    length = long_enough(shares, 1000)
    with patch.object(schedule, "BLOCK", 16):
        whole, made = Schedule(shares, length).slice(0, length), Schedule(shares, length)
        for start in starts:
            assert np.array_equal(made.slice(start, start + 40), whole[start : start + 40])


@unhurried
@given(st.lists(st.integers(1, 300), min_size=1, max_size=12))
def test_shares_that_are_counts_are_met_exactly_at_the_end(counts):
    made = Schedule(counts, sum(counts))
    assert made.counts(sum(counts)).tolist() == counts
    assert np.bincount(made.slice(0, sum(counts))).tolist() == counts


def test_an_epoch_may_end_soon_after_an_anchor():
    shares = [12, 8, 8, 8, 7, 5]
    with patch.object(schedule, "BLOCK", 1):
        for length in range(10, 60):
            counts = running_counts(Schedule(shares, length).slice(0, length), 6)
            assert np.abs(counts * 48 - np.arange(length + 1)[:, None] * np.array(shares)).max() < 48


def test_shares_beyond_64_bits_are_exact():
    small, large = [3, 5, 11], [3 * 10**30, 5 * 10**30, 11 * 10**30]
    assert np.array_equal(Schedule(small, 5000).slice(0, 5000), Schedule(large, 5000).slice(0, 5000))


def test_two_equal_leaves_take_turns():
    pairs = Schedule([1, 1], 100).slice(0, 100).reshape(-1, 2)
    assert np.all(pairs.sum(axis=1) == 1)


def test_little_is_worked_out_for_an_access_far_into_an_epoch():
    made = Schedule([123_457, 998_877, 55_555, 777_777], 10_000_000)
    with patch.object(schedule, "_earliest_first", wraps=schedule._earliest_first) as serve:
        made.slice(9_000_000, 9_000_064)
    assert serve.call_count <= 2


@pytest.mark.parametrize("num_leaves", [1, 2, 7])
def test_only_what_is_consumed_is_worked_out(num_leaves):
    made = Schedule([3] * num_leaves, 10_000_000)
    with patch.object(schedule, "_earliest_first", wraps=schedule._earliest_first) as serve:
        for start in range(0, 3 * schedule.BLOCK, 512):
            made.slice(start, start + 512)
            made.counts(start)
    assert serve.call_count == (3 if num_leaves > 1 else 0)
