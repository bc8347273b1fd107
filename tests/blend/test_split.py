import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.blend.split import conversation_groups, split_by_image, split_by_list, split_samples
from blender.blend.split_report import split_warnings
from blender.core.errors import PlanError
from tests.blend import pools

anything = st.lists(st.one_of(pools.single(), pools.pair(), pools.dialogue()), max_size=40)
#: of each of ten images the first that is the same
same_images = st.lists(st.integers(0, 9), min_size=10, max_size=10).map(
    lambda others: [min(image, other) if other == min(others) else image for image, other in enumerate(others)]
)


def images_of(pool, conversations):
    links = [pool.ref_image[pool.first_ref[c] : pool.first_ref[c + 1]] for c in conversations]
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
    # a source that hangs together as a whole stays in train, with what shares its images
    groups = conversation_groups(pool, 10)
    sources = set(pool.source.tolist())
    hangs_together = any(len(set(groups[(pool.source == source) & pool.usable].tolist())) == 1 for source in sources)
    for source in sources:
        own = pool.source == source
        assert split.held_out[own].any() or round(share * own.sum()) == 0 or hangs_together


def contents_of(pool, conversations):
    links = [pool.ref_content[pool.first_ref[c] : pool.first_ref[c + 1]] for c in conversations]
    return set(np.concatenate(links).tolist()) if links else set()


@given(anything, same_images, st.floats(0, 0.9), st.integers(0, 99))
def test_no_content_is_on_both_sides_whatever_its_names(conversations, contents, share, seed):
    pool = pools.make(conversations, contents=contents)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    train = np.flatnonzero(~split.held_out & ~split.straddling)
    assert not contents_of(pool, np.flatnonzero(split.held_out)) & contents_of(pool, train)


@given(anything, st.floats(0, 0.9), st.integers(0, 99))
def test_the_share_of_each_source_is_met_to_within_its_largest_group(conversations, share, seed):
    pool = pools.make(conversations)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    groups = conversation_groups(pool, 10)
    for number in range(len(pool.sources)):
        own = pool.source == number
        # groups tie sources to each other, so that one may overshoot for another
        largest = max(np.bincount(groups[own & (pool.num_images > 0)]).max(initial=0), 1)
        missing = split.wanted[number] - split.held_out[own].sum()
        assert missing <= largest
    if len(pool.sources) == 1 and not split.straddling.any():
        assert abs(missing) <= largest


@given(st.integers(1, 60), st.integers(0, 20), st.floats(0, 0.9), st.integers(0, 99))
def test_records_without_images_are_held_out_exactly(num_texts, num_others, share, seed):
    pool = pools.make([("text", True, False, [[]])] * num_texts + [("llava", True, False, [[0]])] * num_others)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed))
    wanted = round(share * num_texts)
    held = split.held_out[:num_texts].sum()
    assert held == wanted or (wanted == 0 and held == 1 and round(share * num_others) == 0 < share)


def test_eight_records_without_images_at_an_eighth_give_one():
    pool = pools.make([("text", True, False, [[]])] * 8)
    for seed in range(20):
        assert split_by_image(pool, 10, 0.125, np.random.default_rng(seed)).held_out.sum() == 1


@given(anything, st.floats(0.05, 0.9), st.integers(0, 99))
def test_nothing_of_an_excluded_source_is_held_out_or_lost(conversations, share, seed):
    pool = pools.make(conversations)
    split = split_by_image(pool, 10, share, np.random.default_rng(seed), exclude=["cgd"])
    own = pool.is_from("cgd")
    assert not (split.held_out | split.straddling)[own].any()
    assert not images_of(pool, np.flatnonzero(split.held_out)) & images_of(pool, np.flatnonzero(own))


@given(anything.filter(bool), st.data())
def test_a_number_is_met_exactly_where_no_images_are_shared(conversations, data):
    alone = [(source, True, False, [[number]]) for number, (source, *_) in enumerate(conversations)]
    wanted = data.draw(st.integers(1, len(alone)))
    pool = pools.make(alone)
    if wanted == len(alone):
        with pytest.raises(PlanError, match=r"asks for .* of all sources together, which has"):
            split_by_image(pool, len(alone), wanted, np.random.default_rng(0))
    else:
        assert split_by_image(pool, len(alone), wanted, np.random.default_rng(0)).held_out.sum() == wanted


def test_each_source_can_have_an_amount_of_its_own():
    sources = ["a"] * 100 + ["b"] * 50 + ["c"] * 50
    pool = pools.make([(source, True, False, [[number]]) for number, source in enumerate(sources)])
    split = split_by_image(pool, 200, {"a": 0.1, "b": 7}, np.random.default_rng(0))
    assert [split.held_out[pool.is_from(name)].sum() for name in "abc"] == [10, 7, 0]
    with pytest.raises(PlanError, match="50 conversations of source b, which has 50"):
        split_by_image(pool, 200, {"b": 50}, np.random.default_rng(0))


def test_a_source_that_shares_all_its_images_is_held_out_with_the_others_of_these_images():
    conversations = [(source, True, False, [[number]]) for number in range(100) for source in ("llava", "cgd")]
    pool = pools.make(conversations)
    split = split_by_image(pool, 100, {"llava": 10}, np.random.default_rng(0))
    assert split.held_out[pool.is_from("llava")].sum() == split.held_out[pool.is_from("cgd")].sum() == 10


@pytest.mark.parametrize("images", [[[0]], [[0, 1]], [[0], [1]]])
@pytest.mark.parametrize("num_conversations", [2, 20])
def test_what_is_all_about_one_image_stays_in_train(images, num_conversations):
    conversations = [("llava", False, False, images)] * num_conversations
    pool = pools.make([*conversations, *(("other", False, False, [[number]]) for number in range(5, 105))])
    split = split_by_image(pool, 105, 0.1, np.random.default_rng(0))
    assert not (split.held_out | split.straddling)[pool.is_from("llava")].any()
    assert split.held_out.sum() == 10


def test_more_than_asked_for_is_not_called_a_cut():
    pool = pools.make([("llava", True, False, [[number // 10]]) for number in range(40)])
    (warning,) = split_warnings(pool, split_by_image(pool, 4, 0.1, np.random.default_rng(0)))
    assert warning.endswith(
        "4 of it that are asked for; 10 are held out, because conversations about one image stay together"
    )


def chain(length, source="cgd"):
    return [(source, False, False, [[number, number + 1]]) for number in range(length)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_a_chain_that_ties_all_together_is_cut_at_few_places(share):
    pool = pools.make(chain(1_000))
    split = split_by_image(pool, 1_001, share, np.random.default_rng(0))
    assert split.held_out.sum() == 1_000 * share
    assert split.straddling.sum() <= 10
    (cut, lost) = split_warnings(pool, split)
    assert (
        f"source cgd is in a group of 1,000 conversations that share images, more than the {1_000 * share:,.0f}" in cut
    )
    assert re.match(
        f"split: {split.straddling.sum()} conversations? shows? an image of each side and (is|are) lost", lost
    )
    assert "split: {exclude: [cgd]}" in lost


def test_what_is_met_is_not_told():
    pool = pools.make([("llava", True, False, [[n]]) for n in range(100)])
    assert not list(split_warnings(pool, split_by_image(pool, 100, 0.1, np.random.default_rng(0))))


def test_groups_that_are_no_larger_than_what_is_wanted_are_never_cut():
    pool = pools.make([("cgd", False, False, [[7 * n + k, 7 * n + k + 1]]) for n in range(20) for k in range(6)])
    for seed in range(10):
        split = split_by_image(pool, 140, 0.1, np.random.default_rng(seed))
        assert split.held_out.sum() == 12
        assert not split.straddling.any()


def test_large_groups_are_not_preferred():
    pairs = [("cgd", False, False, [[2 * n]]) for n in range(500) for _ in range(2)]
    pool = pools.make(pairs + [("cgd", False, False, [[2 * n + 1]]) for n in range(1_000)])
    held = sum(split_by_image(pool, 2_000, 0.1, np.random.default_rng(seed)).held_out for seed in range(10))
    assert 0.4 < held[:1_000].sum() / held.sum() < 0.6


@given(anything, st.lists(st.integers(0, 9), max_size=5), st.data())
def test_a_list_holds_out_what_it_names_and_drops_what_shows_others_too(conversations, images, data):
    pool = pools.make(conversations)
    listed = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(conversations), max_size=len(conversations))), bool
    )
    image_held_out = np.isin(np.arange(10), images)
    split = split_by_list(pool, image_held_out, listed)
    named = set(images) | images_of(pool, np.flatnonzero(listed))
    for conversation in range(len(conversations)):
        own = images_of(pool, [conversation])
        assert split.held_out[conversation] == (listed[conversation] or (bool(own) and own <= named))
        assert split.straddling[conversation] == bool(own & named and own - named)


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
    assert split_samples(1_000, 7, np.random.default_rng(0)).sum() == 7
    with pytest.raises(PlanError, match=r"1,000 samples; there are 1,000"):
        split_samples(1_000, 1_000, np.random.default_rng(0))
