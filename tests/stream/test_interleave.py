from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.stream.interleave import MAX_SAMPLES, Interleaving

#: counts of like and unlike size
counts = st.one_of(
    st.lists(st.integers(1, 400), min_size=1, max_size=24),
    st.lists(st.sampled_from([1, 2, 3, 5, 50, 500]), min_size=1, max_size=40),
)
#: published datasets of a blend of nine; and mixtures with one component that outweighs all others
NINE = [8_147, 5_668, 3_000, 2_000, 1_000, 900, 750, 501, 300]
ODD = [*range(21, 121, 2), 5_000]


def running_counts(components, num_components):
    drawn = components[:, None] == np.arange(num_components)
    return np.concatenate([np.zeros((1, num_components), int), np.cumsum(drawn, axis=0)])


def largest_error(amounts):
    """How far a component is away from its share, at most, over all positions."""
    components = Interleaving(amounts).slice(0, sum(amounts))
    exact = np.arange(sum(amounts) + 1)[:, None] * np.array(amounts) / sum(amounts)
    return np.abs(running_counts(components, len(amounts)) - exact).max()


@given(counts)
def test_every_count_is_within_two_of_its_share_at_every_point(amounts):
    assert largest_error(amounts) < 2


@pytest.mark.parametrize(("amounts", "error"), [(NINE, 1.05), (ODD, 1.0), ([500] * 60, 1.0), ([3, 1000], 0.5)])
def test_how_far_counts_are_from_their_shares(amounts, error):
    assert largest_error(amounts) <= error


@given(counts)
def test_at_the_end_the_counts_are_exact(amounts):
    assert np.bincount(Interleaving(amounts).slice(0, sum(amounts))).tolist() == amounts


@given(counts, st.data())
def test_any_stretch_is_the_same_when_it_is_computed_alone(amounts, data):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, sum(amounts))] * 2)))
    interleaving = Interleaving(amounts)
    whole = interleaving.slice(0, sum(amounts))
    assert np.array_equal(interleaving.slice(start, stop), whole[start:stop])
    assert np.array_equal(interleaving.counts(start), running_counts(whole, len(amounts))[start])


def test_two_equal_components_take_turns():
    pairs = Interleaving([50, 50]).slice(0, 100).reshape(-1, 2)
    assert np.all(pairs.sum(axis=1) == 1)


def test_the_longest_epoch_is_computed_without_overflow():
    interleaving = Interleaving([MAX_SAMPLES - 1_000_001, 1_000_000, 1])
    ends = [MAX_SAMPLES * part // 4 for part in range(5)]
    before = [interleaving.counts(end) for end in ends]
    assert all((late >= early).all() for early, late in pairwise(before))
    last = interleaving.slice(MAX_SAMPLES - 10_000, MAX_SAMPLES)
    assert (interleaving.counts(MAX_SAMPLES - 10_000) + np.bincount(last, minlength=3)).tolist() == before[-1].tolist()
    assert before[-1].tolist() == [MAX_SAMPLES - 1_000_001, 1_000_000, 1]
