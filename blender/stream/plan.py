"""The whole sequence that a training run sees, cut into batches and ranks.

A :class:`Point` says where a batch begins: an epoch, and how many of its samples have been consumed. It is all the
state there is. Which samples follow depends on the mixture and the seed alone; batch size, world size and the number of
workers only say how they are dealt out::

    plan = StreamPlan(Leaf("mine", shard_sizes, fingerprint), seed=0, batch_size=64)
    point = plan.load_state_dict(state) if state else START
    while training:
        slots = plan.rank_slice(point, rank, world)   # every batch, or every k-th with plan.after(point, k)
        point = plan.after(point)
    state = plan.state_dict(point)

Sample n of an epoch belongs to batch n // batch_size, and a rank takes a contiguous part of each batch: consecutive
samples are of all leaves by their shares, so each rank's part is, too. Taking every W-th sample would not do: of two
leaves in turn, one of two ranks would see the first alone.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from blender.core.errors import StreamError
from blender.stream.mixture import Mixture, Node, mix
from blender.stream.order import Order
from blender.stream.schedule import Schedule

Ints = npt.NDArray[np.int64]

#: of the state and of the sequence: the same state gives the same continuation only under the same version
VERSION = 1

#: characters of a fingerprint that are shown: a split and the beginning of a hash
_SHOWN = 18

_SAME = "continue with the data that it was made with, and with the version of the program that wrote it"

Tail = Literal["drop", "pad"]


class Point(NamedTuple):
    """Where a batch begins."""

    epoch: int = 0
    #: samples of the epoch, over all ranks, that come before
    position: int = 0


START = Point()


class Draw(NamedTuple):
    """One sample of the sequence."""

    #: its number in the epoch
    number: int
    #: index of its leaf in the mixture
    leaf: int
    #: which copy of the leaf this is, in this epoch
    copy: int
    #: index of its shard in the leaf
    shard: int
    row: int


@dataclass(frozen=True)
class Columns:
    """Consecutive samples of the sequence, as arrays of length n: fields of a :class:`Draw`."""

    #: the first one's number in the epoch
    start: int
    leaves: Ints
    copies: Ints
    shards: Ints
    rows: Ints

    def draws(self, numbers: Ints) -> list[Draw]:
        """Return the samples of some numbers in the epoch."""
        which = numbers - self.start
        found = (column[which].tolist() for column in (self.leaves, self.copies, self.shards, self.rows))
        return [Draw(*fields) for fields in zip(numbers.tolist(), *found, strict=True)]


class _LeafState(msgspec.Struct, frozen=True):
    path: str
    fingerprint: str
    #: samples of it consumed in this epoch
    consumed: int


class _State(msgspec.Struct, frozen=True):
    version: int
    mixture: str
    seed: int
    epoch: int
    position: int
    leaves: list[_LeafState]


class StreamPlan:
    """The sequence of samples of every epoch, in batches.

    Args:
        root: What to stream: a leaf, or a group of them.
        seed: The seed of all orders.
        batch_size: Samples in a batch, over all ranks.
        tail: What becomes of the samples that do not fill a batch at an epoch's end: ``drop`` leaves them out (of this
            epoch; the next one has them elsewhere), ``pad`` gives a last batch with empty slots.

    Raises:
        StreamError: The mixture cannot be used, or an epoch has no batch.
    """

    def __init__(self, root: Node, seed: int, batch_size: int, tail: Tail = "drop") -> None:
        self.root = root
        self.mixture: Mixture = mix(root)
        self.seed, self.batch_size, self.tail = seed, batch_size, tail
        self._schedule = Schedule(self.mixture.whole_shares, self.mixture.num_samples)
        #: by leaf, the orders of its latest two copies, by epoch and copy
        self._orders: list[dict[tuple[int, int], Order]] = [{} for _ in self.mixture.places]
        self._check()

    @property
    def num_samples(self) -> int:
        """Samples in an epoch, those of the tail included."""
        return self.mixture.num_samples

    def num_batches(self, point: Point = START) -> int:
        """Count the batches from a point to the end of its epoch, the same for every rank."""
        left = self.num_samples - point.position
        return left // self.batch_size if self.tail == "drop" else -(-left // self.batch_size)

    def num_slots(self, world: int) -> int:
        """Count the slots that every rank has in every batch."""
        return -(-self.batch_size // world)

    def after(self, point: Point, num_batches: int = 1) -> Point:
        """Return where the batch begins that comes so many batches after the one at a point.

        A point never stands behind the last batch of an epoch, but at the first one of the next.
        """
        left = self.num_batches(point)
        if num_batches < left:
            return Point(point.epoch, point.position + num_batches * self.batch_size)
        epochs, batch = divmod(num_batches - left, self.num_batches())
        return Point(point.epoch + 1 + epochs, batch * self.batch_size)

    def rank_slice(self, point: Point, rank: int, world: int) -> list[Draw | None]:
        """Return the part of a rank in the batch at a point.

        Args:
            point: Where the batch begins.
            rank: Number of the rank, from 0.
            world: Number of ranks.

        Returns:
            ``num_slots(world)`` samples; None for slots that stay empty, which come last. There are such where the
            batch size is no multiple of the world size, and in the last batch of an epoch whose tail is padded.
        """
        filled = min(self.batch_size, self.num_samples - point.position)
        start, stop = (point.position + turn * filled // world for turn in (rank, rank + 1))
        num_empty = self.num_slots(world) - (stop - start)
        return [*self.draws(point.epoch, start, stop), *[None] * num_empty]

    def draws(self, epoch: int, start: int, stop: int) -> list[Draw]:
        """Return the samples of an epoch from a position to another, for instance to see which shards come next."""
        return self.columns(epoch, start, stop).draws(np.arange(start, stop))

    def columns(self, epoch: int, start: int, stop: int) -> "Columns":
        """Return the same as arrays, for many at once."""
        leaves = self._schedule.slice(start, stop)
        if len(self.mixture.places) == 1:
            return Columns(start, leaves, *self._leaf_draws(0, epoch, start, len(leaves)))
        first = self._schedule.counts(start)
        columns = np.zeros((3, len(leaves)), np.int64)
        for leaf in np.unique(leaves).tolist():
            mine = np.flatnonzero(leaves == leaf)
            columns[:, mine] = self._leaf_draws(leaf, epoch, int(first[leaf]), len(mine))
        return Columns(start, leaves, *columns)

    def counts(self, position: int) -> dict[str, int]:
        """Count the samples of each leaf before a position of an epoch, by its path."""
        counts = self._schedule.counts(position).tolist()
        return {place.path: count for place, count in zip(self.mixture.places, counts, strict=True)}

    def state_dict(self, point: Point) -> dict[str, Any]:
        """Write down a point, for JSON."""
        counts = self.counts(point.position)
        leaves = [_LeafState(place.path, place.leaf.fingerprint, counts[place.path]) for place in self.mixture.places]
        state = _State(VERSION, self.mixture.fingerprint, self.seed, point.epoch, point.position, leaves)
        written: dict[str, Any] = msgspec.to_builtins(state)
        return written

    def load_state_dict(self, state: dict[str, Any]) -> Point:
        """Read a point that was written down, whatever the batch size and the world size were.

        Raises:
            StreamError: The state is of another mixture, seed or version, or is damaged.
        """
        if state.get("version") != VERSION:
            raise StreamError(
                f"the stream state has version {state.get('version')}, and this program continues version {VERSION}",
                "continue with the version of the program that wrote it",
            )
        try:
            known = msgspec.convert(state, _State)
        except msgspec.ValidationError as error:
            raise StreamError(f"the stream state cannot be read: {error}", "take it from another checkpoint") from error
        self._check_same(known)
        point = Point(known.epoch, known.position)
        return point if self.num_batches(point) > 0 else self.after(point, 0)

    def _check(self) -> None:
        if self.batch_size < 1:
            raise StreamError(f"the batch size is {self.batch_size}", "it must be at least 1")
        if not self.num_batches():
            raise StreamError(
                f"an epoch has {self.num_samples} samples, which do not fill a batch of {self.batch_size}",
                "make the batch smaller, or the tail `pad`",
            )

    def _check_same(self, known: _State) -> None:
        """Refuse a state that another sequence was at."""
        mine = {place.path: place.leaf.fingerprint for place in self.mixture.places}
        theirs = {leaf.path: leaf.fingerprint for leaf in known.leaves}
        for path in {**theirs, **mine}:
            if mine.get(path) != theirs.get(path):
                raise StreamError(_difference(path, mine, theirs), _SAME)
        if known.mixture != self.mixture.fingerprint:
            raise StreamError(
                "the stream state was made with other shares or shards of the same blends",
                "continue with the weights, repeats and samples that it was made with",
            )
        if known.seed != self.seed:
            raise StreamError(f"the stream state was made with seed {known.seed}, not {self.seed}", "set that seed")
        in_range = known.epoch >= 0 and 0 <= known.position <= self.num_samples
        if not in_range or [leaf.consumed for leaf in known.leaves] != list(self.counts(known.position).values()):
            raise StreamError("the stream state is damaged: its counts do not agree", "take it from another checkpoint")

    def _leaf_draws(self, leaf: int, epoch: int, start: int, num_draws: int) -> Ints:
        """Return copy, shard and row of consecutive draws of a leaf, over the ends of its copies."""
        size = self.mixture.places[leaf].leaf.num_samples
        columns = [np.zeros((3, 0), np.int64)]
        while num_draws:
            copy, position = divmod(start, size)
            rows = self._order(leaf, epoch, copy).slice(position, min(size, position + num_draws))
            columns.append(np.stack([np.full(len(rows), copy, np.int64), rows.shards, rows.rows]))
            start, num_draws = start + len(rows), num_draws - len(rows)
        return np.concatenate(columns, axis=1)

    def _order(self, leaf: int, epoch: int, copy: int) -> Order:
        orders = self._orders[leaf]
        if (epoch, copy) not in orders:
            place = self.mixture.places[leaf]
            while len(orders) > 1:
                del orders[next(iter(orders))]
            orders[epoch, copy] = Order(place.leaf.shard_sizes, self.seed, place.path, epoch, copy)
        return orders[epoch, copy]


def _difference(path: str, mine: dict[str, str], theirs: dict[str, str]) -> str:
    if path not in mine:
        return f"the stream state was made with the blend {path}, which is not streamed now"
    if path not in theirs:
        return f"the stream state was made without the blend {path}, which is streamed now"
    return f"the stream state was made for another blend {path}: {theirs[path][:_SHOWN]}, not {mine[path][:_SHOWN]}"
