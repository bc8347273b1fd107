import time
import tracemalloc
from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.stream import order as order_module
from blender.stream.order import BLOCK, OPEN, Order

sizes = st.lists(st.integers(0, 90), min_size=1, max_size=60).filter(sum)
long_sizes = st.lists(st.integers(5_000, 30_000), min_size=1, max_size=4)
hundred = [1000] * 100

unhurried = settings(deadline=None)


def numbers(shard_sizes, seed=0, *purpose):
    """The pass as numbers of stored samples, those of the first shard first."""
    order = Order(shard_sizes, seed, *purpose)
    shards, rows = order.slice(0, len(order)).T
    starts = np.cumsum([0, *shard_sizes])
    return starts[shards] + rows


def rank_correlation(some, others):
    return np.corrcoef(np.argsort(np.argsort(some)), np.argsort(np.argsort(others)))[0, 1]


def stretches(values, length, step=None):
    return [values[start : start + length] for start in range(0, len(values) - length + 1, step or length)]


@unhurried
@given(st.one_of(sizes, long_sizes), st.integers(0, 99))
def test_every_sample_comes_exactly_once(shard_sizes, seed):
    assert np.array_equal(np.sort(numbers(shard_sizes, seed)), np.arange(sum(shard_sizes)))


@pytest.mark.parametrize("shard_sizes", [[3] * 100_000, [1000] * 5000, [2_000_000] * 3])
def test_an_access_works_out_no_more_than_a_few_thousand_samples(shard_sizes):
    order = Order(shard_sizes, 0)
    with patch.object(order_module, "_blocks", wraps=order_module._blocks) as computed:
        order.slice(len(order) // 2, len(order) // 2 + 64)
    assert 64 <= sum(len(call.args[0]) for call in computed.call_args_list) <= 20_000


def test_tiny_shards_cost_no_more_than_others():
    order = Order([3] * 100_000, 0)
    begin = time.perf_counter()
    order.slice(0, 100_000)
    assert time.perf_counter() - begin < 1


@unhurried
@given(sizes, st.data())
def test_any_stretch_is_the_same_when_it_is_asked_for_alone(shard_sizes, data):
    order = Order(shard_sizes, 0)
    start = data.draw(st.integers(0, len(order)))
    stop = data.draw(st.integers(start, len(order)))
    whole, alone = order.slice(0, len(order)), Order(shard_sizes, 0).slice(start, stop)
    assert np.array_equal(whole[start:stop], alone)


def test_another_seed_or_purpose_gives_another_order():
    orders = [numbers(hundred, seed, *purpose) for seed, purpose in [(0, "a"), (0, "b"), (1, "a"), (0, "ab")]]
    for number, some in enumerate(orders):
        for other in orders[:number]:
            assert np.mean(some == other) < 0.001
            followers, others = (set(zip(o[:-1].tolist(), o[1:].tolist(), strict=True)) for o in (some, other))
            assert len(followers & others) < 0.001 * len(some)


@pytest.mark.parametrize("shard_sizes", [[2000], [1000] * 3, [1000] * 16, [1000] * 40])
def test_when_a_sample_comes_says_little_about_when_it_comes_in_the_next_epoch(shard_sizes):
    turns = [np.argsort(numbers(shard_sizes, 0, epoch)) for epoch in range(6)]
    alike = [abs(np.corrcoef(one, other)[0, 1]) for one, other in combinations(turns, 2)]
    assert np.mean(alike) < 0.2


def visits(shard_sizes):
    """When a shard is opened and closed, and the blocks read between; the shards of the first windows come twice."""
    order = Order(shard_sizes, 0)
    shards, rows = order.slice(0, len(order)).T
    found = []
    for shard in range(len(shard_sizes)):
        places = np.flatnonzero(shards == shard)
        blocks = rows[places] // BLOCK
        cuts = np.flatnonzero(np.diff(blocks) < 0) + 1
        found += zip(np.split(places, cuts), np.split(blocks, cuts), strict=True)
    return found


various = pytest.mark.parametrize("shard_sizes", [hundred, [1000] * 16, [5000] * 20, list(range(200, 1000, 5))])


@various
def test_few_shards_are_open_at_a_time(shard_sizes):
    opened, closed = (np.array([places[end] for places, _ in visits(shard_sizes)]) for end in (0, -1))
    assert max(np.sum((opened <= place) & (closed >= place)) for place in opened) <= OPEN
    assert len(opened) <= len(shard_sizes) + OPEN - 1


@various
def test_one_shard_at_a_time_is_changed_for_another(shard_sizes):
    opened = np.sort([places[0] for places, _ in visits(shard_sizes)])
    assert np.all(opened[:OPEN] < 1000)
    assert np.all(opened[OPEN + 1 :] - opened[OPEN:-1] > 100)


@various
def test_shards_are_read_block_after_block(shard_sizes):
    for _, blocks in visits(shard_sizes):
        assert set(np.diff(blocks)) <= {0, 1}


def test_rows_within_a_block_are_shuffled():
    order = Order(hundred, 0)
    shards, rows = order.slice(0, len(order)).T
    forward = np.concatenate([np.diff(rows[shards == shard]) > 0 for shard in range(100)])
    assert 0.45 < forward.mean() < 0.55


def test_every_stretch_of_64_has_samples_of_nearly_all_open_shards():
    order = Order(hundred, 0)
    shards = order.slice(0, len(order))[:, 0]
    assert min(len(np.unique(stretch)) for stretch in stretches(shards, 64, 7)) >= OPEN - 1


def test_where_a_sample_is_stored_says_nothing_about_when_it_comes():
    stored = numbers([500] * 1000)
    assert abs(rank_correlation(np.arange(len(stored)), stored)) < 0.1
    for stretch in stretches(stored, 16_000):
        assert abs(rank_correlation(np.arange(16_000), stretch)) < 0.25
        assert abs(rank_correlation(np.arange(16_000), stretch % 500)) < 0.05


def test_the_mix_of_datasets_in_batches_is_that_of_a_full_shuffle():
    stored = np.random.default_rng(0).choice(4, 100_000, p=[0.4, 0.3, 0.2, 0.1])
    expected = 64 * np.bincount(stored) / len(stored)
    batches = stretches(stored[numbers(hundred)], 64)
    chi_square = [np.sum((np.bincount(batch, minlength=4) - expected) ** 2 / expected) for batch in batches]
    assert np.mean(chi_square) == pytest.approx(3, abs=0.3)
    assert np.mean(np.array(chi_square) > 7.815) == pytest.approx(0.05, abs=0.02)


def test_batches_are_mixed_even_if_each_shard_is_sorted():
    stored = np.tile(np.repeat(np.arange(4), 250), 100)
    for batch in stretches(stored[numbers(hundred)], 64):
        assert np.bincount(batch, minlength=4).min() >= 8


def test_ten_million_samples_in_ten_thousand_shards_are_ready_at_once():
    tracemalloc.start()
    begin = time.perf_counter()
    order = Order([1000] * 10_000, 0)
    order.slice(9_000_000, 9_000_064)
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(order) == 10_000_000
    assert seconds < 2
    assert peak < 50e6


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 15), st.integers(200, 1000))
def test_few_shards_are_mixed_within_themselves(num_shards, size):
    stored = numbers([size] * num_shards)
    tenths = 10 * np.arange(num_shards * size) // (num_shards * size)
    for stretch in stretches(tenths[stored], num_shards * size // 3):
        assert len(np.unique(stretch)) == 10
