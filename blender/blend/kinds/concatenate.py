"""Simple concatenation: shuffle, cut into groups of random size, make each group one conversation.

Every conversation comes out exactly once. Groups that would break a limit are cut further, and a conversation with a
reference that cannot be renumbered goes to the head of its group, where its images keep their numbers (two of them in
one group part it in two).

Source: arXiv 2309.14327, section 3.3.
"""

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.blend.kinds.samples import DrawnSamples, join_conversations
from blender.core.arrays import Bools, Ints


def concatenate(
    pool: ConversationArrays, conversations: Ints, sizes: tuple[int, int], random: np.random.Generator
) -> DrawnSamples:
    """Concatenate conversations at random.

    Args:
        pool: All conversations.
        conversations: The ones to use.
        sizes: Smallest and largest group; each size is as likely as any other. The last group, and groups cut for a
            limit or a reference, may be smaller.
        random: Draws order and sizes.
    """
    order: Ints = random.permutation(conversations)
    drawn = random.integers(sizes[0], sizes[1], size=len(order), endpoint=True)
    groups: Ints = np.repeat(np.arange(len(order)), drawn)[: len(order)]
    order, groups = _recut(pool, order, groups)
    return join_conversations(pool, order, groups, random)


def _recut(pool: ConversationArrays, order: Ints, groups: Ints) -> tuple[Ints, Ints]:
    """Cut further the groups that cannot stay as they are, and number all groups through."""
    if not len(order):
        return order, groups
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    sizes = np.diff(np.append(starts, len(order)))
    heavy = (np.add.reduceat(pool.weights(order), starts) > pool.capacity).any(axis=1)
    # a group of one always stands, and so does one where only the first is not renumberable
    fixed = ~pool.renumberable[order]
    fixed_behind = np.add.reduceat(fixed.astype(np.int64), starts) > fixed[starts]
    begins = np.zeros(len(order), dtype=bool)
    begins[starts] = True
    for group in np.flatnonzero((heavy | fixed_behind) & (sizes > 1)):
        span = slice(starts[group], starts[group] + sizes[group])
        order[span], begins[span] = _cut(pool, order[span])
    return order, np.cumsum(begins) - 1


def _cut(pool: ConversationArrays, members: Ints) -> tuple[Ints, Bools]:
    """Part one group: those that are not renumberable each begin a group, the others fill up the last one begun.

    Returns:
        The members in their new order, and which of them begin a group.
    """
    members = members[np.argsort(pool.renumberable[members], kind="stable")]
    weights, renumberable = pool.weights(members), pool.renumberable[members]
    begins, filled = np.zeros(len(members), dtype=bool), np.zeros_like(pool.capacity)
    for position in range(len(members)):
        if position == 0 or not renumberable[position] or (filled + weights[position] > pool.capacity).any():
            begins[position], filled = True, np.zeros_like(pool.capacity)
        filled = filled + weights[position]
    return members, begins
