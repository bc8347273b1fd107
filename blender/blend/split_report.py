"""What a split could not give as it was asked, in sentences, with the numbers and what can be done about it."""

from collections.abc import Iterator

import numpy as np

from blender.blend.conversations import ConversationArrays
from blender.blend.split import ImageSplit
from blender.core.arrays import Ints

#: a source may differ by this share of what was asked before it is told
_NEAR = 0.2


def split_warnings(pool: ConversationArrays, split: ImageSplit) -> Iterator[str]:
    """Say where a split by image differs from what was asked, and what was lost to it.

    Args:
        pool: The conversations as they were before the split.
        split: The split.
    """
    if not pool.usable.any():
        return
    held, lost = (
        np.bincount(pool.source[chosen], minlength=len(pool.sources)) for chosen in (split.held_out, split.straddling)
    )
    for number, name in enumerate(pool.sources):
        wanted, got, cut = int(split.wanted[number]), int(held[number]), int(split.cut[number])
        if cut:
            yield (
                f"split: source {name} is in a group of {cut:,} conversations that share images, more than the "
                f"{wanted:,} of it that are asked for; {_held_out(wanted, got)}"
            )
        elif abs(got - wanted) > max(_NEAR * wanted, 1):
            yield (
                f"split.eval: {wanted:,} conversations of source {name} asked for, {got:,} held out, because "
                "conversations that share images stay together"
            )
    if lost.any():
        yield _lost(pool.sources, lost, split.cut)


def _held_out(wanted: int, got: int) -> str:
    held = f"{got:,} {'is' if got == 1 else 'are'} held out"
    by_cutting = got <= wanted * (1 + _NEAR)
    return (
        f"{held} by cutting the group" if by_cutting else f"{held}, because conversations about one image stay together"
    )


def _lost(sources: tuple[str, ...], lost: Ints, cut: Ints) -> str:
    each = ", ".join(f"{count:,} of {name}" for name, count in zip(sources, lost.tolist(), strict=True) if count)
    shown = "1 conversation shows" if lost.sum() == 1 else f"{int(lost.sum()):,} conversations show"
    are = "is" if lost.sum() == 1 else "are"
    said = f"split: {shown} an image of each side and {are} lost (straddles_split): {each}"
    if not cut.any():
        return said
    named = ", ".join(name for name, size in zip(sources, cut.tolist(), strict=True) if size)
    return (
        f"{said}; to lose none, hold nothing of it out (split: {{exclude: [{named}]}}), ask for a smaller share, or "
        "blend fewer sources that share its images"
    )
