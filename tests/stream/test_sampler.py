"""The sequence of a mixture, cut into batches, rows and ranks, and continued from states."""

import json
import pickle
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.stream import sampler as sampler_module
from blender.stream.mixture import Component, MixtureGroup, mix
from blender.stream.packing import pack_rows
from blender.stream.sampler import START, BatchSampler, PackedBatchSampler, StreamPosition
from blender.stream.sequence import SampleReference, SampleSequence

amount = st.one_of(
    st.just({}),
    st.builds(lambda copies: {"repeat": copies}, st.sampled_from([0.5, 1, 2, 2.5, 3.75])),
    st.builds(lambda samples: {"samples": samples}, st.integers(4, 60)),
)
components = st.builds(
    lambda sizes, more: (tuple(sizes), more), st.lists(st.integers(0, 9), min_size=1, max_size=20).filter(sum), amount
)
worlds = st.integers(1, 7)
tails = st.sampled_from(["drop", "pad"])


@st.composite
def mixtures(draw):
    """One to four blends, some in a group."""
    members = [
        Component(f"part{i}", sizes if sum(sizes) > 3 else (4,), f"hash{i}", **more)
        for i, (sizes, more) in enumerate(draw(st.lists(components, min_size=1, max_size=4)))
    ]
    if len(members) == 1:
        return mix(members[0])
    inside = draw(st.integers(0, len(members) - 1))
    if not inside:
        return mix(MixtureGroup("", tuple(members)))
    inner = MixtureGroup("inner", tuple(members[:inside]), repeat=draw(st.sampled_from([None, 1.5])))
    return mix(MixtureGroup("", (inner, *members[inside:])))


@st.composite
def samplers(draw, tail=tails):
    mixture, seed = draw(mixtures()), draw(st.integers(0, 9))
    return BatchSampler(mixture, seed, draw(st.integers(1, min(20, mixture.num_samples))), draw(tail))


def again(sampler, batch_size=None, tail=None):
    sequence = sampler.sequence
    return BatchSampler(sequence.mixture, sequence.seed, batch_size or sampler.batch_size, tail or sampler.tail)


def at(sampler, position, world=1):
    """The rows of the batch at a position, of all ranks together."""
    return [row for rank in range(world) for row in sampler.rows(position, rank, world)]


def consume(sampler, position, num_batches, world):
    """Samples of the next batches, with their epochs."""
    seen = []
    for _ in range(num_batches):
        seen += [(position.epoch, reference) for row in at(sampler, position, world) for reference in row]
        position = sampler.after(position)
    return seen, position


def references(sampler, epoch=0):
    sequence = sampler.sequence
    return [SampleReference(*fields) for fields in sequence.slice(epoch, 0, len(sequence)).tolist()]


def of_component(references, number=0):
    return [(reference.shard, reference.row) for reference in references if reference.component == number]


@given(samplers(), worlds)
def test_all_ranks_together_have_every_sample_once(sampler, world):
    seen, end = consume(sampler, START, sampler.num_batches(), world)
    whole = references(sampler)
    assert [reference for _, reference in seen] == whole[: len(seen)]
    num_full = len(whole) // sampler.batch_size * sampler.batch_size
    assert len(seen) == (len(whole) if sampler.tail == "pad" else num_full)
    assert end == StreamPosition(1, 0)


@given(mixtures(), st.integers(0, 9))
def test_an_epoch_has_whole_copies_and_a_part_of_one_more(mixture, seed):
    whole = references(BatchSampler(mixture, seed, 1))
    assert len(whole) == mixture.num_samples
    for number, (component, count) in enumerate(zip(mixture.components.values(), mixture.counts, strict=True)):
        own, size = of_component(whole, number), component.num_samples
        assert len(own) == count
        for first in range(0, count, size):
            copy = own[first : first + size]
            assert len(set(copy)) == len(copy)
        assert all(row < component.shard_sizes[shard] for shard, row in own)


@given(mixtures(), st.integers(0, 9))
def test_every_component_has_its_share_at_every_point(mixture, seed):
    sequence = SampleSequence(mixture, seed)
    drawn = sequence.slice(0, 0, len(sequence))[:, :1] == np.arange(len(mixture.counts))
    exact = np.arange(1, len(sequence) + 1)[:, None] * np.array(mixture.counts) / len(sequence)
    assert np.abs(np.cumsum(drawn, axis=0) - exact).max() < 2
    assert all(abs(c - s * len(sequence)) < 1 for c, s in zip(mixture.counts, mixture.shares, strict=True))


@given(samplers(), worlds)
def test_every_rank_has_the_same_number_of_rows_in_every_batch(sampler, world):
    position = START
    for _ in range(sampler.num_batches()):
        rows = [sampler.rows(position, rank, world) for rank in range(world)]
        filled = [sum(map(bool, mine)) for mine in rows]
        assert {len(mine) for mine in rows} == {-(-sampler.batch_size // world)}
        assert max(filled) - min(filled) <= 1
        assert all([] not in mine[:number] for mine, number in zip(rows, filled, strict=True))
        position = sampler.after(position)


@given(samplers(), worlds, worlds, st.integers(0, 40), st.integers(1, 20))
def test_a_resumed_run_continues_exactly_at_any_world_size(sampler, world, new_world, stop, more):
    uninterrupted, _ = consume(sampler, START, stop + more, 1)
    before, position = consume(sampler, START, stop, world)
    state = json.loads(json.dumps(sampler.state_dict(position)))
    fresh = again(sampler)
    resumed = fresh.load_state_dict(state)
    after, _ = consume(fresh, resumed, more, new_world)
    assert resumed == position
    assert before + after == uninterrupted


@given(samplers(st.just("pad")), st.integers(0, 40), st.integers(1, 20))
def test_a_run_resumed_with_another_batch_size_misses_nothing(sampler, stop, new_size):
    before, position = consume(sampler, START, min(stop, sampler.num_batches() - 1), 1)
    fresh = again(sampler, new_size)
    resumed = fresh.load_state_dict(sampler.state_dict(position))
    after, _ = consume(fresh, resumed, fresh.num_batches(resumed), 3)
    assert [reference for _, reference in before + after] == references(sampler)


@given(samplers(), st.integers(0, 60), st.integers(0, 60))
def test_steps_add_up(sampler, some, more):
    assert sampler.after(sampler.after(START, some), more) == sampler.after(START, some + more)
    one_by_one = START
    for _ in range(some):
        one_by_one = sampler.after(one_by_one)
    assert sampler.after(START, some) == one_by_one


@given(samplers(), st.integers(2, 4), worlds)
def test_workers_that_take_every_kth_batch_have_them_all(sampler, workers, world):
    expected, _ = consume(sampler, START, 12, world)
    seen = {}
    for worker in range(workers):
        mine = pickle.loads(pickle.dumps(sampler))
        for batch in range(worker, 12, workers):
            seen[batch], _ = consume(mine, mine.after(START, batch), 1, world)
    assert [reference for batch in range(12) for reference in seen[batch]] == expected


BIG = Component("big", (50,) * 40, "hash")
MIXED = MixtureGroup("", (BIG, MixtureGroup("inner", (Component("a", (9, 9), "hash-a"),))))


def sampler_of(root, batch_size=8, **options):
    return BatchSampler(mix(root), 0, batch_size, **options)


def same_share(some, others):
    return sum(a == b for a, b in zip(some, others, strict=False)) / 2000


def test_epochs_and_copies_have_orders_of_their_own():
    sampler = sampler_of(Component("big", (50,) * 40, "hash", repeat=2.5))
    own = [of_component(references(sampler, epoch)) for epoch in range(2)]
    copies = [each[first : first + 2000] for each in own for first in (0, 2000, 4000)]
    for number, some in enumerate(copies):
        for other in copies[:number]:
            assert same_share(some, other) < 0.01


def test_one_blend_at_two_paths_never_has_the_same_order():
    sampler = sampler_of(MixtureGroup("", (BIG, MixtureGroup("again", (BIG,)))))
    one, two = (of_component(references(sampler), number) for number in (0, 1))
    assert sorted(one) == sorted(two)
    assert same_share(one, two) < 0.01


def test_another_component_does_not_change_the_order_of_a_component():
    alone = of_component(references(sampler_of(BIG)))
    both = references(sampler_of(MixtureGroup("", (Component("small", (30,), "other"), BIG))))
    assert of_component(both, 1) == alone


def test_every_ranks_part_of_a_batch_has_the_shares_of_the_whole():
    sampler = sampler_of(MixtureGroup("", (BIG, Component("other", (2000,), "other"))), 64)
    for rank in range(4):
        assert Counter(row[0].component for row in sampler.rows(START, rank, 4)) == {0: 8, 1: 8}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            MixtureGroup("", (Component("big", (50,) * 40, "changed"), *MIXED.members[1:])),
            "the stream state was made for another blend big: hash, not changed",
        ),
        (BIG, "the stream state was made with the blend inner/a, which is not streamed now"),
        (
            MixtureGroup("", (*MIXED.members, Component("new", (5,), "new"))),
            "the stream state was made without the blend new, which is streamed now",
        ),
        (
            MixtureGroup("", MIXED.members, repeat=2),
            "the stream state was made with other shares or shards of the same blends",
        ),
    ],
)
def test_a_state_of_other_data_is_refused(other, message):
    state = sampler_of(MIXED).state_dict(StreamPosition(1, 16))
    with pytest.raises(StreamError) as caught:
        sampler_of(other).load_state_dict(state)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "the stream state has version 3, and this program continues version 2"),
        ({"seed": 5}, "the stream state was made with seed 5, not 0"),
        ({"position": 17}, "the stream state is damaged: its counts do not agree"),
        ({"position": 10**9}, "the stream state is damaged: its counts do not agree"),
        ({"epoch": "one"}, "the stream state cannot be read: Expected `int`, got `str` - at `$.epoch`"),
    ],
)
def test_a_state_that_does_not_hold_is_refused(change, message):
    sampler = sampler_of(MIXED)
    with pytest.raises(StreamError) as caught:
        sampler.load_state_dict({**sampler.state_dict(StreamPosition(1, 16)), **change})
    assert caught.value.message == message


# states of the version before components were interleaved along a tree


#: as version 1 wrote them, for BIG alone and for MIXED; seed 0, epoch 1, position 16
OLD_ALONE = {
    "version": 1,
    "mixture": "4afb51fa88070da4cf80f6bf243d3b906a9eb5008f0032a8ab7ee718216a68d1",
    "seed": 0,
    "epoch": 1,
    "position": 16,
    "leaves": [{"path": "big", "fingerprint": "hash", "consumed": 16}],
}
OLD_MIXED = {
    "version": 1,
    "mixture": "84705bc96be428ff0dbe7aca09a7c99ff127c4bb5986688dbd8f82f02a06bc72",
    "seed": 0,
    "epoch": 1,
    "position": 16,
    "leaves": [
        {"path": "big", "fingerprint": "hash", "consumed": 16},
        {"path": "inner/a", "fingerprint": "hash-a", "consumed": 0},
    ],
}
#: the samples that version 1 gave next, for BIG alone
OLD_NEXT = [(27, 26), (20, 35), (22, 41), (10, 7), (18, 18), (14, 3), (13, 46), (8, 32)]


def test_an_old_state_of_one_blend_continues_exactly():
    sampler = sampler_of(BIG)
    position = sampler.load_state_dict(OLD_ALONE)
    assert position == StreamPosition(1, 16)
    assert [tuple(row[0][1:]) for row in sampler.rows(position, 0, 1)] == OLD_NEXT


def test_an_old_state_of_a_mixture_is_refused():
    with pytest.raises(StreamError, match="^the stream state has version 1, and this program continues version 2"):
        sampler_of(MIXED).load_state_dict(OLD_MIXED)


def test_an_epoch_without_a_batch_is_refused():
    with pytest.raises(StreamError, match="an epoch has 18 samples, which do not fill a batch of 20"):
        sampler_of(Component("a", (9, 9), "hash"), 20)
    assert sampler_of(Component("a", (9, 9), "hash"), 20, tail="pad").num_batches() == 1


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(StreamError, match="the batch size is 0"):
        sampler_of(BIG, 0)


def test_the_first_batch_after_a_resume_comes_as_fast_as_the_first_of_an_epoch():
    root = MixtureGroup("", tuple(Component(f"part{i}", (1000,) * 2000, f"hash{i}") for i in range(5)))
    sampler = sampler_of(root, 512)
    state = sampler.state_dict(sampler.after(START, int(0.9 * sampler.num_batches())))

    def first_batch(state):
        fresh = sampler_of(root, 512)
        begin = time.process_time()
        fresh.rows(fresh.load_state_dict(state) if state else START, 0, 8)
        return time.process_time() - begin

    assert min(first_batch(state) for _ in range(3)) < 2 * min(first_batch(None) for _ in range(3)) + 0.02


# packed rows: the same sequence, packed window by window

PACKED = mix(
    MixtureGroup(
        "",
        (
            Component("a", (50,) * 6, "hash-a"),
            MixtureGroup("g", (Component("b", (33, 7), "hash-b", repeat=2.5),)),
        ),
    )
)
MAX_TOKENS = 100


@st.composite
def packed_samplers(draw):
    random = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = {"a": random.integers(0, MAX_TOKENS, 300), "g/b": random.integers(0, MAX_TOKENS, 40)}
    seed, batch_size = draw(st.integers(0, 9)), draw(st.integers(1, 9))
    return PackedBatchSampler(PACKED, seed, batch_size, lengths, MAX_TOKENS, 32, "pad"), lengths


def epoch_of(sampler, epoch, world=1):
    position, rows = StreamPosition(epoch, 0), []
    while position.epoch == epoch:
        rows += [row for row in at(sampler, position, world) if row]
        position = sampler.after(position)
    return rows


@settings(max_examples=25)
@given(packed_samplers(), st.integers(0, 2), st.integers(1, 5))
def test_a_packed_epoch_is_the_sequence_packed_as_a_whole(drawn, epoch, world):
    sampler, lengths = drawn
    whole = references(sampler, epoch)
    paths, sizes = ("a", "g/b"), (50, 33)
    counts = [lengths[paths[number]][sizes[number] * shard + row] for number, shard, row in whole]
    packed = pack_rows(np.maximum(counts, 1), MAX_TOKENS, 32)
    assert epoch_of(sampler, epoch, world) == [[whole[number] for number in packed[row]] for row in range(len(packed))]


@settings(max_examples=25)
@given(packed_samplers(), st.integers(1, 7))
def test_how_many_windows_are_packed_at_once_changes_nothing(drawn, at_once):
    sampler, lengths = drawn
    expected = epoch_of(sampler, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler_module, "_WINDOWS_AT_ONCE", at_once)
        fresh = PackedBatchSampler(PACKED, sampler.sequence.seed, 3, lengths, MAX_TOKENS, 32, "pad")
        assert epoch_of(fresh, 1) == expected


@settings(max_examples=25)
@given(packed_samplers(), st.integers(0, 30), st.integers(1, 6))
def test_upcoming_samples_are_those_of_the_next_batches(drawn, stop, more):
    sampler, _ = drawn
    position = sampler.after(START, stop)
    more = min(more, sampler.num_batches(position))
    batches = [at(sampler, sampler.after(position, batch)) for batch in range(more)]
    assert sampler.upcoming(position, more) == [reference for rows in batches for row in rows for reference in row]


def test_packed_rows_that_fill_no_batch_are_refused():
    with pytest.raises(StreamError, match="an epoch has 1 packed rows, which do not fill a batch of 2"):
        PackedBatchSampler(mix(Component("a", (9,), "hash")), 0, 2, {"a": np.full(9, 10)}, MAX_TOKENS)


def test_a_million_samples_are_packed_in_a_second():
    lengths = np.random.default_rng(0).integers(300, 1100, 1_000_000, dtype=np.int32)
    begun = time.process_time()
    sampler = PackedBatchSampler(mix(Component("a", (1000,) * 1000, "hash")), 0, 64, {"a": lengths}, 4096)
    sampler.rows(sampler.after(START, int(0.9 * sampler.num_batches())), 0, 8)
    assert time.process_time() - begun < 3, "half a second when the machine is idle"
