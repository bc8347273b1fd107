"""One entry of a blend, drawn as often as the recipe asks.

Whole copies come first, then a part of one more without replacement. Every copy of a random blend is drawn afresh, from
a generator of its own. Evaluation samples are never repeated: an entry gives each of them at most once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
import polars as pl

from blender.blend.concatenate import concatenate
from blender.blend.image_match import image_match
from blender.blend.pool import Bools, Draft, Pool, lay_out
from blender.core.randomness import generator
from blender.recipe import BlendEntry

SPLITS = ("train", "eval")


@dataclass(frozen=True)
class Drawn:
    """All samples of one entry in one split."""

    dataset: str
    split: str
    draft: Draft


def draw_entry(pool: Pool, entry: BlendEntry, held_out: Bools, seed: int) -> list[Drawn]:
    """Draw the samples of an entry, for train and for eval.

    Args:
        pool: The conversations.
        entry: The recipe's entry.
        held_out: (N,) the conversations that are for evaluation.
        seed: The recipe's seed.
    """
    sides = dict(zip(SPLITS, (~held_out, held_out), strict=True))

    def copy_of(split: str) -> Callable[[int], Draft]:
        return lambda copy: _draw_once(pool, entry, sides[split], generator(seed, "blend", entry.name, split, copy))

    first = {split: copy_of(split)(0) for split in SPLITS}
    amounts = _amounts(entry, first["train"].num_samples, first["eval"].num_samples)
    return [
        Drawn(
            entry.name,
            split,
            _draw_amount(first[split], copy_of(split), amounts[split], generator(seed, "part", entry.name, split)),
        )
        for split in SPLITS
    ]


def _draw_once(pool: Pool, entry: BlendEntry, side: Bools, random: np.random.Generator) -> Draft:
    if entry.image_match is not None:
        bases, leads = (pool.of(sources) for sources in (entry.image_match.base, entry.image_match.with_))
        return image_match(pool, bases[side[bases]], leads[side[leads]], random)
    conversations = pool.of(entry.sources)
    conversations = conversations[side[conversations]]
    if entry.concatenate is not None:
        return concatenate(pool, conversations, entry.concatenate, random)
    return lay_out(pool, conversations, np.arange(len(conversations)), random)


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


def _draw_amount(first: Draft, copy_of: Callable[[int], Draft], amount: _Amount, random: np.random.Generator) -> Draft:
    drafts: list[Draft] = []
    done = 0
    for copy in count():
        draft = copy_of(copy) if copy else first
        wanted = amount.wanted(copy, done, draft.num_samples)
        drafts.append(draft if wanted == draft.num_samples else _part(draft, wanted, random))
        done += wanted
        if not draft.num_samples or amount.reached(copy + 1, done):
            break
    return stack(drafts)


def _part(draft: Draft, num_samples: int, random: np.random.Generator) -> Draft:
    """Keep some samples of a draft, drawn without replacement."""
    kept = np.sort(random.permutation(draft.num_samples)[:num_samples])
    numbers = pl.DataFrame(
        {"sample": kept, "renumbered": np.arange(len(kept))}, schema={"sample": pl.UInt32, "renumbered": pl.UInt32}
    )

    def keep(frame: pl.DataFrame) -> pl.DataFrame:
        joined = frame.join(numbers, on="sample", how="inner", maintain_order="left")
        return joined.with_columns(sample="renumbered").drop("renumbered")

    return Draft(num_samples, keep(draft.turns), keep(draft.shows), draft.left_out)


def stack(drafts: list[Draft]) -> Draft:
    """Put the samples of several drafts behind each other; what was left out is told by the first alone."""
    starts = np.concatenate([[0], np.cumsum([draft.num_samples for draft in drafts])])
    turns, shows = (
        pl.concat(
            [
                getattr(draft, table).with_columns((pl.col("sample") + int(start)).cast(pl.UInt32))
                for draft, start in zip(drafts, starts[:-1], strict=True)
            ]
        )
        for table in ("turns", "shows")
    )
    return Draft(int(starts[-1]), turns, shows, drafts[0].left_out)
