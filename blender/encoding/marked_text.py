"""A conversation's text with marks in it, before and after it is tokenised.

Why there are marks, and which tokens are trained: :mod:`blender.encoding.encoder`.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from blender.data.sample import Span
from blender.data.template import IMAGE
from blender.encoding.encoded import UnusableTextError

#: replaces an image, the end of an answer, a special token, or marks a forced cut; a noncharacter of Unicode
MARK = "\ufdd0"
IMAGE_MARK, END_MARK, CUT_MARK, TOKEN_MARK = range(4)


class TemplateSpan(Span, frozen=True, gc=False):
    """Text that a chat template writes around messages; special tokens in it count as such."""


class SpecialToken(NamedTuple):
    """A special token, as it is found in a :class:`TemplateSpan`."""

    id: int
    #: whether the white space before or behind it is part of it
    takes_left: bool
    takes_right: bool


@dataclass(frozen=True)
class MarkedText:
    """A text with its marks, before it is tokenised."""

    text: str
    #: the kind of each mark, in order, and the token that replaces it
    kinds: list[int]
    ids: list[int]
    #: character at which each answer begins
    starts: list[int]
    #: numbers of the answers that have a mark before them
    cuts: frozenset[int]


@dataclass(frozen=True)
class MarkedTokens:
    """A text with its marks, tokenised."""

    marked: MarkedText
    ids: NDArray[np.int32]
    #: first character and the end (exclusive) of each token
    offsets: list[tuple[int, int]]
    #: tokens that are marks
    marks: list[int]

    @cached_property
    def answers(self) -> list[tuple[int, int, int]]:
        """Return per answer: its first token, its end mark, and the mark before it, or -1."""
        answers, before, starts = [], -1, iter(self.marked.starts)
        for mark, kind in zip(self.marks, self.marked.kinds, strict=True):
            if kind == END_MARK:
                first = bisect_right(self.offsets, next(starts), before + 1, mark, key=itemgetter(1))
                answers.append((first, mark, before))
            before = mark
        return answers

    def torn_answers(self) -> frozenset[int]:
        """Return the answers whose first token also holds more than one space before the answer."""
        return frozenset(
            number
            for number, ((first, _, _), start) in enumerate(zip(self.answers, self.marked.starts, strict=True))
            if self.offsets[first][0] < start and not self._is_space(self.offsets[first][0], start)
        )

    def loss_mask(self) -> NDArray[np.bool_]:
        """Return (tokens,) bool: answers, the space before each, and end marks."""
        mask = np.zeros(len(self.ids), dtype=np.bool_)
        for number, (first, end, before) in enumerate(self.answers):
            start, alone = self.marked.starts[number], first - 1 > before and number not in self.marked.cuts
            if alone and self.offsets[first - 1][1] == start and self._is_space(self.offsets[first - 1][0], start):
                first -= 1
            mask[first : end + 1] = True
        return mask

    def _is_space(self, first: int, start: int) -> bool:
        return first == start - 1 and self.marked.text[first] == " "


class MarkedTextWriter:
    """Writes a :class:`MarkedText`, span by span.

    Args:
        cuts: Numbers of the answers that get a mark before them.
        image_id: Token at image positions.
        end_id: Token after each answer.
    """

    def __init__(self, cuts: frozenset[int], image_id: int, end_id: int) -> None:
        self._cuts, self._image_id, self._end_id = cuts, image_id, end_id
        self._parts: list[str] = []
        self._marks: list[tuple[int, int]] = []
        self._starts: list[int] = []
        self._length = 0
        #: whether the next special token closes an answer
        self._open = False

    def add(self, span: Span, *, closed: bool) -> None:
        """Add text.

        Args:
            span: The text; trained where it is an answer.
            closed: The next span has the answer's end token.

        Raises:
            UnusableTextError: The text holds the mark itself.
        """
        if MARK in span.text:
            raise UnusableTextError("reserved_character", "the text holds U+FDD0, which no text may hold")
        if not span.train:
            self._marks += [(IMAGE_MARK, self._image_id)] * span.text.count(IMAGE)
            self._append(span.text.replace(IMAGE, MARK))
            return
        before = MARK if len(self._starts) in self._cuts else ""
        self._marks += [(CUT_MARK, self._end_id)] * len(before)
        self._starts.append(self._length + len(before))
        self._open = closed
        if not closed:
            self._marks.append((END_MARK, self._end_id))
        self._append(before + span.text + ("" if closed else MARK))

    def add_template(self, pieces: Sequence[str], specials: Mapping[str, SpecialToken]) -> None:
        """Add a template's text, split at its special tokens.

        Args:
            pieces: Text, token, text, …, text.
            specials: The special tokens by their text.
        """
        texts, tokens = list(pieces[0::2]), [specials[piece] for piece in pieces[1::2]]
        for number, token in enumerate(tokens):
            texts[number] = texts[number].rstrip() if token.takes_left else texts[number]
            texts[number + 1] = texts[number + 1].lstrip() if token.takes_right else texts[number + 1]
            self._marks.append((END_MARK if self._open else TOKEN_MARK, token.id))
            self._open = False
        self._append(MARK.join(texts))

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def finish(self) -> MarkedText:
        """Return the text."""
        kinds, ids = [kind for kind, _ in self._marks], [token for _, token in self._marks]
        return MarkedText("".join(self._parts), kinds, ids, self._starts, self._cuts)
