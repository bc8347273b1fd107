"""Write "image n" into a sentence where the file has its own placeholder for an image.

The word gets a capital at the start of a sentence and is separated from neighbouring words; nothing else of the text is
changed, so that "NASA" stays "NASA".
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

#: far enough back to see the end of the sentence before, with its quotes and brackets
_LOOK_BACK = 60

_SENTENCE_START = re.compile(
    r"""
    (?: \A | \n\s* | [.!?…]["'”’)\]*_]*\s+ )    # a text, a line or a sentence begins,
    (?: (?: [-*•]|\#+|\d+[.)] ) \s+ )?           # perhaps with a bullet, a heading's signs or a number,
    ["'“‘(\[*_]* \Z                              # perhaps with opening quotes
    """,
    re.VERBOSE,
)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|cf|fig|approx)\.\s+\Z", re.IGNORECASE)


class Mention(NamedTuple):
    """A placeholder in a text: its span, and the image that it means."""

    start: int
    end: int
    #: the image's number in its conversation, from 1
    number: int


def written_out(text: str, mentions: Iterable[Mention]) -> str:
    """Replace each mention by "image n" or, where a sentence starts, "Image n"; mentions come in the text's order."""
    pieces: list[str] = []
    previous, at = "", 0
    for start, end, number in mentions:
        words = _worded(previous + text[at:start], number, text[end : end + 1])
        pieces += (text[at:start], words)
        previous, at = words, end
    return "".join((*pieces, text[at:]))


def starts_sentence(before: str) -> bool:
    """Tell whether a word after `before` would be the first of a sentence."""
    if before[-1:].isalpha() or before[-2:-1].isalpha() and before[-1] in ", ":  # nearly always so
        return False
    near = before if len(before) <= _LOOK_BACK else "x" + before[-_LOOK_BACK:]
    return bool(_SENTENCE_START.search(near)) and not _ABBREVIATION.search(near)


def _worded(before: str, number: int, after: str) -> str:
    word = "Image" if starts_sentence(before) else "image"
    left = " " if before[-1:].isalnum() else ""
    right = " " if after.isalnum() else ""
    return f"{left}{word} {number}{right}"
