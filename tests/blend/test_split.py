import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blender.blend.split import conversation_groups, split_by_image, split_samples
from tests.blend import pools

anything = st.lists(st.one_of(pools.single(), pools.pair(), pools.dialogue()), max_size=40)


def images_of(pool, conversations):
    links = [pool.link_image[pool.first_link[c] : pool.first_link[c + 1]] for c in conversations]
    return set(np.concatenate(links).tolist()) if links else set()


@given(anything, st.floats(0, 0.9), st.integers(0, 99))
def test_train_and_eval_share_no_image(conversations, share, seed):
    pool = pools.make(conversations)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    train = np.flatnonzero(~split.held_out & ~split.straddling)
    assert not images_of(pool, np.flatnonzero(split.held_out)) & images_of(pool, train)
    assert not (split.held_out & split.straddling).any()


@given(anything, st.floats(0, 0.9), st.integers(0, 99))
def test_only_what_shows_images_of_both_sides_is_dropped(conversations, share, seed):
    pool = pools.make(conversations)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    held_out = images_of(pool, np.flatnonzero(split.held_out))
    for conversation in np.flatnonzero(split.straddling):
        own = images_of(pool, [conversation])
        assert own & held_out and own - held_out


@given(anything, st.floats(0.05, 0.9), st.integers(0, 99))
def test_every_source_is_evaluated_when_its_share_asks_for_it(conversations, share, seed):
    pool = pools.make(conversations)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    for source in set(pool.source.tolist()):
        own = pool.source == source
        assert split.held_out[own].any() or round(share * own.sum()) == 0


@given(anything)
def test_groups_are_the_connected_components(conversations):
    pool = pools.make(conversations)
    groups = conversation_groups(pool, 10)
    parent = list(range(len(conversations)))

    def root(node):
        return node if parent[node] == node else root(parent[node])

    for a in range(len(conversations)):
        for b in range(a):
            if images_of(pool, [a]) & images_of(pool, [b]):
                parent[root(a)] = root(b)
    for a in range(len(conversations)):
        for b in range(a):
            assert (groups[a] == groups[b]) == (root(a) == root(b))


def test_a_long_chain_is_one_group():
    pool = pools.make([("cgd", False, False, [[n, n + 1]]) for n in range(5_000)])
    assert len(set(conversation_groups(pool, 5_001))) == 1


def test_the_share_is_met_where_groups_are_small():
    pool = pools.make([("llava", True, False, [[n]]) for n in range(10_000)])
    split = split_by_image(pool, 10_000, 0.01, np.random.default_rng(0))
    assert split.held_out.sum() == 100
    assert not split.straddling.any()


def test_by_sample_the_share_is_exact():
    assert split_samples(1_000, 0.1, np.random.default_rng(0)).sum() == 100
