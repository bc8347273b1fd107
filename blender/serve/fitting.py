"""The tokens of a conversation that the model has room for: all of it, or without its oldest rounds.

Each round's length is known from tokenising it once, newest first, up to where the model's length is reached; sums of
these say how many rounds to leave out. Then the rest is tokenised as one text, and its own length decides. So the work
grows with the model's length, however many rounds there are. Nothing here knows torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from blender.core.errors import SessionError
from blender.data.template import Template
from blender.encoding.chat import ChatTemplate
from blender.encoding.encoded import EncodedText, UnusableTextError
from blender.encoding.encoder import TextEncoder

#: what is done about a conversation beyond the model's length: refuse it, or leave out the oldest rounds
Overflow = Literal["refuse", "drop"]
#: characters for each position of the model up to which a whole conversation is tokenised first: most are that short
_SHORT = 4


class TooLongError(SessionError):
    """A conversation that the model has no room for."""


@dataclass(frozen=True)
class Round:
    """A question and its answer."""

    #: numbers, from 1, of the images newly shown with the question
    images: tuple[int, ...]
    question: str
    answer: str
    #: instruction before the question; that of the first round stands in place of the template's own
    system: str = ""


_PROBE = Round((), "?", "")


@dataclass(frozen=True)
class Fitted:
    """A prompt that the model has room for."""

    text: EncodedText
    #: old rounds that are not in it
    num_rounds_dropped: int


@dataclass(frozen=True)
class Fitter:
    """Makes prompts. Plain data, and safe for several threads."""

    encoder: TextEncoder
    template: Template | ChatTemplate
    #: positions of the model; None where nothing says so
    limit: int | None
    overflow: Overflow

    def fit(self, rounds: Sequence[Round], asked: Round, num_new_tokens: int) -> Fitted:
        """Tokenise a conversation up to where the answer begins.

        Args:
            rounds: What is over.
            asked: The question; its answer is not looked at.
            num_new_tokens: How many tokens the answer may have.

        Raises:
            SessionError: The question is empty or unusable.
            TooLongError: There is no room.
        """
        require_question(asked.question, len(asked.images))
        if self.limit is None or self.overflow == "refuse" or self._is_short(rounds, asked):
            text = self.encode(rounds, asked)
            if self.limit is None or len(text) + self._room(num_new_tokens) <= self.limit:
                return Fitted(text, 0)
            if self.overflow == "refuse":
                raise self._too_long(text, 0, len(rounds))
        assert self.limit is not None
        first, text = self._drop(rounds, asked, self.limit - self._room(num_new_tokens))
        if len(text) >= self.limit:
            raise self._too_long(text, first, len(rounds))
        return Fitted(text, first)

    def encode(self, rounds: Sequence[Round], asked: Round) -> EncodedText:
        """Tokenise a conversation, however long.

        Raises:
            SessionError: The question is empty or unusable.
        """
        require_question(asked.question, len(asked.images))
        try:
            return self.encoder.encode_prompt(self.template.render_prompt([*rounds, asked]))
        except UnusableTextError as error:
            raise SessionError(f"the question cannot be asked: {error.detail}", "leave that out") from error

    def _is_short(self, rounds: Sequence[Round], asked: Round) -> bool:
        assert self.limit is not None
        return sum(len(one.question) + len(one.answer) for one in (*rounds, asked)) <= _SHORT * self.limit

    def _room(self, num_new_tokens: int) -> int:
        """Return how many positions the answer should have: one at least, or a fair share where old rounds may go."""
        assert self.limit is not None
        return 1 if self.overflow == "refuse" else min(num_new_tokens, max(1, self.limit // 4))

    def _drop(self, rounds: Sequence[Round], asked: Round, budget: int) -> tuple[int, EncodedText]:
        """Return the first round that is kept, the earliest that fits, and the tokens from there."""
        lengths = self._lengths(rounds, len(self.encode([], asked)), budget)
        first = min(start for start in lengths if lengths[start] <= budget or start == len(rounds))
        text = self.encode(rounds[first:], asked)
        # where two texts meet, a sum can be wrong by a token
        while len(text) > budget and first < len(rounds):
            error = len(text) - lengths[first]
            first = next(
                s for s in range(first + 1, len(rounds) + 1) if lengths[s] + error <= budget or s == len(rounds)
            )
            text = self.encode(rounds[first:], asked)
        while first - 1 in lengths and lengths[first - 1] + len(text) - lengths[first] <= budget:
            longer = self.encode(rounds[first - 1 :], asked)
            if len(longer) > budget:
                break
            first, text = first - 1, longer
        return first, text

    def _lengths(self, rounds: Sequence[Round], alone: int, budget: int) -> dict[int, int]:
        """Return the prompt's length by its first round, from none at all up to where it is too long."""
        nothing = len(self.encode([], _PROBE))
        lengths = {len(rounds): alone}
        for start in range(len(rounds) - 1, -1, -1):
            if lengths[start + 1] > budget:
                break
            lengths[start] = lengths[start + 1] + len(self.encode([rounds[start]], _PROBE)) - nothing
        return lengths

    def _too_long(self, text: EncodedText, first: int, num_rounds: int) -> TooLongError:
        of_images = int((text.image_index >= 0).sum())
        alone = first == num_rounds
        what = "the question alone" if alone else "the conversation with this question"
        images = f" ({text.num_images} images take {of_images:,} of them)" if of_images else ""
        told = f"{what} takes {len(text):,} positions{images}, and the model has room for {self.limit:,}"
        hint = _advice(of_images, len(text) - of_images) if alone else "begin anew, or let old rounds be dropped"
        return TooLongError(f"{told}, its answer included", hint)


def require_question(question: str, num_images: int) -> None:
    """Refuse a question that asks nothing: without a word and without an image.

    Raises:
        SessionError: It does.
    """
    if not num_images and not question.strip():
        raise SessionError("the question is empty", "ask something about the images, or anything else")


def _advice(of_images: int, of_text: int) -> str:
    """Say what of a question to make less of: whatever takes most of it."""
    if not of_images:
        return "ask with a shorter text"
    return "ask with fewer images" if of_images > of_text else "ask with a shorter text, or with fewer images"
