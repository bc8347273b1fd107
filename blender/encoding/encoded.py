"""A conversation as tokens."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


class UnusableTextError(Exception):
    """A text that cannot be tokenised safely.

    Args:
        reason: A key for counting, such as ``special_token``.
        detail: A sentence for users.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class EncodedText:
    """A conversation as tokens, image positions included.

    All arrays have one entry per position (T).
    """

    #: (T,) int32; at image positions the encoder's ``image_id``, which carries no meaning
    input_ids: NDArray[np.int32]
    #: (T,) bool; answers and their end tokens
    loss_mask: NDArray[np.bool_]
    #: (T,) int16; the number of the image at each position, from 0 in the sample; -1 for text
    image_index: NDArray[np.int16]
    #: positions up to and including the end token of each turn
    turn_ends: tuple[int, ...]
    #: turns taken off the end because they did not fit
    num_turns_dropped: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def num_images(self) -> int:
        """Images that are shown; they are the first ones of the sample."""
        return int(self.image_index.max(initial=-1)) + 1

    def image_runs(self) -> list[tuple[int, int]]:
        """Return first position and length of every image's run, in order."""
        numbers, starts, counts = np.unique(self.image_index, return_index=True, return_counts=True)
        return [(int(s), int(c)) for number, s, c in zip(numbers, starts, counts, strict=True) if number >= 0]

    def keep_turns(self, max_tokens: int | None) -> "EncodedText":
        """Drop whole turns from the end, with the images they show, until the rest fits.

        Text after the last end token is always dropped: no loss falls on it.

        Args:
            max_tokens: Positions allowed, image positions and end tokens counted; None for no limit.

        Returns:
            The first turns; a text of length 0 when not even one fits.
        """
        ends = [end for end in self.turn_ends if max_tokens is None or end <= max_tokens]
        num_dropped = self.num_turns_dropped + len(self.turn_ends) - len(ends)
        return replace(self.first(ends[-1] if ends else 0), num_turns_dropped=num_dropped)

    def first(self, length: int) -> "EncodedText":
        """Return the first ``length`` positions."""
        return EncodedText(
            self.input_ids[:length],
            self.loss_mask[:length],
            self.image_index[:length],
            tuple(end for end in self.turn_ends if end <= length),
            self.num_turns_dropped,
        )
