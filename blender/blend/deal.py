"""Deal whole groups of conversations to evaluation, so that each source gets as many there as are wanted of it.

Groups are taken in random order while they fit, so that large ones are not preferred; those of the scarcest source come
first. What is then still missing of a source is made up by groups that overshoot less than they mend.
"""

from dataclasses import dataclass

import numpy as np

from blender.core.arrays import Bools, Floats, Ints

#: a group of so many conversations breaks a tie for a source that has none yet
_FEW = 4


@dataclass(frozen=True)
class Counts:
    """How many conversations of each source each group has: one row for each pair that has any. ``G`` groups."""

    num_groups: int
    #: (P,) not falling
    group: Ints
    source: Ints
    count: Ints

    @classmethod
    def of(cls, group: Ints, source: Ints, num_groups: int) -> "Counts":
        """Count conversations, given the group and the source of each."""
        most = int(source.max(initial=0)) + 1
        pairs, counts = np.unique(group * most + source, return_counts=True)
        return cls(num_groups, pairs // most, pairs % most, counts.astype(np.int64))

    def sums(self, chosen: Bools, num_sources: int) -> Ints:
        """Count the conversations of each source in some groups; (S,)."""
        weights = self.count * chosen[self.group]
        return np.bincount(self.source, weights=weights, minlength=num_sources).astype(np.int64)


def deal(counts: Counts, targets: Ints, may: Bools, random: np.random.Generator) -> Bools:
    """Choose groups.

    Args:
        counts: The groups.
        targets: (S,) conversations wanted of each source.
        may: (G,) the groups that can be chosen.
        random: Draws the order.

    Returns:
        (G,) the chosen groups.
    """
    order = random.permutation(counts.num_groups)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    chosen = np.zeros(counts.num_groups, dtype=bool)
    left = targets.astype(np.int64).copy()
    for source in _scarcest_first(counts, targets, may):
        has = np.zeros(counts.num_groups, dtype=bool)
        has[counts.group[counts.source == source]] = True
        _fill(counts, left, may & has & ~chosen, place, chosen)
    _mend(counts, left, targets, may & ~chosen, order, chosen)
    return chosen


def _scarcest_first(counts: Counts, targets: Ints, may: Bools) -> list[int]:
    """Order the wanted sources by how much there is to choose from, in groups that are not too large."""
    fitting = may[counts.group] & (counts.count <= targets[counts.source])
    there = np.bincount(counts.source[fitting], weights=counts.count[fitting], minlength=len(targets))
    wanted = np.flatnonzero(targets)
    return [int(source) for source in wanted[np.argsort(there[wanted] / targets[wanted], kind="stable")]]


def _fill(counts: Counts, left: Ints, may: Bools, place: Ints, chosen: Bools) -> None:
    """Take groups in order as long as none of their sources has more than is left to it; changes left and chosen."""
    open_groups = may.copy()
    while True:
        too_large = counts.count > left[counts.source]
        open_groups[counts.group[too_large]] = False
        rows = np.flatnonzero(open_groups[counts.group])
        if not len(rows):
            return
        rows = rows[np.lexsort((place[counts.group[rows]], counts.source[rows]))]
        source, group = counts.source[rows], counts.group[rows]
        running = np.cumsum(counts.count[rows])
        begins = np.flatnonzero(np.diff(source, prepend=-1))
        before = np.repeat(running[begins] - counts.count[rows][begins], np.diff(np.append(begins, len(rows))))
        beyond = running - before > left[source]
        stop = place[group[beyond]].min(initial=counts.num_groups)
        taken = np.zeros(counts.num_groups, dtype=bool)
        taken[group[place[group] < stop]] = True
        chosen |= taken
        open_groups &= ~taken
        left -= counts.sums(taken, len(left))


def _mend(counts: Counts, left: Ints, targets: Ints, may: Bools, order: Ints, chosen: Bools) -> None:
    """Take further groups, in order, each only if it brings the sources nearer to their targets."""
    rows = np.flatnonzero(may[counts.group] & (targets[counts.source] > 0))
    gains = np.bincount(counts.group[rows], weights=_gain(counts, rows, left, targets), minlength=counts.num_groups)
    starts = np.searchsorted(counts.group, np.arange(counts.num_groups + 1))
    for group in order[(gains > 0)[order]].tolist():
        if not (left > 0).any():
            return
        own = np.arange(starts[group], starts[group + 1])
        own = own[targets[counts.source[own]] > 0]
        if _gain(counts, own, left, targets).sum() > 0:
            chosen[group] = True
            left[counts.source[own]] -= counts.count[own]


def _gain(counts: Counts, rows: Ints, left: Ints, targets: Ints) -> Floats:
    """Tell how much nearer to its target each source would come; two are nearer to one than none is."""
    source, count = counts.source[rows], counts.count[rows]
    first_of_few = (left[source] == targets[source]) & (count <= _FEW)
    nearer: Floats = np.abs(left[source]) - np.abs(left[source] - count) + 0.5 * first_of_few
    return nearer
