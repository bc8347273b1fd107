"""How many conversations of each source a recipe wants for evaluation."""

from collections.abc import Mapping

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.core.arrays import Bools, Ints
from blender.core.errors import PlanError

#: a share, a number of conversations, or one of these for each source
Amount = float | int | Mapping[str, float | int]


def count_targets(pool: ConversationArrays, amount: Amount, excluded: Bools) -> Ints:
    """Count the conversations that are wanted of each source.

    A share is that of each source, rounded; where that gives nothing at all, one conversation of the largest source is
    wanted. A number is spread over the sources by their sizes.

    Args:
        pool: The conversations; only usable ones count.
        amount: What the recipe asks for.
        excluded: (S,) the sources of which nothing is wanted.

    Raises:
        PlanError: More is asked for than there is.
    """
    sizes = np.bincount(pool.source[pool.usable], minlength=len(pool.sources))
    if isinstance(amount, Mapping):
        return np.array(
            [_of_one(name, amount.get(name, 0.0), int(size)) for name, size in zip(pool.sources, sizes, strict=True)],
            dtype=np.int64,
        )
    sizes = np.where(excluded, 0, sizes)
    total = int(sizes.sum())
    if isinstance(amount, int):
        _refuse_more(amount, total, "all sources together")
        return _spread(amount, sizes)
    targets: Ints = np.rint(amount * sizes).astype(np.int64)
    if amount and not targets.any() and total > 1:
        targets[np.argmax(sizes)] = 1
    return targets


def _of_one(name: str, amount: float | int, size: int) -> int:
    if isinstance(amount, int):
        _refuse_more(amount, size, f"source {name}")
        return amount
    return round(amount * size) or int(amount > 0 and size > 1)


def _refuse_more(asked: int, size: int, where: str) -> None:
    if asked >= size:
        raise PlanError(
            f"split.eval asks for {asked:,} conversations of {where}, which has {size:,} that can be used",
            "ask for fewer; something must be left for train",
        )


def _spread(total: int, sizes: Ints) -> Ints:
    """Spread a number over parts by their sizes: rounded down, and one more for those that lose most by it."""
    exact = total * sizes / max(1, int(sizes.sum()))
    targets = np.floor(exact).astype(np.int64)
    lost = np.argsort(targets - exact, kind="stable")
    targets[lost[: total - int(targets.sum())]] += 1
    return targets
