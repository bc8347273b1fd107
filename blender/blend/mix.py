"""One entry of a blend, drawn as often as the recipe asks.

Whole copies come first, then a part of one more without replacement. Every copy of a random blend is drawn afresh, from
a generator of its own. Evaluation samples are never repeated: an entry gives each of them at most once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.blend.kinds import draw_once
from blender.blend.kinds.samples import DrawnSamples, stack
from blender.blend.tables import SPLITS
from blender.core.arrays import Bools
from blender.core.randomness import generator
from blender.recipe import BlendEntry


def draw_entry(pool: ConversationArrays, entry: BlendEntry, held_out: Bools, seed: int) -> dict[str, DrawnSamples]:
    """Draw the samples of an entry.

    Args:
        pool: The conversations.
        entry: The recipe's entry.
        held_out: (N,) the conversations that are for evaluation.
        seed: The recipe's seed.

    Returns:
        The samples of each split.
    """
    sides = dict(zip(SPLITS, (~held_out, held_out), strict=True))

    def copy_of(split: str) -> Callable[[int], DrawnSamples]:
        return lambda copy: draw_once(pool, entry, sides[split], generator(seed, "blend", entry.name, split, copy))

    first = {split: copy_of(split)(0) for split in SPLITS}
    amounts = _amounts(entry, first["train"].num_samples, first["eval"].num_samples)
    return {
        split: _draw_amount(first[split], copy_of(split), amounts[split], generator(seed, "part", entry.name, split))
        for split in SPLITS
    }


@dataclass(frozen=True)
class _Amount:
    """Either so many copies, or so many samples."""

    copies: float | None = None
    samples: int | None = None

    def wanted(self, copy: int, done: int, size: int) -> int:
        """Return how many of the ``size`` samples of a copy are wanted, after ``done`` of the copies before."""
        if self.samples is not None:
            return min(size, self.samples - done)
        return round(min(1.0, max(0.0, (self.copies or 0.0) - copy)) * size)

    def reached(self, copies: int, done: int) -> bool:
        """Tell whether nothing is left to draw."""
        return done >= self.samples if self.samples is not None else copies >= (self.copies or 0.0)


def _amounts(entry: BlendEntry, num_train: int, num_eval: int) -> dict[str, _Amount]:
    if not isinstance(entry.samples, int):
        share = float(entry.samples.removesuffix("%")) / 100 if entry.samples else entry.repeat or 1.0
        return {"train": _Amount(copies=share), "eval": _Amount(copies=min(share, 1.0))}
    total = entry.samples
    for_eval = min(num_eval, round(total * num_eval / max(1, num_train + num_eval)))
    return {"train": _Amount(samples=total - for_eval), "eval": _Amount(samples=for_eval)}


def _draw_amount(
    first: DrawnSamples, copy_of: Callable[[int], DrawnSamples], amount: _Amount, random: np.random.Generator
) -> DrawnSamples:
    copies: list[DrawnSamples] = []
    done = 0
    for number in count():
        copy = copy_of(number) if number else first
        wanted = amount.wanted(number, done, copy.num_samples)
        whole = wanted == copy.num_samples
        copies.append(copy if whole else copy.part(np.sort(random.permutation(copy.num_samples)[:wanted])))
        done += wanted
        if not copy.num_samples or amount.reached(number + 1, done):
            return stack(copies)
    raise AssertionError("count() does not end")
