"""Simple concatenation: shuffle, cut into groups of random size, make each group one conversation.

Every conversation comes out exactly once. Groups that would break a limit are cut further, and a conversation with a
reference that cannot be renumbered goes to the head of its group, where its images keep their numbers (two of them in
one group part it in two).

Source: arXiv 2309.14327, section 3.3.
"""

import numpy as np

from blender.blend.pool import Bools, Draft, Floats, Ints, Pool, lay_out


def concatenate(pool: Pool, conversations: Ints, sizes: tuple[int, int], random: np.random.Generator) -> Draft:
    """Concatenate conversations at random.

    Args:
        pool: The conversations.
        conversations: The ones to use.
        sizes: Smallest and largest group; each size is as likely as any other. The last group, and groups cut for a
            limit or a reference, may be smaller.
        random: Draws order and sizes.
    """
    order = random.permutation(conversations)
    drawn = random.integers(sizes[0], sizes[1], size=len(order), endpoint=True)
    groups = np.repeat(np.arange(len(order)), drawn)[: len(order)]
    order, groups = _recut(pool, order, groups)
    return lay_out(pool, order, groups, random)


def _recut(pool: Pool, order: Ints, groups: Ints) -> tuple[Ints, Ints]:
    """Cut further the groups that cannot stay as they are, and number all groups through."""
    if not len(order):
        return order, groups
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    sizes = np.diff(np.append(starts, len(order)))
    heavy = (np.add.reduceat(pool.weights[order], starts) > pool.capacity).any(axis=1)
    # a group of one always stands, and so does one whose only pinned conversation is its first
    pinned_behind = np.add.reduceat(pool.pinned[order].astype(np.int64), starts) > pool.pinned[order[starts]]
    begins = np.zeros(len(order), dtype=bool)
    begins[starts] = True
    for group in np.flatnonzero((heavy | pinned_behind) & (sizes > 1)):
        span = slice(starts[group], starts[group] + sizes[group])
        members, heads = _cut(order[span], pool.pinned, pool.weights, pool.capacity)
        order[span], begins[span] = members, heads
    return order, np.cumsum(begins) - 1


def _cut(members: Ints, pinned: Bools, weights: Floats, capacity: Floats) -> tuple[Ints, Bools]:
    """Part one group: pinned conversations each begin a group, the others fill up the last one begun."""
    members = members[np.argsort(~pinned[members], kind="stable")]
    heads, filled = np.zeros(len(members), dtype=bool), np.zeros_like(capacity)
    for place, member in enumerate(members):
        if place == 0 or pinned[member] or (filled + weights[member] > capacity).any():
            heads[place], filled = True, np.zeros_like(capacity)
        filled = filled + weights[member]
    return members, heads
