"""Samples as a kind of blend makes them, before repeats, order and shards.

Image numbers inside a text count from the text's own conversation; ``offset`` says how many images the sample shows
before that conversation's first, so that local image ``k`` is image ``offset + k`` of the sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from blender.blend.conversations import ConversationArrays
from blender.blend.tables import LEFT_OUT, SAMPLE_IMAGES, SAMPLE_TURNS
from blender.core.arrays import Ints, bounds_of, expand, group_starts, starts_of


@dataclass(frozen=True)
class DrawnSamples:
    """Samples of an entry, in the tables :data:`~blender.blend.tables.SAMPLE_TURNS` and their like."""

    num_samples: int
    #: in the order asked
    turns: pl.DataFrame
    #: in the order of the image numbers
    images: pl.DataFrame
    #: what the entry could not use
    left_out: pl.DataFrame

    @classmethod
    def of(
        cls,
        num_samples: int,
        turns: tuple[Ints, Ints, Ints],
        images: tuple[Ints, Ints, Ints],
        left_out: pl.DataFrame | None = None,
    ) -> "DrawnSamples":
        """Make the tables of their columns."""
        return cls(
            num_samples,
            SAMPLE_TURNS.frame(dict(zip(SAMPLE_TURNS.columns, turns, strict=True))),
            SAMPLE_IMAGES.frame(dict(zip(SAMPLE_IMAGES.columns, images, strict=True))),
            LEFT_OUT.empty() if left_out is None else LEFT_OUT.check(left_out),
        )

    def part(self, chosen: Ints) -> "DrawnSamples":
        """Keep some samples, given in rising order."""
        new_number = np.full(self.num_samples, -1)
        new_number[chosen] = np.arange(len(chosen))

        def keep(frame: pl.DataFrame) -> pl.DataFrame:
            sample = new_number[frame["sample"].to_numpy()]
            kept = frame.filter(pl.Series(sample >= 0))
            return kept.with_columns(sample=pl.Series(sample[sample >= 0], dtype=pl.UInt32))

        return DrawnSamples(len(chosen), keep(self.turns), keep(self.images), self.left_out)


def stack(copies: Sequence[DrawnSamples]) -> DrawnSamples:
    """Put the samples of several copies behind each other; what was left out is that of the first."""
    if len(copies) == 1:
        return copies[0]
    starts = bounds_of(np.array([copy.num_samples for copy in copies]))
    turns, images = (
        pl.concat(
            [
                frame.with_columns((pl.col("sample") + int(start)).cast(pl.UInt32))
                for frame, start in zip(frames, starts[:-1], strict=True)
            ]
        )
        for frames in ([copy.turns for copy in copies], [copy.images for copy in copies])
    )
    return DrawnSamples(int(starts[-1]), turns, images, copies[0].left_out)


def left_out_for(conversations: Ints, reason: str) -> pl.DataFrame:
    """Make rows of ``left_out`` with one reason."""
    return LEFT_OUT.frame({"conversation": conversations, "reason": [reason] * len(conversations)})


def join_conversations(
    pool: ConversationArrays, conversations: Ints, samples: Ints, random: np.random.Generator
) -> DrawnSamples:
    """Put whole conversations one behind the other.

    Args:
        pool: All conversations.
        conversations: Numbers of the conversations used, in order.
        samples: The sample of each, from 0, not falling.
        random: Orders the turns of conversations whose turns have no order.

    Returns:
        Samples in which each conversation shows its images anew and asks all of its turns.
    """
    num_turns, num_images = pool.num_turns[conversations], pool.num_images[conversations]
    starts = group_starts(samples)
    before = starts_of(num_images)
    offset = before - before[starts]
    turn = in_order(pool, conversations, num_turns, random)
    first = starts_of(num_turns)
    first_seq = first - first[starts]
    ref = expand(pool.first_ref[conversations], num_images)
    shown_by = np.repeat(first_seq, num_images) + np.where(
        np.repeat(pool.ordered[conversations], num_images), pool.ref_turn[ref], 0
    )
    return DrawnSamples.of(
        int(samples[-1]) + 1 if len(samples) else 0,
        (np.repeat(samples, num_turns), turn, np.repeat(offset, num_turns)),
        (np.repeat(samples, num_images), shown_by, pool.ref_image[ref]),
    )


def in_order(pool: ConversationArrays, conversations: Ints, counts: Ints, random: np.random.Generator) -> Ints:
    """Return the first ``counts`` turns of conversations, in their order, or at random where they have none."""
    turn = pool.turn_numbers(expand(pool.first_turn[conversations], counts))
    chance = random.random(len(turn))
    if pool.ordered[conversations].all():
        return turn
    use = np.repeat(np.arange(len(conversations)), counts)
    key = np.where(np.repeat(pool.ordered[conversations], counts), np.arange(len(turn)), chance)
    return turn[np.lexsort((key, use))]
