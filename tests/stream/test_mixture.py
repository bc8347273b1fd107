from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.stream.mixture import Component, MixtureGroup, mix


def part(name, num_samples=100, **amount):
    return Component(name, (num_samples,), f"hash-{num_samples}", **amount)


def group(*members, name="", **amount):
    return MixtureGroup(name, members, **amount)


def amounts(root):
    """Exact amount of each component in an epoch, by its path."""
    mixture = mix(root)
    return {path: share * mixture.num_samples for path, share in zip(mixture.components, mixture.shares, strict=True)}


def test_a_component_alone_is_taken_once():
    assert amounts(part("a", 70)) == {"a": 70}


def test_members_without_an_amount_are_taken_whole():
    assert amounts(group(part("a", 70), part("b", 30))) == {"a": 70, "b": 30}


def test_repeat_is_copies_and_samples_is_a_number():
    root = group(part("a", 70, repeat=2.5), part("b", 30, samples=7), part("c", 3, repeat=0.5))
    assert amounts(root) == {"a": 175, "b": 7, "c": 2}


def test_a_repeat_is_read_as_it_is_written():
    assert amounts(group(part("a", 1000, repeat=0.1), part("b", 10, repeat=1.1))) == {"a": 100, "b": 11}


def test_weights_last_until_the_first_member_would_start_over():
    assert amounts(group(part("a", 100, weight=1), part("b", 100, weight=3))) == {
        "a": Fraction(133, 4),
        "b": Fraction(399, 4),
    }


def test_samples_of_a_group_set_the_length_of_its_epoch():
    root = group(part("a", 100, weight=1), part("b", 100, weight=3), samples=1000)
    assert amounts(root) == {"a": 250, "b": 750}


def test_groups_nest():
    inner = group(part("a", 60), part("b", 20), name="inner", weight=0.5)
    root = group(inner, part("c", 500, weight=0.3), part("d", 500, weight=0.2))
    assert amounts(root) == {"inner/a": 60, "inner/b": 20, "c": 48, "d": 32}


def test_a_repeated_group_repeats_its_members():
    inner = group(part("a", 60), part("b", 20), name="inner", repeat=2.5)
    assert amounts(group(inner, part("c", 5))) == {"inner/a": 150, "inner/b": 50, "c": 5}


def test_one_blend_at_two_paths_is_two_components():
    root = group(part("a"), group(part("a"), name="again"))
    assert amounts(root) == {"a": 100, "again/a": 100}


sized = st.integers(500, 5000)


@given(st.lists(st.tuples(sized, st.floats(0.1, 5)), min_size=1, max_size=6))
def test_with_weights_no_component_starts_over_and_one_is_used_up(members):
    mixture = mix(group(*(part(f"m{i}", size, weight=weight) for i, (size, weight) in enumerate(members))))
    sizes = [component.num_samples for component in mixture.components.values()]
    left = [size - share * mixture.num_samples for size, share in zip(sizes, mixture.shares, strict=True)]
    assert min(left) >= 0
    assert any(rest < share for rest, share in zip(left, mixture.shares, strict=True))
    assert sum(mixture.shares) == 1
    assert sum(mixture.counts) == mixture.num_samples
    assert all(count <= size for count, size in zip(mixture.counts, sizes, strict=True))


@given(st.lists(st.tuples(sized, st.floats(0.1, 5)), min_size=1, max_size=6))
def test_with_repeats_amounts_are_whole_numbers(members):
    found = amounts(group(*(part(f"m{i}", size, repeat=copies) for i, (size, copies) in enumerate(members))))
    for (size, copies), amount in zip(members, found.values(), strict=True):
        assert amount.denominator == 1
        assert abs(float(amount) - size * copies) <= 0.5 + 1e-6


def test_counts_are_in_proportion_to_shares():
    root = group(part("a", 100, weight=0.1), part("b", 1000, weight=0.7), part("c", 1000, weight=0.2))
    assert mix(root).counts == (100, 700, 200)


def test_the_fingerprint_tells_mixtures_apart():
    roots = [
        group(part("a"), part("b")),
        group(part("a"), part("c")),
        group(part("a"), part("b", repeat=2)),
        group(part("a"), part("b"), samples=150),
        group(Component("a", (50, 50), "hash-100"), part("b")),
        group(Component("a", (100,), "other"), part("b")),
    ]
    assert len({mix(root).fingerprint for root in roots}) == len(roots)
    assert mix(group(part("a"), part("b"))).fingerprint == mix(roots[0]).fingerprint


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (part("a", 0), "a has no samples"),
        (group(), "the mixture has no members"),
        (group(group(name="g")), "g has no members"),
        (group(part("a", weight=1), part("b")), "some members of the mixture have a weight and others have none: b"),
        (group(part("a", weight=1, repeat=2)), "a has weight and repeat"),
        (group(part("a"), group(part("b", repeat=-1), name="g")), "the repeat of g/b is -1"),
        (group(part("a", weight=0)), "the weight of a is 0"),
        (group(part("a", weight=float("nan"))), "the weight of a is nan"),
        (group(part("a", samples=2.5)), "the samples of a are 2.5"),
        (group(part("a"), part("a")), "2 members of the mixture are named a"),
        (group(part("a/b")), "a member of the mixture is named 'a/b'"),
        (group(part("")), "a member of the mixture is named ''"),
        (part("a", weight=2), "the mixture has a weight, but nothing beside it"),
        (group(part("a", repeat=0.001), part("b")), "a would get less than one of the 100 samples of an epoch"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(root, message):
    with pytest.raises(StreamError) as caught:
        mix(root)
    assert caught.value.message == message
    assert caught.value.hint


def test_an_epoch_that_is_too_long_to_count_is_refused():
    with pytest.raises(StreamError, match="an epoch has 4,000,000,000 samples"):
        mix(part("a", samples=4_000_000_000))
