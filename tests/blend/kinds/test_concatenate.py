import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blender.blend.kinds.concatenate import concatenate
from tests.blend import pools

anything = st.lists(st.one_of(pools.single(), pools.pair(), pools.dialogue()), max_size=40)
sizes = st.tuples(st.integers(1, 3), st.integers(0, 4)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def blend(pool, low_high, seed):
    return concatenate(pool, np.arange(len(pool.source)), low_high, np.random.default_rng(seed))


@given(anything, sizes, st.integers(0, 99))
def test_every_turn_of_every_conversation_comes_out_exactly_once(conversations, low_high, seed):
    pool = pools.make(conversations)
    draft = blend(pool, low_high, seed)
    assert sorted(draft.turns["turn"].to_list()) == list(range(int(pool.num_turns.sum())))
    assert sorted(draft.images["image"].to_list()) == sorted(pool.ref_image.tolist())


@given(anything, sizes, st.integers(0, 99))
def test_image_numbers_stay_true(conversations, low_high, seed):
    pool = pools.make(conversations)
    pools.check_references(pool, blend(pool, low_high, seed))


@given(anything, sizes, st.integers(0, 99))
def test_no_sample_breaks_a_limit_and_no_pinned_conversation_stands_behind_images(conversations, low_high, seed):
    pool = pools.make([c for c in conversations if sum(map(len, c[3])) <= 4], capacity=(4, 60, np.inf))
    for turns, shows in pools.samples_of(pool, blend(pool, low_high, seed)):
        assert len(shows) <= 4
        assert 10 * len(turns) <= 60
        assert all(offset == 0 for conversation, _, offset in turns if not pool.renumberable[conversation])


@given(st.lists(pools.single(), min_size=1, max_size=40), sizes, st.integers(0, 99))
def test_turns_of_a_dialogue_keep_their_order(conversations, low_high, seed):
    for turns, _ in pools.samples_of(pool := pools.make(conversations), blend(pool, low_high, seed)):
        runs = {c: [turn for conversation, turn, _ in turns if conversation == c] for c, *_ in turns}
        assert all(run == sorted(run) for run in runs.values())
        assert [c for c, *_ in turns] == sorted((c for c, *_ in turns), key=[c for c, *_ in turns].index)


def test_group_sizes_are_uniform():
    pool = pools.make([("llava", True, False, [[0]])] * 60_000)
    draft = blend(pool, (1, 3), 0)
    counts = np.bincount(draft.turns["sample"].to_numpy())
    shares = np.bincount(counts, minlength=4)[1:] / len(counts)
    assert np.abs(shares - 1 / 3).max() < 0.01


def test_the_first_group_is_kept():
    # the released code loses it
    pool = pools.make([("llava", True, False, [[number]]) for number in range(7)])
    for seed in range(20):
        assert sorted(blend(pool, (1, 3), seed).images["image"].to_list()) == list(range(7))
