"""The stream at random world sizes and numbers of workers, stopped at random and gone on with at other ones.

However an epoch was cut up, its samples are those of one process without interruption, in the same order.
"""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.campaign.corpus import write_recipe
from benchmarks.campaign.outcome import Outcome, expect, repeat
from blender import load_recipe, write_blend
from blender.stream.loader import LoaderSettings
from blender.stream.opening import open_mixture
from blender.stream.stored import StoredBatch, StoredLoader

_MOST_RANKS = 16
_MOST_WORKERS = 4
#: ranks whose batches are read when each has workers; more would be a hundred processes at a time
_FEW_RANKS = 2

Key = tuple[str, str]


def cut_streams(numbers: Iterable[int], seed: int) -> Outcome:
    """Stream a mixture of two blends, cut up at random."""
    with tempfile.TemporaryDirectory(prefix="streams-") as name:
        data = _mixture(Path(name))
        return repeat("streams", lambda random: _try(data, random), numbers, seed)


def _mixture(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for number, weight in enumerate((3, 1)):
        recipe = write_recipe(folder / str(number), num_images=60 + 30 * number, samples_per_shard=7)
        write_blend(
            load_recipe(recipe, [f"seed={number}", f"name=blend{number}"]), folder / f"blend{number}", workers=1
        )
        data[f"blend{number}"] = {"blend": str(folder / f"blend{number}"), "weight": weight}
    return data


def _try(data: dict[str, Any], random: np.random.Generator) -> str:
    seed = int(random.integers(1_000))
    whole = _epoch(data, seed)
    state: dict[str, Any] | None = None
    position, num_stops = 0, 0
    while position < len(whole):
        cut = _Cut.drawn(random)
        read, state = _read(data, seed, state, cut)
        where = f"at sample {position} of {len(whole)}, after {num_stops} stops, {cut}"
        for rank, batches in read.items():
            for number, keys in enumerate(batches):
                start, stop = cut.stretch(position + number * cut.batch_size, len(whole), rank)
                expect(keys == whole[start:stop], f"rank {rank} gets other samples in batch {number} {where}")
        num_batches = len(read[cut.ranks[0]])
        expect(num_batches, f"nothing comes {where}")
        position, num_stops = position + num_batches * cut.batch_size, num_stops + 1
    return "the same sequence"


@dataclass(frozen=True)
class _Cut:
    """How a stretch of the epoch is read."""

    world: int
    workers: int
    batch_size: int
    num_batches: int
    #: those whose batches are looked at
    ranks: tuple[int, ...]

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Self:
        world, workers = int(random.integers(1, _MOST_RANKS + 1)), int(random.integers(_MOST_WORKERS + 1))
        num_ranks = min(_FEW_RANKS, world) if workers else world
        ranks = sorted(random.choice(world, num_ranks, replace=False).tolist())
        return cls(world, workers, int(random.integers(1, 41)), int(random.integers(1, 9)), tuple(ranks))

    def stretch(self, position: int, num_samples: int, rank: int) -> tuple[int, int]:
        """Return where a rank's part of the batch at a position begins and ends in the sequence."""
        filled = min(self.batch_size, num_samples - position)
        return position + rank * filled // self.world, position + (rank + 1) * filled // self.world


def _epoch(data: dict[str, Any], seed: int) -> list[Key]:
    loader = StoredLoader(open_mixture(data), LoaderSettings(batch_size=8, seed=seed, tail="pad"), 0, 1)
    return [key for batch in loader for key in _keys(batch)]


def _keys(batch: StoredBatch) -> list[Key]:
    return [(tags["blend"], stored.sample.key) for stored, tags in zip(batch.samples, batch.tags, strict=True)]


def _read(
    data: dict[str, Any], seed: int, state: dict[str, Any] | None, cut: _Cut
) -> tuple[dict[int, list[list[Key]]], dict[str, Any]]:
    """Read some batches; return each rank's samples batch by batch, and the state behind them."""
    settings = LoaderSettings(batch_size=cut.batch_size, seed=seed, tail="pad", workers=cut.workers)
    read, states = {}, set()
    for rank in cut.ranks:
        loader = StoredLoader(open_mixture(data), settings, rank, cut.world)
        if state is not None:
            loader.load_state_dict(state)
        read[rank] = [_keys(batch) for batch in islice(loader, cut.num_batches)]
        states.add(json.dumps(loader.state_dict(), sort_keys=True))
    expect(len(states) == 1, f"ranks {cut.ranks} end with different states, {cut}")
    return read, json.loads(states.pop())
