"""Encode a conversation as a prompt that fits the model: all turns, or without the oldest ones.

To find out how many turns must go, each turn is tokenised once, newest first, until the sum of their lengths exceeds
the model's. The rest is then tokenised as one text, and the length of that text decides. So the work grows with the
model's length and not with the number of turns. This module does not import torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from blender.core.counting import counted
from blender.core.errors import SessionError
from blender.data.sample import Turn
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.encoder import TextEncoder

#: what to do about a conversation longer than the model: refuse it, or drop its oldest turns
Overflow = Literal["refuse", "drop"]
#: characters per position below which a whole conversation is tokenised at once: most are that short
_SHORT = 4


class TooLongError(SessionError):
    """A conversation longer than the model."""


_PROBE = Turn([], "?", "", 0)


@dataclass(frozen=True)
class PromptEncoder:
    """Encodes prompts. Plain data, and safe for several threads.

    Conversations are sequences of turns; the last turn is the question to be answered, and its answer is ignored.
    """

    text: TextEncoder
    template: Template | ChatTemplate
    #: positions of the model; None if unknown
    max_tokens: int | None
    overflow: Overflow

    def with_system(self, text: str | None) -> "PromptEncoder":
        """Replace the template's own system text; an empty text removes it, and None keeps it."""
        return self if text is None else replace(self, template=self.template.with_system(text))

    def encode(self, turns: Sequence[Turn], max_new_tokens: int) -> EncodedText:
        """Encode a conversation up to where the answer begins.

        Args:
            turns: The turns, the question last.
            max_new_tokens: Tokens that the answer may have.

        Returns:
            The prompt; ``num_turns_dropped`` counts the oldest turns that it leaves out.

        Raises:
            SessionError: The question is empty, or a text is unusable.
            TooLongError: The model has no room for it.
        """
        require_question(turns[-1])
        if self.max_tokens is None or self.overflow == "refuse" or self._is_short(turns):
            text = self.encode_whole(turns)
            if self.max_tokens is None or len(text) + self._room(max_new_tokens) <= self.max_tokens:
                return text
            if self.overflow == "refuse":
                raise self._too_long(text, is_alone=len(turns) == 1)
        first, text = self._drop_oldest(turns, self.max_tokens - self._room(max_new_tokens))
        if len(text) >= self.max_tokens:
            raise self._too_long(text, is_alone=first == len(turns) - 1)
        return replace(text, num_turns_dropped=first)

    def encode_whole(self, turns: Sequence[Turn]) -> EncodedText:
        """Encode a conversation up to where the answer begins, however long it is.

        Raises:
            SessionError: The question is empty, or a text is unusable.
        """
        require_question(turns[-1])
        try:
            return self.text.encode_prompt(self.template.render_prompt(turns))
        except UnusableTextError as error:
            raise SessionError(f"the question cannot be asked: {error.detail}", "leave that out") from error

    def _is_short(self, turns: Sequence[Turn]) -> bool:
        assert self.max_tokens is not None
        return sum(len(turn.question) + len(turn.answer) for turn in turns) <= _SHORT * self.max_tokens

    def _room(self, max_new_tokens: int) -> int:
        """Return the positions to keep free for the answer: one, or up to a quarter where old turns can go."""
        assert self.max_tokens is not None
        return 1 if self.overflow == "refuse" else min(max_new_tokens, max(1, self.max_tokens // 4))

    def _drop_oldest(self, turns: Sequence[Turn], budget: int) -> tuple[int, EncodedText]:
        """Return the first turn to keep, the earliest that fits, and the prompt that begins there."""
        last = len(turns) - 1
        lengths = self._lengths(turns, budget)
        first = min(start for start in lengths if lengths[start] <= budget or start == last)
        text = self.encode_whole(turns[first:])
        # a sum of lengths can be wrong by a token for each place where two texts meet
        while len(text) > budget and first < last:
            error = len(text) - lengths[first]
            first = next(s for s in range(first + 1, last + 1) if lengths[s] + error <= budget or s == last)
            text = self.encode_whole(turns[first:])
        while first - 1 in lengths and lengths[first - 1] + len(text) - lengths[first] <= budget:
            longer = self.encode_whole(turns[first - 1 :])
            if len(longer) > budget:
                break
            first, text = first - 1, longer
        return first, text

    def _lengths(self, turns: Sequence[Turn], budget: int) -> dict[int, int]:
        """Estimate the prompt's length by its first turn, from the question alone up to the first that is too long."""
        last = len(turns) - 1
        empty = len(self.encode_whole([_PROBE]))
        lengths = {last: len(self.encode_whole(turns[last:]))}
        for start in range(last - 1, -1, -1):
            if lengths[start + 1] > budget:
                break
            lengths[start] = lengths[start + 1] + len(self.encode_whole([turns[start], _PROBE])) - empty
        return lengths

    def _too_long(self, text: EncodedText, is_alone: bool) -> TooLongError:
        num_image = int((text.image_index >= 0).sum())
        subject = "the question alone" if is_alone else "the conversation with this question"
        images = f" ({num_image:,} of them for {counted(text.num_images, 'image')})" if num_image else ""
        message = f"{subject} takes {len(text):,} positions{images}, and the model has room for {self.max_tokens:,}"
        hint = _advice(num_image, len(text) - num_image) if is_alone else "begin anew, or let old rounds be dropped"
        return TooLongError(f"{message}, its answer included", hint)


def require_question(turn: Turn) -> None:
    """Refuse a question without a word and without an image.

    Raises:
        SessionError: The question is empty.
    """
    if not turn.images and not turn.question.strip():
        raise SessionError("the question is empty", "ask something about the images, or anything else")


def _advice(num_image: int, num_text: int) -> str:
    """Advise to shorten whatever takes most of a question."""
    if not num_image:
        return "ask with a shorter text"
    return "ask with fewer images" if num_image > num_text else "ask with a shorter text, or with fewer images"
