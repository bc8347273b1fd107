"""A mixture of blends: a tree of groups and components, and the share of each component in an epoch.

Every member of a group is given at most one of

- ``repeat``: copies per epoch; 2.5 is two whole copies and half of a third;
- ``samples``: number of samples per epoch, however many there are;
- ``weight``: its share of the group, relative to the weights of the other members, all of which then have one.

Without weights, an epoch of a group is the sum of its members. With weights, it ends where the first member would have
to start over: no sample comes twice and the shares are kept; ``samples`` or ``repeat`` on the group make it longer or
shorter. The same blend may be in a tree several times, at different paths: these are different components, with orders
of their own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isfinite

from blender.core.errors import StreamError
from blender.stream.interleave import MAX_SAMPLES

_OUTERMOST = "the mixture"


@dataclass(frozen=True)
class Component:
    """One split of one blend, as a member of a mixture."""

    #: unlike those of the other members of its group; without "/"
    name: str
    #: samples in each shard
    shard_sizes: tuple[int, ...]
    #: identifies the contents: another fingerprint means other samples
    fingerprint: str
    weight: float | None = None
    repeat: float | None = None
    samples: int | None = None

    @cached_property
    def num_samples(self) -> int:
        """Samples in all shards."""
        return sum(self.shard_sizes)


@dataclass(frozen=True)
class MixtureGroup:
    """Members of a mixture that are given an amount together."""

    name: str
    members: tuple["Component | MixtureGroup", ...]
    weight: float | None = None
    repeat: float | None = None
    samples: int | None = None


MixtureNode = Component | MixtureGroup


@dataclass(frozen=True)
class Mixture:
    """Components and their shares of an epoch. Made by :func:`mix`."""

    #: by path: names of the component's groups, without the outermost, and its own, joined by "/"
    components: dict[str, Component]
    #: of each component, in the same order
    shares: tuple[Fraction, ...]
    #: samples in an epoch
    num_samples: int

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Samples of each component in an epoch: its share of them, rounded down or up to a whole number."""
        exact = [share * self.num_samples for share in self.shares]
        counts = [int(amount) for amount in exact]
        by_remainder = sorted(range(len(exact)), key=lambda number: counts[number] - exact[number])
        for number in by_remainder[: self.num_samples - sum(counts)]:
            counts[number] += 1
        return tuple(counts)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which samples come when, except for the seed."""
        parts = [
            [path, component.fingerprint, str(share), list(component.shard_sizes)]
            for (path, component), share in zip(self.components.items(), self.shares, strict=True)
        ]
        return hashlib.sha256(json.dumps([self.num_samples, parts]).encode()).hexdigest()


def mix(root: MixtureNode) -> Mixture:
    """Work out the components of a tree and their shares.

    Args:
        root: A group, or a component alone.

    Raises:
        StreamError: The tree cannot be used.
    """
    if root.weight is not None:
        raise StreamError(f"{_OUTERMOST} has a weight, but nothing beside it", "leave the weight out")
    _check(root, "" if isinstance(root, MixtureGroup) else root.name)
    paths, components, shares = zip(*_components(root, "", Fraction(1)), strict=True)
    mixture = Mixture(dict(zip(paths, components, strict=True)), shares, _size(root))
    if mixture.num_samples > MAX_SAMPLES:
        raise StreamError(f"an epoch has {mixture.num_samples:,} samples", f"make it {MAX_SAMPLES:,} at most")
    for path, share in zip(paths, shares, strict=True):
        if share * mixture.num_samples < 1:
            raise StreamError(
                f"{path} would get less than one of the {mixture.num_samples} samples of an epoch",
                "give it a larger share, or the mixture more `samples`",
            )
    return mixture


def _components(node: MixtureNode, group: str, share: Fraction) -> Iterator[tuple[str, Component, Fraction]]:
    """Yield path, component and share of the components of a node, which is in the group of a path."""
    if isinstance(node, Component):
        yield _join(group, node.name), node, share
        return
    for member, part in zip(node.members, _member_shares(node), strict=True):
        inner = _join(group, member.name) if isinstance(member, MixtureGroup) else group
        yield from _components(member, inner, share * part)


def _join(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _member_shares(group: MixtureGroup) -> list[Fraction]:
    """Return what part of a group each member is."""
    parts = [Fraction(_size(member)) if member.weight is None else _exact(member.weight) for member in group.members]
    return [part / sum(parts) for part in parts]


def _size(node: MixtureNode) -> int:
    """Return the number of samples in an epoch of a node, as far as the node itself decides it."""
    if node.samples is not None:
        return node.samples
    if isinstance(node, Component):
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


def _check(node: MixtureNode, path: str) -> None:
    """Refuse a node that cannot be used, or has a member that cannot be used."""
    name = path or _OUTERMOST
    _check_amount(node, name)
    if isinstance(node, Component):
        if not node.num_samples:
            raise StreamError(f"{name} has no samples", "leave it out of the mixture")
        return
    if not node.members:
        raise StreamError(f"{name} has no members", "name at least one blend in it")
    _check_names(node, name)
    without = [member.name for member in node.members if member.weight is None]
    if 0 < len(without) < len(node.members):
        raise StreamError(
            f"some members of {name} have a weight and others have none: {', '.join(without)}",
            "give all of them a weight, or put those that have one into a group of their own",
        )
    for member in node.members:
        _check(member, _join(path, member.name))


def _check_names(group: MixtureGroup, path: str) -> None:
    names = Counter(member.name for member in group.members)
    for name, uses in names.items():
        if not name or "/" in name:
            raise StreamError(f"a member of {path} is named {name!r}", 'names are not empty and have no "/"')
        if uses > 1:
            raise StreamError(f"{uses} members of {path} are named {name}", "give each a name of its own")


def _check_amount(node: MixtureNode, path: str) -> None:
    amounts = {"weight": node.weight, "repeat": node.repeat, "samples": node.samples}
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    if len(given) > 1:
        raise StreamError(f"{path} has {' and '.join(given)}", "give one of them")
    for name, amount in given.items():
        if not isfinite(amount) or amount <= 0:
            raise StreamError(f"the {name} of {path} is {amount}", "it must be above 0")
        if name == "samples" and not isinstance(amount, int):
            raise StreamError(f"the samples of {path} are {amount}", "they must be a whole number")
