import json
import pickle
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.stream.mixture import Group, Leaf
from blender.stream.plan import START, Point, StreamPlan

amount = st.one_of(
    st.just({}),
    st.builds(lambda copies: {"repeat": copies}, st.sampled_from([0.5, 1, 2, 2.5, 3.75])),
    st.builds(lambda samples: {"samples": samples}, st.integers(4, 60)),
)
leaves = st.builds(
    lambda sizes, more: (tuple(sizes), more), st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(sum), amount
)
worlds = st.integers(1, 7)
tails = st.sampled_from(["drop", "pad"])

unhurried = settings(deadline=None)


@st.composite
def roots(draw):
    """One to four blends, some in a group."""
    members = [
        Leaf(f"leaf{i}", sizes if sum(sizes) > 3 else (4,), f"hash{i}", **more)
        for i, (sizes, more) in enumerate(draw(st.lists(leaves, min_size=1, max_size=4)))
    ]
    if len(members) == 1:
        return members[0]
    inside = draw(st.integers(0, len(members) - 1))
    if not inside:
        return Group("", tuple(members))
    return Group(
        "", (Group("inner", tuple(members[:inside]), repeat=draw(st.sampled_from([None, 1.5]))), *members[inside:])
    )


@st.composite
def plans(draw, tail=tails):
    root, seed = draw(roots()), draw(st.integers(0, 9))
    size = StreamPlan(root, seed, 1).num_samples
    return StreamPlan(root, seed, draw(st.integers(1, min(20, size))), draw(tail))


def at(plan, point, world):
    """The batch at a point, as the ranks have it, put together."""
    return [slot for rank in range(world) for slot in plan.rank_slice(point, rank, world)]


def consume(plan, point, num_batches, world):
    """Samples of the next batches, with their epochs."""
    seen = []
    for _ in range(num_batches):
        seen += [(point.epoch, draw) for draw in at(plan, point, world) if draw]
        point = plan.after(point)
    return seen, point


def sequence(plan, epoch=0):
    return plan.draws(epoch, 0, plan.num_samples)


def places(draws):
    return [(draw.shard, draw.row) for draw in draws]


@unhurried
@given(plans(), worlds)
def test_all_ranks_together_have_every_sample_once(plan, world):
    seen, end = consume(plan, START, plan.num_batches(), world)
    whole = sequence(plan)
    assert [draw for _, draw in seen] == whole[: len(seen)]
    assert len(seen) == (len(whole) if plan.tail == "pad" else len(whole) // plan.batch_size * plan.batch_size)
    assert end == Point(1, 0)


@unhurried
@given(plans())
def test_an_epoch_has_whole_copies_and_a_part_of_one_more(plan):
    whole = sequence(plan)
    assert len(set(draw[1:] for draw in whole)) == len(whole)
    for number, place in enumerate(plan.mixture.places):
        mine = [draw for draw in whole if draw.leaf == number]
        assert len(mine) == plan.counts(plan.num_samples)[place.path]
        copies = [count for _, count in sorted(Counter(draw.copy for draw in mine).items())]
        assert copies[:-1] == [place.leaf.num_samples] * (len(copies) - 1)
        assert copies[-1] <= place.leaf.num_samples
        assert all(draw.row < place.leaf.shard_sizes[draw.shard] for draw in mine)


@unhurried
@given(plans())
def test_every_leaf_has_its_share_at_every_point(plan):
    shares = [place.share for place in plan.mixture.places]
    counts = [0] * len(shares)
    for position, draw in enumerate(sequence(plan), start=1):
        counts[draw.leaf] += 1
        assert all(abs(count - position * share) < 1 for count, share in zip(counts, shares, strict=True))


@unhurried
@given(plans(), worlds)
def test_every_rank_has_the_same_number_of_slots_in_every_batch(plan, world):
    point = START
    for _ in range(plan.num_batches()):
        slots = [plan.rank_slice(point, rank, world) for rank in range(world)]
        filled = [sum(slot is not None for slot in mine) for mine in slots]
        assert {len(mine) for mine in slots} == {plan.num_slots(world)}
        assert max(filled) - min(filled) <= 1
        assert all(None not in mine[:number] for mine, number in zip(slots, filled, strict=True))
        point = plan.after(point)


@unhurried
@given(plans(), worlds, worlds, st.integers(0, 40), st.integers(1, 20))
def test_a_resumed_run_goes_on_exactly_at_any_world_size(plan, world, new_world, stop, more):
    uninterrupted, _ = consume(plan, START, stop + more, 1)
    before, point = consume(plan, START, stop, world)
    state = json.loads(json.dumps(plan.state_dict(point)))
    again = StreamPlan(plan.root, plan.seed, plan.batch_size, plan.tail)
    resumed = again.load_state_dict(state)
    after, _ = consume(again, resumed, more, new_world)
    assert resumed == point
    assert before + after == uninterrupted


@unhurried
@given(plans(st.just("pad")), st.integers(0, 40), st.integers(1, 20))
def test_a_run_resumed_with_another_batch_size_misses_nothing(plan, stop, new_size):
    before, point = consume(plan, START, min(stop, plan.num_batches() - 1), 1)
    again = StreamPlan(plan.root, plan.seed, new_size, "pad")
    resumed = again.load_state_dict(plan.state_dict(point))
    after, _ = consume(again, resumed, again.num_batches(resumed), 3)
    assert [draw for _, draw in before + after] == sequence(plan)


@unhurried
@given(plans(), st.integers(0, 60), st.integers(0, 60))
def test_steps_add_up(plan, some, more):
    assert plan.after(plan.after(START, some), more) == plan.after(START, some + more)
    one_by_one = START
    for _ in range(some):
        one_by_one = plan.after(one_by_one)
    assert plan.after(START, some) == one_by_one


@unhurried
@given(plans(), st.integers(2, 4), worlds)
def test_workers_that_take_every_kth_batch_have_them_all(plan, workers, world):
    expected, _ = consume(plan, START, 12, world)
    dealt = {}
    for worker in range(workers):
        mine = pickle.loads(pickle.dumps(plan))
        for batch in range(worker, 12, workers):
            point = mine.after(START, batch)
            dealt[batch] = [(point.epoch, draw) for draw in at(mine, point, world) if draw]
    assert [draw for batch in range(12) for draw in dealt[batch]] == expected


big = Leaf("big", (50,) * 40, "hash")


def test_epochs_and_copies_have_orders_of_their_own():
    plan = StreamPlan(Leaf("big", (50,) * 40, "hash", repeat=2.5), 0, 8)
    first, second = sequence(plan), sequence(plan, 1)
    passes = [places([d for d in draws if d.copy == copy]) for draws in (first, second) for copy in range(3)]
    for number, some in enumerate(passes):
        for other in passes[:number]:
            assert sum(a == b for a, b in zip(some, other, strict=False)) < 0.01 * 2000


def test_one_blend_reached_by_two_paths_never_has_the_same_order():
    plan = StreamPlan(Group("", (big, Group("again", (big,)))), 0, 8)
    one, two = (places([draw for draw in sequence(plan) if draw.leaf == leaf]) for leaf in (0, 1))
    assert sorted(one) == sorted(two)
    assert sum(a == b for a, b in zip(one, two, strict=True)) < 0.01 * 2000


def test_another_leaf_beside_it_does_not_change_the_order_of_a_leaf():
    alone = places(sequence(StreamPlan(big, 0, 8)))
    both = sequence(StreamPlan(Group("", (Leaf("small", (30,), "other"), big)), 0, 8))
    assert places([draw for draw in both if draw.leaf == 1]) == alone


def test_every_ranks_part_of_a_batch_has_the_shares_of_the_whole():
    plan = StreamPlan(Group("", (big, Leaf("other", (2000,), "other"))), 0, 64)
    for rank in range(4):
        assert Counter(draw.leaf for draw in plan.rank_slice(START, rank, 4)) == {0: 8, 1: 8}


mixture = Group("", (big, Group("inner", (Leaf("a", (9, 9), "hash-a"),))))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Group("", (Leaf("big", (50,) * 40, "changed"), *mixture.members[1:])),
            "the stream state was made for another blend big: hash, not changed",
        ),
        (big, "the stream state was made with the blend inner/a, which is not streamed now"),
        (
            Group("", (*mixture.members, Leaf("new", (5,), "new"))),
            "the stream state was made without the blend new, which is streamed now",
        ),
        (
            Group("", mixture.members, repeat=2),
            "the stream state was made with other shares or shards of the same blends",
        ),
    ],
)
def test_a_state_of_other_data_is_refused(other, message):
    state = StreamPlan(mixture, 0, 8).state_dict(Point(1, 16))
    with pytest.raises(StreamError) as caught:
        StreamPlan(other, 0, 8).load_state_dict(state)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "the stream state has version 2, and this program continues version 1"),
        ({"seed": 5}, "the stream state was made with seed 5, not 0"),
        ({"position": 17}, "the stream state is damaged: its counts do not agree"),
        ({"position": 10**9}, "the stream state is damaged: its counts do not agree"),
        ({"epoch": "one"}, "the stream state cannot be read: Expected `int`, got `str` - at `$.epoch`"),
    ],
)
def test_a_state_that_does_not_hold_is_refused(change, message):
    plan = StreamPlan(mixture, 0, 8)
    with pytest.raises(StreamError) as caught:
        plan.load_state_dict({**plan.state_dict(Point(1, 16)), **change})
    assert caught.value.message == message


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(StreamError, match="an epoch has 18 samples, which do not fill a batch of 20"):
        StreamPlan(Leaf("a", (9, 9), "hash"), 0, 20)
    assert StreamPlan(Leaf("a", (9, 9), "hash"), 0, 20, "pad").num_batches() == 1


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99))
def test_the_first_batch_after_a_resume_comes_as_fast_as_the_first_of_an_epoch(seed):
    members = tuple(Leaf(f"leaf{i}", (1000,) * 2000, f"hash{i}") for i in range(5))
    plan = StreamPlan(Group("", members), seed, 512)
    state = plan.state_dict(plan.after(START, int(0.9 * plan.num_batches())))

    def first_batch(state):
        fresh = StreamPlan(Group("", members), seed, 512)
        begin = time.perf_counter()
        fresh.rank_slice(fresh.load_state_dict(state) if state else START, 0, 8)
        return time.perf_counter() - begin

    assert min(first_batch(state) for _ in range(3)) < 2 * min(first_batch(None) for _ in range(3)) + 0.02
