"""Packed rows: the plan's own sequence, packed window by window, whoever asks for which part of it."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.stream import dealing
from blender.stream.collate import pack_rows
from blender.stream.dealing import PackedDeal
from blender.stream.mixture import Group, Leaf
from blender.stream.plan import START, Point, StreamPlan

MIXTURE = Group("", (Leaf("a", (50,) * 6, "hash-a"), Group("g", (Leaf("b", (33, 7), "hash-b", repeat=2.5),))))
MAX_TOKENS = 100


@st.composite
def deals(draw):
    random = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = {"a": random.integers(0, MAX_TOKENS, 300), "g/b": random.integers(0, MAX_TOKENS, 40)}
    deal = PackedDeal(MIXTURE, draw(st.integers(0, 9)), draw(st.integers(1, 9)), lengths, MAX_TOKENS, 32, "pad")
    return deal, lengths


def at(deal, point, world=1):
    return [row for rank in range(world) for row in deal.rows(point, rank, world)]


def epoch_of(deal, epoch, world=1):
    point, made = Point(epoch, 0), []
    while point.epoch == epoch:
        made += [row for row in at(deal, point, world) if row]
        point = deal.after(point)
    return made


@settings(max_examples=25)
@given(deals(), st.integers(0, 2), st.integers(1, 5))
def test_an_epoch_is_the_plans_sequence_packed_as_a_whole(made, epoch, world):
    deal, lengths = made
    plan = StreamPlan(MIXTURE, deal._plan.seed, 1)
    draws = plan.draws(epoch, 0, plan.num_samples)
    counts = [lengths["g/b" if draw.leaf else "a"][(33 if draw.leaf else 50) * draw.shard + draw.row] for draw in draws]
    packed = pack_rows(np.maximum(counts, 1), MAX_TOKENS, 32)
    assert epoch_of(deal, epoch, world) == [[draws[place] for place in packed[row]] for row in range(len(packed))]


@settings(max_examples=25)
@given(deals(), st.integers(1, 7))
def test_how_many_windows_are_packed_at_once_changes_nothing(made, at_once):
    deal, lengths = made
    expected = epoch_of(deal, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealing, "_WINDOWS_AT_ONCE", at_once)
        again = PackedDeal(MIXTURE, deal._plan.seed, 3, lengths, MAX_TOKENS, 32, "pad")
        assert epoch_of(again, 1) == expected


@settings(max_examples=25)
@given(deals(), st.integers(0, 30), st.integers(1, 6))
def test_what_comes_next_is_told_ahead(made, stop, more):
    deal, _ = made
    point = deal.after(START, stop)
    more = min(more, deal.num_batches(point))
    told = deal.upcoming(point, more)
    assert told == [draw for batch in range(more) for row in at(deal, deal.after(point, batch)) for draw in row]


def test_a_million_samples_are_packed_in_a_second():
    lengths = np.random.default_rng(0).integers(300, 1100, 1_000_000, dtype=np.int32)
    begun = time.process_time()
    deal = PackedDeal(Leaf("a", (1000,) * 1000, "hash"), 0, 64, {"a": lengths}, 4096)
    deal.rows(deal.after(START, int(0.9 * deal.num_batches())), 0, 8)
    assert time.process_time() - begun < 3, "half a second when the machine is idle"
