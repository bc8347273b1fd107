import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blender.blend.kinds.image_match import image_match
from tests.blend import pools

mixed = st.lists(st.one_of(pools.single(), pools.single(), pools.pair()), max_size=50)


def blend(pool, seed=0):
    bases, leads = np.flatnonzero(pool.is_from("cgd")), np.flatnonzero(pool.is_from("llava"))
    return image_match(pool, bases, leads, np.random.default_rng(seed))


def can_match(pool, base):
    images = pool.ref_image[pool.first_ref[base] : pool.first_ref[base + 1]]
    leads = [c for c in np.flatnonzero(pool.is_from("llava")) if pool.num_images[c] == 1]
    return len(set(images.tolist())) == len(images) and all(
        any(pool.ref_image[pool.first_ref[c]] == image and (place == 0 or pool.renumberable[c]) for c in leads)
        for place, image in enumerate(images[:-1])
    )


@given(mixed, st.integers(0, 99))
def test_exactly_the_bases_with_a_match_for_every_image_but_the_last_become_samples(conversations, seed):
    pool = pools.make(conversations)
    draft = blend(pool, seed)
    bases = np.flatnonzero(pool.is_from("cgd"))
    wanted = [base for base in bases if can_match(pool, base)]
    got = [{c for c, *_ in turns if pool.is_from("cgd")[c]} for turns, _ in pools.samples_of(pool, draft)]
    assert got == [{base} for base in wanted]
    assert sorted(draft.left_out["conversation"].to_list()) == sorted(set(bases.tolist()) - set(wanted))


def conversations_with(image, leads, pool):
    """List the leads that show one image, this one or one that is the same."""
    return [lead for lead in leads if pool.ref_content[slice(*pool.first_ref[lead : lead + 2])].tolist() == [image]]


def by_the_rule(pool, bases, leads):
    """Say of each base what its sample must be made of, straight from the rule; None where there can be no sample.

    For each image but the last at least one conversation that shows it alone, for the last none or more; a base is no
    lead of its own; behind other images only what can be renumbered; no base that shows one image twice.
    """
    made = {}
    for base in bases:
        images = pool.ref_content[slice(*pool.first_ref[base : base + 2])].tolist()
        allowed = [
            {
                lead
                for lead in conversations_with(image, leads, pool)
                if lead != base and (not place or pool.renumberable[lead])
            }
            for place, image in enumerate(images)
        ]
        complete = images and len(set(images)) == len(images) and all(allowed[:-1])
        made[base] = allowed if complete and not (pool.ordered[base] and not pool.renumberable[base]) else None
    return made


graphs = st.lists(st.one_of(pools.single(), pools.single("cgd"), pools.pair(), pools.dialogue("cgd")), max_size=40)
same_images = st.lists(st.integers(0, 3), min_size=10, max_size=10).map(
    lambda others: [image - image % 2 if other else image for image, other in enumerate(others)]
)


@given(graphs, same_images, st.booleans(), st.integers(0, 99))
def test_samples_are_what_the_rule_alone_gives(conversations, contents, overlap, seed):
    pool = pools.make(conversations, contents=contents)
    bases = np.flatnonzero(pool.is_from("cgd"))
    leads = np.arange(len(conversations)) if overlap else np.flatnonzero(pool.is_from("llava"))
    draft = image_match(pool, bases, leads, np.random.default_rng(seed))
    wanted = by_the_rule(pool, bases.tolist(), leads.tolist())
    samples = pools.samples_of(pool, draft)
    kept = [base for base in wanted if wanted[base] is not None]
    assert len(samples) == len(kept)
    assert sorted(draft.left_out["conversation"].to_list()) == [base for base in wanted if wanted[base] is None]
    for base, (turns, shows) in zip(kept, samples, strict=True):
        assert [image for _, image in shows] == pool.ref_image[slice(*pool.first_ref[base : base + 2])].tolist()
        used = [set() for _ in wanted[base]]
        for conversation, _, offset in turns:
            if conversation != base:
                used[offset].add(conversation)
        asked = [turn for conversation, turn, _ in turns if conversation == base]
        assert asked and len(set(asked)) == len(asked)
        assert all(own <= allowed for own, allowed in zip(used, wanted[base], strict=True))
        assert all(used[:-1])


def test_a_base_is_never_its_own_lead():
    alone = ("cgd", False, False, [[0]])
    pool = pools.make([alone, ("cgd", False, False, [[0, 1]])])
    everything = np.arange(2)
    for seed in range(10):
        first, second = pools.samples_of(pool, image_match(pool, everything, everything, np.random.default_rng(seed)))
        assert [conversation for conversation, *_ in first[0]] == [0]
        assert [conversation for conversation, *_ in second[0]] == [0, 1]


@given(mixed, st.integers(0, 99))
def test_image_numbers_stay_true(conversations, seed):
    pool = pools.make(conversations)
    pools.check_references(pool, blend(pool, seed))


@given(mixed, st.integers(0, 99))
def test_a_sample_asks_about_its_images_in_turn_and_then_the_base(conversations, seed):
    pool = pools.make(conversations)
    for turns, shows in pools.samples_of(pool, blend(pool, seed)):
        base = turns[-1][0]
        images = pool.ref_image[pool.first_ref[base] : pool.first_ref[base + 1]]
        assert [image for _, image in shows] == images.tolist()
        stations = [len(images) if c == base else offset for c, _, offset in turns]
        assert stations == sorted(stations)
        assert set(range(len(images) - 1)) <= set(stations)
        assert len({turn for _, turn, _ in turns}) == len({(turn, offset) for _, turn, offset in turns})
        for lead in {(c, offset) for c, _, offset in turns if c != base}:
            assert sum((c, offset) == lead for c, _, offset in turns) == pool.num_turns[lead[0]]


@given(mixed, st.integers(0, 99))
def test_limits_cost_leads_and_never_the_match(conversations, seed):
    pool = pools.make(conversations, capacity=(8, 70, np.inf))
    for turns, _ in pools.samples_of(pool, blend(pool, seed)):
        assert 10 * len(turns) <= 70


def test_subsets_are_drawn_uniformly_in_size():
    conversations = [("llava", True, False, [[0]])] * 3 + [("llava", True, False, [[1]])] * 2
    pool = pools.make(conversations + [("cgd", False, False, [[0, 1], [], []])] * 6_000)
    sizes = {"first": [], "last": [], "base": []}
    for turns, _ in pools.samples_of(pool, blend(pool)):
        sizes["first"].append(sum(c < 3 for c, *_ in turns))
        sizes["last"].append(sum(3 <= c < 5 for c, *_ in turns))
        sizes["base"].append(sum(c >= 5 for c, *_ in turns))
    for name, expected in (("first", [0, 1, 1, 1]), ("last", [1, 1, 1]), ("base", [0, 1, 1, 1])):
        shares = np.bincount(sizes[name], minlength=len(expected)) / len(sizes[name])
        assert np.abs(shares - np.array(expected) / sum(expected)).max() < 0.03
