"""The sequence of samples of every epoch, and the state that resumes it.

Which sample comes when depends on the mixture and the seed alone: :mod:`blender.stream.interleave` decides which
component comes next, :mod:`blender.stream.order` which of its samples. Any stretch is computed directly.
"""

from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from blender.core.errors import StreamError
from blender.stream.interleave import Interleaving
from blender.stream.mixture import Mixture
from blender.stream.order import Order

Ints = npt.NDArray[np.int64]

#: of the state and of the sequence: a state is continued only by the version that defines the same sequence
VERSION = 2

#: version whose sequence is the same as long as there is one component
_VERSION_OF_ONE = 1
#: characters of a fingerprint that are shown: a split and the beginning of a hash
_SHOWN = 18
#: copies of a component whose orders are kept: the one that ends, and the next one
_CACHED_ORDERS = 2

_SAME = "continue with the data that it was made with, and with the version of the program that wrote it"


class SampleReference(NamedTuple):
    """A sample of a mixture, by numbers that all begin at 0."""

    #: number of its component in the mixture
    component: int
    #: number of its shard in the component
    shard: int
    #: number of the sample in its shard
    row: int


class _ComponentState(msgspec.Struct, frozen=True):
    path: str
    fingerprint: str
    #: samples of it consumed in this epoch
    consumed: int


class _SequenceState(msgspec.Struct, frozen=True):
    version: int
    mixture: str
    seed: int
    epoch: int
    position: int
    components: list[_ComponentState]


class SampleSequence:
    """The samples of every epoch of a mixture, in order.

    Args:
        mixture: What to stream.
        seed: The seed of all orders.
    """

    def __init__(self, mixture: Mixture, seed: int) -> None:
        self.mixture, self.seed = mixture, seed
        self._components = list(mixture.components.items())
        self._interleaving = Interleaving(mixture.counts)
        #: by component: orders by epoch and copy
        self._orders: list[LRUCache[tuple[int, int], Order]] = [LRUCache(_CACHED_ORDERS) for _ in self._components]

    def __len__(self) -> int:
        return self.mixture.num_samples

    def slice(self, epoch: int, start: int, stop: int) -> Ints:
        """Return the samples of an epoch from one position to another.

        Returns:
            (stop - start, 3) the fields of a :class:`SampleReference`.
        """
        components = self._interleaving.slice(start, stop)
        before = self._interleaving.counts(start)
        references = np.empty((len(components), 3), np.int64)
        references[:, 0] = components
        for component in np.unique(components).tolist():
            own = np.flatnonzero(components == component)
            references[own, 1:] = self._component_slice(component, epoch, int(before[component]), len(own))
        return references

    def counts(self, position: int) -> dict[str, int]:
        """Count the samples of each component before a position of an epoch, by its path."""
        return dict(zip(self.mixture.components, self._interleaving.counts(position).tolist(), strict=True))

    def state_dict(self, epoch: int, position: int) -> dict[str, Any]:
        """Return the state at a position of an epoch, for JSON."""
        counts = self.counts(position)
        components = [_ComponentState(path, each.fingerprint, counts[path]) for path, each in self._components]
        state = _SequenceState(VERSION, self.mixture.fingerprint, self.seed, epoch, position, components)
        builtins: dict[str, Any] = msgspec.to_builtins(state)
        return builtins

    def load_state_dict(self, state: dict[str, Any]) -> tuple[int, int]:
        """Return epoch and position of a state.

        Raises:
            StreamError: The state is of another mixture, seed or version, or is damaged.
        """
        if state.get("version") == _VERSION_OF_ONE and len(self._components) == 1:
            state = {**state, "version": VERSION, "components": state.get("leaves")}
        if state.get("version") != VERSION:
            raise StreamError(
                f"the stream state has version {state.get('version')}, and this program continues version {VERSION}",
                "continue with the version of the program that wrote it",
            )
        try:
            known = msgspec.convert(state, _SequenceState)
        except msgspec.ValidationError as error:
            raise StreamError(f"the stream state cannot be read: {error}", "take it from another checkpoint") from error
        self._check_same(known)
        return known.epoch, known.position

    def _check_same(self, known: _SequenceState) -> None:
        """Refuse the state of another sequence."""
        mine = {path: component.fingerprint for path, component in self._components}
        theirs = {component.path: component.fingerprint for component in known.components}
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
        in_range = known.epoch >= 0 and 0 <= known.position <= len(self)
        if not in_range or [each.consumed for each in known.components] != list(self.counts(known.position).values()):
            raise StreamError("the stream state is damaged: its counts do not agree", "take it from another checkpoint")

    def _component_slice(self, component: int, epoch: int, start: int, num_samples: int) -> Ints:
        """Return (num_samples, 2) shard and row of consecutive samples of a component, across its copies."""
        size = self._components[component][1].num_samples
        parts = []
        while num_samples:
            copy, position = divmod(start, size)
            part = self._order(component, epoch, copy).slice(position, min(size, position + num_samples))
            parts.append(part)
            start, num_samples = start + len(part), num_samples - len(part)
        return np.concatenate(parts)

    def _order(self, component: int, epoch: int, copy: int) -> Order:
        orders = self._orders[component]
        order: Order | None = orders.get((epoch, copy))
        if order is None:
            path, mixed = self._components[component]
            order = orders[epoch, copy] = Order(mixed.shard_sizes, self.seed, path, epoch, copy)
        return order


def _difference(path: str, mine: dict[str, str], theirs: dict[str, str]) -> str:
    if path not in mine:
        return f"the stream state was made with the blend {path}, which is not streamed now"
    if path not in theirs:
        return f"the stream state was made without the blend {path}, which is streamed now"
    return f"the stream state was made for another blend {path}: {theirs[path][:_SHOWN]}, not {mine[path][:_SHOWN]}"
