"""Which leaf of a mixture comes next: an interleaving that keeps every share within one sample, at every point.

Leaf i has the share ``q`` of the sequence. Its j-th draw may come once ``n q > j - 1`` and must have come as soon as
``n q >= j``; a sequence in which every draw keeps to this window has counts that differ from ``n q`` by less than one
at every prefix n. Windows of this kind can always be kept (Tijdeman, *The chairman assignment problem*, 1980), and
serving the earliest deadline among the open windows keeps them, as it keeps any set of windows of unit jobs that can
be kept at all.

Doing that from the start of an epoch would make resuming slow, so the counts are known directly at *anchors*, and the
way from one anchor to the next depends on these two alone. At an anchor n the window of at most one draw per leaf is
open, ``frac(n q)`` of it has passed, and the counts say which of these draws are done. Two conditions make a choice
good: of the windows opened last, no more are done than there was room for since; of those closing first, no more are
left than there is room for. With x = 1 for a done draw it is enough that

- the sum of x over the latest opened is at most ``ceil`` of the sum of frac, for any number of them, and
- the sum of x over the earliest closing is at least ``floor`` of the sum of frac, for any number of them.

Both families of sets are chains, so the constraints are totally unimodular, and as frac itself fulfils them a choice of
zeros and ones does. The first family makes a matroid; taking draws greedily by deadline maximises all sums of the
second family at once, and so finds one. Between anchors that lie further apart than the longest window no draw can be
done at the first and undone at the second, and Hall's condition for the draws between holds: earliest deadline first
arrives exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

#: draws that are worked out at a time
BLOCK = 4096

_KEPT_BLOCKS = 4


@dataclass(frozen=True)
class _Block:
    """A stretch of the schedule."""

    #: (K,) draws of each leaf before it
    before: Ints
    #: (n,) the leaves in turn
    leaves: Ints


class Schedule:
    """The leaves of an epoch in turn, worked out where they are asked for.

    The time of an access does not depend on the position, unless a leaf has a share below 1 / ``BLOCK``: then it is
    that of up to two times 1 / share draws, at a quarter of a microsecond each, when accesses do not follow each other.

    Args:
        shares: (K,) the leaves' shares as whole numbers, in proportion to each other; each gets at least one draw.
        length: Draws in an epoch.
    """

    def __init__(self, shares: Sequence[int], length: int) -> None:
        self.length = length
        self._num_leaves = len(shares)
        self._whole = sum(shares)
        longest = -(-self._whole // min(shares))
        fits = (length + longest + 1) * self._whole < 2**62
        #: Python's integers where 64 bits would not do
        self._shares: npt.NDArray[Any] = np.array(shares, np.int64 if fits else object)
        self._blocks_apart = -(-longest // BLOCK)
        self._blocks: dict[int, _Block] = {}
        self._ends: dict[int, Ints] = {}

    def counts(self, position: int) -> Ints:
        """Count the draws of each leaf before a position.

        Returns:
            (K,) counts.
        """
        if self._num_leaves == 1:
            return np.array([position])
        if position == self.length:
            return self._counts_at(position)
        block = self._block(position // BLOCK)
        return block.before + self._tally(block.leaves[: position % BLOCK])

    def slice(self, start: int, stop: int) -> Ints:
        """Return the leaves from a position to another.

        Returns:
            (stop - start,) indices of leaves.
        """
        if self._num_leaves == 1 or start >= stop:
            return np.zeros(max(0, stop - start), np.int64)
        first = start // BLOCK
        blocks = [self._block(number).leaves for number in range(first, (stop - 1) // BLOCK + 1)]
        return np.concatenate(blocks)[start - first * BLOCK : stop - first * BLOCK]

    def _tally(self, leaves: Ints) -> Ints:
        return np.bincount(leaves, minlength=self._num_leaves)

    def _block(self, number: int) -> _Block:
        if number not in self._blocks:
            anchor = self._anchor(number)
            known = [at for at in self._blocks if anchor <= at < number]
            start = max(known, default=anchor - 1) + 1
            for at in range(start, number + 1):
                self._keep(at, self._make_block(at, anchor))
        return self._blocks[number]

    def _keep(self, number: int, block: _Block) -> None:
        self._blocks.pop(number, None)
        self._blocks[number] = block
        while len(self._blocks) > _KEPT_BLOCKS:
            del self._blocks[next(iter(self._blocks))]

    def _anchor(self, number: int) -> int:
        """Return the block, at or before a block, at whose start the counts are known directly."""
        last = self.length // (self._blocks_apart * BLOCK) - 1
        return max(0, min(number // self._blocks_apart, last)) * self._blocks_apart

    def _next_anchor(self, anchor: int) -> int:
        """Return the position of the anchor after one."""
        after = anchor + self._blocks_apart
        return after * BLOCK if self._anchor(after) == after else self.length

    def _make_block(self, number: int, anchor: int) -> _Block:
        if number == anchor:
            before = self._counts_at(number * BLOCK)
        else:
            previous = self._blocks[number - 1]
            before = previous.before + self._tally(previous.leaves)
        start, goal = number * BLOCK, self._next_anchor(anchor)
        stop = min(start + BLOCK, self.length)
        return _Block(before, self._serve(start, stop, before, goal))

    def _serve(self, start: int, stop: int, before: Ints, goal: int) -> Ints:
        """Serve the earliest deadline first, from a position to another on the way to an anchor."""
        opened = self._ceil(stop * self._shares, self._whole)
        num_draws = np.minimum(self._end_counts(goal), opened) - before
        leaves = np.repeat(np.arange(self._num_leaves), num_draws)
        in_turn = np.arange(len(leaves)) - np.repeat(np.cumsum(num_draws) - num_draws, num_draws)
        numbers = before[leaves] + in_turn
        opening, closing = self._windows(leaves, numbers)
        by_opening = np.argsort(opening, kind="stable")
        deadlines = closing * self._num_leaves + leaves
        num_open = np.searchsorted(opening[by_opening], np.arange(start, stop), side="right")
        return np.array(_earliest_first(deadlines[by_opening].tolist(), num_open.tolist())) % self._num_leaves

    def _end_counts(self, goal: int) -> Ints:
        if goal not in self._ends:
            self._ends = {goal: self._counts_at(goal)}
        return self._ends[goal]

    def _windows(self, leaves: Ints, numbers: Ints) -> tuple[Ints, Ints]:
        """Return from when to when draws, numbered from 0 within their leaves, may be made."""
        exact, shares = numbers.astype(self._shares.dtype), self._shares[leaves]
        return (exact * self._whole // shares).astype(np.int64), self._ceil((exact + 1) * self._whole, shares)

    def _counts_at(self, position: int) -> Ints:
        """Work out the counts at an anchor from its position alone."""
        due = position * self._shares
        done, passed = (due // self._whole).astype(np.int64), due % self._whole
        open_ = np.flatnonzero(passed > 0)
        opening, closing = self._windows(open_, done[open_])
        latest_first = np.argsort(-opening, kind="stable")
        rank = np.empty(len(open_), np.int64)
        rank[latest_first] = np.arange(len(open_))
        room = self._ceil(np.cumsum(passed[open_][latest_first]), self._whole)
        for draw in np.argsort(closing, kind="stable"):
            if room[rank[draw] :].min() > 0:
                room[rank[draw] :] -= 1
                done[open_[draw]] += 1
        return done

    @staticmethod
    def _ceil(numerator: npt.NDArray[Any], denominator: Any) -> Ints:
        rounded: Ints = (-(-numerator // denominator)).astype(np.int64)
        return rounded


def _earliest_first(deadlines: list[int], num_open: list[int]) -> list[int]:
    """Serve one draw at a time.

    Args:
        deadlines: Deadlines of the draws, sorted by when their windows open; made unique by their leaves.
        num_open: How many of the windows have opened, at each step.

    Returns:
        The deadlines in the order served.
    """
    waiting: list[int] = []
    served = []
    seen = 0
    for opened in num_open:
        while seen < opened:
            heappush(waiting, deadlines[seen])
            seen += 1
        served.append(heappop(waiting))
    return served
