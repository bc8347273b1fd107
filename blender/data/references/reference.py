"""A reference to images: its position in a text, and the parts it consists of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

#: why a reference cannot be renumbered
Reason = Literal[
    "number",  # an image number that the record does not have, or that cannot be read
    "relative",  # "the previous image": depends on what is shown around it
    "all_images",  # "the images", "both images": cannot be said to be exactly the record's images
    "some_image",  # "another image", "the second street photo": one of several, not said which
    "spelling",  # "Image-1", "figure 2", "1st screenshot": may name an image, but not in a form that is rewritten
    "ordinal",  # "the second one", "the former"
    "letter",  # "A is brighter than B"
    "count",  # "Number 1 is a cat", "all four show dogs"
    "holder",  # "both", "the other", "which one", "they"
    "side",  # "the one on the right"
    "comparison",  # "Is it brighter?"
    "language",  # not recognised as English
]


@dataclass(frozen=True)
class Range:
    """Consecutive images, written as the first and the last of them: "2-4"."""

    first: int
    last: int
    between: str


#: a part of a phrase: words, an image number of the record, several of them, or a range of them
Part = str | int | tuple[int, ...] | Range


@dataclass(frozen=True)
class Reference:
    """A phrase that refers to images by number, by order, or all together."""

    start: int
    end: int
    #: the phrase, with the record's image numbers as numbers; empty if it cannot be renumbered
    parts: tuple[Part, ...] = ()
    #: why it cannot be renumbered
    reason: Reason = "number"

    @property
    def named(self) -> frozenset[int]:
        """The record's images that the phrase names."""
        return frozenset(number for part in self.parts if not isinstance(part, str) for number in _images(part))


def _images(part: int | tuple[int, ...] | Range) -> tuple[int, ...]:
    if isinstance(part, Range):
        return tuple(range(part.first, part.last + 1))
    return part if isinstance(part, tuple) else (part,)


def spell(part: Part, numbers: Sequence[int]) -> str:
    """Write a part with the sample's image numbers in place of the record's."""
    if isinstance(part, str):
        return part
    moved = [numbers[k - 1] for k in _images(part)]
    if isinstance(part, Range) and moved == list(range(moved[0], moved[-1] + 1)):
        return f"{moved[0]}{part.between}{moved[-1]}"
    *most, last = map(str, moved)
    return f"{', '.join(most)} and {last}" if most else last
