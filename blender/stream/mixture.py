"""Several blends at once: a tree of groups and leaves, and what it comes to.

Every member of a group is given by at most one of

- ``repeat``: copies per epoch; 2.5 is two whole copies and half of a third;
- ``samples``: how many per epoch, whatever there are;
- ``weight``: its share of the group, beside the weights of the other members, all of which then have one.

Without weights a group consists of what its members come to, added up. With weights its epoch goes on until the first
member that would have to start over: no sample comes twice and the shares are kept; ``samples`` or ``repeat`` on the
group make it longer or shorter. The same blend may stand in a tree several times, at different paths: these are
different leaves, with orders of their own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isfinite, lcm

from blender.core.errors import StreamError


@dataclass(frozen=True)
class Leaf:
    """One split of a blend, as a member of a mixture."""

    #: unlike those of the other members of its group; without "/"
    name: str
    #: samples in each shard
    shard_sizes: tuple[int, ...]
    #: names the contents: another one means other samples
    fingerprint: str
    weight: float | None = None
    repeat: float | None = None
    samples: int | None = None

    @cached_property
    def num_samples(self) -> int:
        """Samples that there are."""
        return sum(self.shard_sizes)


@dataclass(frozen=True)
class Group:
    """Members of a mixture that are given an amount together."""

    name: str
    members: tuple["Leaf | Group", ...]
    weight: float | None = None
    repeat: float | None = None
    samples: int | None = None


Node = Leaf | Group

_OUTERMOST = "the mixture"


@dataclass(frozen=True)
class Place:
    """Where a leaf stands in a mixture, and its share of it."""

    #: names of its groups, without the outermost, and its own, joined by "/"
    path: str
    leaf: Leaf
    share: Fraction


@dataclass(frozen=True)
class Mixture:
    """Leaves and their shares of an epoch."""

    places: tuple[Place, ...]
    #: samples in an epoch
    num_samples: int

    @cached_property
    def whole_shares(self) -> tuple[int, ...]:
        """The shares as whole numbers in proportion to each other."""
        whole = lcm(*(place.share.denominator for place in self.places))
        return tuple(int(place.share * whole) for place in self.places)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which samples come when, but for the seed."""
        parts = [
            [place.path, place.leaf.fingerprint, str(place.share), list(place.leaf.shard_sizes)]
            for place in self.places
        ]
        return hashlib.sha256(json.dumps([self.num_samples, parts]).encode()).hexdigest()


def mix(root: Node) -> Mixture:
    """Work out what a tree comes to.

    Args:
        root: A group, or a leaf alone.

    Raises:
        StreamError: The tree cannot be used.
    """
    if root.weight is not None:
        raise StreamError(f"{_OUTERMOST} has a weight, but nothing beside it", "leave the weight out")
    _check(root, "" if isinstance(root, Group) else root.name)
    mixture = Mixture(tuple(_places(root, "", Fraction(1))), _size(root))
    for place in mixture.places:
        if place.share * mixture.num_samples < 1:
            raise StreamError(
                f"{place.path} would get less than one of the {mixture.num_samples} samples of an epoch",
                "give it a larger share, or the mixture more `samples`",
            )
    return mixture


def _places(node: Node, group: str, share: Fraction) -> Iterator[Place]:
    """Walk the leaves of a node that stands in a group."""
    if isinstance(node, Leaf):
        yield Place(_join(group, node.name), node, share)
        return
    for member, part in zip(node.members, _member_shares(node), strict=True):
        inner = _join(group, member.name) if isinstance(member, Group) else group
        yield from _places(member, inner, share * part)


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _member_shares(group: Group) -> list[Fraction]:
    """Return what part of a group each member is."""
    parts = [Fraction(_size(member)) if member.weight is None else _exact(member.weight) for member in group.members]
    return [part / sum(parts) for part in parts]


def _size(node: Node) -> int:
    """Return how many samples a node comes to in an epoch, if it decides that itself."""
    if node.samples is not None:
        return node.samples
    if isinstance(node, Leaf):
        natural = node.num_samples
    elif node.members[0].weight is None:
        natural = sum(map(_size, node.members))
    else:
        shares = _member_shares(node)
        natural = min(_size(member) // share for member, share in zip(node.members, shares, strict=True))
    return natural if node.repeat is None else int(natural * _exact(node.repeat) + Fraction(1, 2))


def _exact(number: float) -> Fraction:
    """Read a number as it is written: 0.1 is a tenth."""
    return Fraction(str(number))


def _check(node: Node, path: str) -> None:
    """Refuse a node that makes no sense, or has a member that makes none."""
    called = path or _OUTERMOST
    _check_amount(node, called)
    if isinstance(node, Leaf):
        if not node.num_samples:
            raise StreamError(f"{called} has no samples", "leave it out of the mixture")
        return
    if not node.members:
        raise StreamError(f"{called} has no members", "name at least one blend in it")
    _check_names(node, called)
    without = [member.name for member in node.members if member.weight is None]
    if 0 < len(without) < len(node.members):
        raise StreamError(
            f"some members of {called} have a weight and others have none: {', '.join(without)}",
            "give all of them a weight, or put those that have one into a group of their own",
        )
    for member in node.members:
        _check(member, _join(path, member.name))


def _check_names(group: Group, path: str) -> None:
    names = Counter(member.name for member in group.members)
    for name, uses in names.items():
        if not name or "/" in name:
            raise StreamError(f"a member of {path} is named {name!r}", 'names are not empty and have no "/"')
        if uses > 1:
            raise StreamError(f"{uses} members of {path} are named {name}", "give each a name of its own")


def _check_amount(node: Node, path: str) -> None:
    amounts = {"weight": node.weight, "repeat": node.repeat, "samples": node.samples}
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    if len(given) > 1:
        raise StreamError(f"{path} has {' and '.join(given)}", "give one of them")
    for name, amount in given.items():
        if not isfinite(amount) or amount <= 0:
            raise StreamError(f"the {name} of {path} is {amount}", "it must be above 0")
        if name == "samples" and not isinstance(amount, int):
            raise StreamError(f"the samples of {path} are {amount}", "they must be a whole number")
