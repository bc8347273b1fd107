"""The order of one pass over a blend: shuffled across the whole blend, yet close to how files are read best.

The shards are put in random order and cut into ``OPEN`` equal pieces each. A *window* of the sequence takes one piece
from each of ``OPEN`` shards, and every window has them at different stages: from one shard its first piece, from
another its second, and so on to one that comes to its end. The next window is one piece further in each; the shard that
ended is replaced by the next one. So

- at most ``OPEN`` shards are being read at any time, and they are replaced one at a time, not all at once;
- a shard is read in blocks of ``BLOCK`` rows, one after the other, and only the rows within a block are shuffled;
- a window has rows from all stages of its shards, even if the shards are sorted;
- within a window every piece is spread evenly, at random positions, so that each batch has rows from about all shards;
- any position can be computed directly, at the cost of one window.

The sequence is a ring: its first windows take later pieces from the ``OPEN - 1`` shards that come last, and these are
opened a second time at the end of the pass for the rest. Long shards spread each piece over several windows, which
keeps windows small; with fewer than ``OPEN`` shards each shard is read at several offsets at once.
"""

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from blender.core.arrays import starts_of
from blender.core.randomness import generator

Ints = npt.NDArray[np.int64]

#: shards read at a time
OPEN = 16
#: rows of a shard that are shuffled among each other
BLOCK = 32

_WINDOW_ROWS = 4096
_PAGE_ROWS = 1024
_CACHED_PAGES = 3


class Order:
    """One pass over the samples of a blend: each comes once.

    Making one takes a few milliseconds for 10,000 shards; windows are computed when they are needed.

    Args:
        shard_sizes: (S,) samples in each shard.
        seed: The seed.
        purpose: What the order is for; another purpose gives another order.
    """

    def __init__(self, shard_sizes: npt.ArrayLike, seed: int, *purpose: str | int) -> None:
        self._seed, self._purpose = seed, purpose
        sizes = np.asarray(shard_sizes, np.int64)
        self._shards, self._starts, self._sizes = _shuffled_runs(sizes, generator(seed, "shards", *purpose))
        num_runs = len(self._sizes)
        #: windows over which a shard spreads one of its OPEN pieces
        self._parts = max(1, -(-int(sizes.sum()) // (num_runs * _WINDOW_ROWS)))
        num_rows = self._window_sizes()
        #: windows are computed in pages of so many
        self._per_page = max(1, _PAGE_ROWS * len(num_rows) // max(1, int(num_rows.sum())))
        self._page_starts = np.append(np.concatenate([[0], np.cumsum(num_rows)])[: -1 : self._per_page], num_rows.sum())
        self._pages: LRUCache[int, Ints] = LRUCache(_CACHED_PAGES)

    def __len__(self) -> int:
        return int(self._page_starts[-1])

    def slice(self, start: int, stop: int) -> Ints:
        """Return the samples from a position of the pass to another.

        Returns:
            (stop - start, 2) shard of each sample, and its row in the shard.
        """
        if start >= stop:
            return np.zeros((0, 2), np.int64)
        first = int(np.searchsorted(self._page_starts, start, side="right")) - 1
        last = int(np.searchsorted(self._page_starts, stop, side="left"))
        pages = np.concatenate([self._page(number) for number in range(first, last)])
        offset = int(self._page_starts[first])
        return pages[start - offset : stop - offset]

    def _window_sizes(self) -> Ints:
        windows = np.arange(len(self._sizes) * self._parts)
        _, _, num_rows = self._pieces(windows[:, None], np.arange(OPEN))
        return np.asarray(num_rows.sum(axis=1))

    def _pieces(self, windows: Ints, stage: Ints) -> tuple[Ints, Ints, Ints]:
        """Return what windows take from the shard that is at some stage (0 to ``OPEN`` - 1).

        Returns:
            The run, the first of its rows, and how many.
        """
        run = (windows // self._parts - stage) % len(self._sizes)
        part = windows % self._parts + stage * self._parts
        cut, sizes = OPEN * self._parts, self._sizes[run]
        low = part * sizes // cut
        return run, low, (part + 1) * sizes // cut - low

    def _page(self, number: int) -> Ints:
        page: Ints | None = self._pages.get(number)
        if page is None:
            page = self._pages[number] = self._make_page(number)
        return page

    def _make_page(self, number: int) -> Ints:
        num_windows = len(self._sizes) * self._parts
        windows = np.arange(number * self._per_page, min((number + 1) * self._per_page, num_windows))
        in_page = np.repeat(np.arange(len(windows)), OPEN)
        run, low, num_rows = self._pieces(windows[in_page], np.tile(np.arange(OPEN), len(windows)))
        piece = np.repeat(np.arange(len(run)), num_rows)
        nth = np.arange(len(piece)) - np.repeat(starts_of(num_rows), num_rows)
        rows = self._starts[run[piece]] + low[piece] + nth
        random = generator(self._seed, "page", number, *self._purpose).random((2, len(piece)))
        rows = rows[np.argsort(_blocks(piece, rows) + random[0], kind="stable")]
        shuffled = np.argsort(in_page[piece] + (nth + random[1]) / num_rows[piece], kind="stable")
        return np.stack([self._shards[run[piece]][shuffled], rows[shuffled]], axis=1)


def _shuffled_runs(sizes: Ints, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Cut shards into runs of rows, at least ``OPEN`` in all, and shuffle these.

    Returns:
        The shard of each run, its first row, and its number of rows.
    """
    per_shard = -(-OPEN // max(1, len(sizes)))
    cuts = np.arange(per_shard + 1) * sizes[:, None] // per_shard
    shards = np.repeat(np.arange(len(sizes)), per_shard)
    starts, num_rows = cuts[:, :-1].ravel(), np.diff(cuts).ravel()
    shuffled = np.argsort(random.random(len(shards)), kind="stable")
    return shards[shuffled], starts[shuffled], num_rows[shuffled]


def _blocks(piece: Ints, rows: Ints) -> Ints:
    """Number the blocks of rows that are shuffled, in order, through all pieces."""
    begins = (rows % BLOCK == 0) | (np.diff(piece, prepend=-1) > 0)
    return np.cumsum(begins)
