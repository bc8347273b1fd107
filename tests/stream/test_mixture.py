from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import StreamError
from blender.stream.mixture import Group, Leaf, mix


def leaf(name, num_samples=100, **amount):
    return Leaf(name, (num_samples,), f"hash-{num_samples}", **amount)


def group(*members, name="", **amount):
    return Group(name, members, **amount)


def amounts(root):
    """Exact amount of each leaf in an epoch, by its path."""
    mixture = mix(root)
    return {place.path: place.share * mixture.num_samples for place in mixture.places}


def test_a_leaf_alone_is_taken_once():
    assert amounts(leaf("a", 70)) == {"a": 70}


def test_members_without_an_amount_are_taken_whole():
    assert amounts(group(leaf("a", 70), leaf("b", 30))) == {"a": 70, "b": 30}


def test_repeat_is_copies_and_samples_is_a_number():
    root = group(leaf("a", 70, repeat=2.5), leaf("b", 30, samples=7), leaf("c", 3, repeat=0.5))
    assert amounts(root) == {"a": 175, "b": 7, "c": 2}


def test_a_repeat_is_read_as_it_is_written():
    assert amounts(group(leaf("a", 1000, repeat=0.1), leaf("b", 10, repeat=1.1))) == {"a": 100, "b": 11}


def test_weights_last_until_the_first_member_would_start_over():
    assert amounts(group(leaf("a", 100, weight=1), leaf("b", 100, weight=3))) == {
        "a": Fraction(133, 4),
        "b": Fraction(399, 4),
    }


def test_samples_of_a_group_set_the_length_of_its_epoch():
    root = group(leaf("a", 100, weight=1), leaf("b", 100, weight=3), samples=1000)
    assert amounts(root) == {"a": 250, "b": 750}


def test_groups_nest():
    inner = group(leaf("a", 60), leaf("b", 20), name="inner", weight=0.5)
    root = group(inner, leaf("c", 500, weight=0.3), leaf("d", 500, weight=0.2))
    assert amounts(root) == {"inner/a": 60, "inner/b": 20, "c": 48, "d": 32}


def test_a_repeated_group_repeats_its_members():
    inner = group(leaf("a", 60), leaf("b", 20), name="inner", repeat=2.5)
    assert amounts(group(inner, leaf("c", 5))) == {"inner/a": 150, "inner/b": 50, "c": 5}


def test_one_blend_at_two_paths_is_two_leaves():
    root = group(leaf("a"), group(leaf("a"), name="again"))
    assert amounts(root) == {"a": 100, "again/a": 100}


sized = st.integers(500, 5000)


@given(st.lists(st.tuples(sized, st.floats(0.1, 5)), min_size=1, max_size=6))
def test_with_weights_no_leaf_starts_over_and_one_is_used_up(members):
    mixture = mix(group(*(leaf(f"m{i}", size, weight=weight) for i, (size, weight) in enumerate(members))))
    left = [place.leaf.num_samples - place.share * mixture.num_samples for place in mixture.places]
    assert min(left) >= 0
    assert any(rest < place.share for rest, place in zip(left, mixture.places, strict=True))
    assert sum(place.share for place in mixture.places) == 1


@given(st.lists(st.tuples(sized, st.floats(0.1, 5)), min_size=1, max_size=6))
def test_with_repeats_amounts_are_whole_numbers(members):
    found = amounts(group(*(leaf(f"m{i}", size, repeat=copies) for i, (size, copies) in enumerate(members))))
    for (size, copies), amount in zip(members, found.values(), strict=True):
        assert amount.denominator == 1
        assert abs(float(amount) - size * copies) <= 0.5 + 1e-6


def test_whole_shares_are_in_proportion():
    root = group(leaf("a", 100, weight=0.1), leaf("b", 1000, weight=0.7), leaf("c", 1000, weight=0.2))
    assert mix(root).whole_shares == (1, 7, 2)


def test_the_fingerprint_tells_mixtures_apart():
    roots = [
        group(leaf("a"), leaf("b")),
        group(leaf("a"), leaf("c")),
        group(leaf("a"), leaf("b", repeat=2)),
        group(leaf("a"), leaf("b"), samples=150),
        group(Leaf("a", (50, 50), "hash-100"), leaf("b")),
        group(Leaf("a", (100,), "other"), leaf("b")),
    ]
    assert len({mix(root).fingerprint for root in roots}) == len(roots)
    assert mix(group(leaf("a"), leaf("b"))).fingerprint == mix(roots[0]).fingerprint


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (leaf("a", 0), "a has no samples"),
        (group(), "the mixture has no members"),
        (group(group(name="g")), "g has no members"),
        (group(leaf("a", weight=1), leaf("b")), "some members of the mixture have a weight and others have none: b"),
        (group(leaf("a", weight=1, repeat=2)), "a has weight and repeat"),
        (group(leaf("a"), group(leaf("b", repeat=-1), name="g")), "the repeat of g/b is -1"),
        (group(leaf("a", weight=0)), "the weight of a is 0"),
        (group(leaf("a", weight=float("nan"))), "the weight of a is nan"),
        (group(leaf("a", samples=2.5)), "the samples of a are 2.5"),
        (group(leaf("a"), leaf("a")), "2 members of the mixture are named a"),
        (group(leaf("a/b")), "a member of the mixture is named 'a/b'"),
        (group(leaf("")), "a member of the mixture is named ''"),
        (leaf("a", weight=2), "the mixture has a weight, but nothing beside it"),
        (group(leaf("a", repeat=0.001), leaf("b")), "a would get less than one of the 100 samples of an epoch"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(root, message):
    with pytest.raises(StreamError) as caught:
        mix(root)
    assert caught.value.message == message
    assert caught.value.hint
