"""A conversation with a model: its turns, its images and its KV cache.

Chat and evaluation speak through sessions. A prompt is rendered from the turns anew for each question, with the
template that the model was trained with, and tokenised as the training stream tokenises. So what a model is asked is,
token for token, what comes before an answer in training (:meth:`Session.prompt_tokens`). Images are numbered in the
order shown, through the whole conversation; dropping an old turn leaves the numbers of later images as they are.

The KV cache is kept between turns (:mod:`blender.serve.prefix_cache`), so that only new positions are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from blender.core.errors import SessionError
from blender.data.sample import Turn
from blender.encoding.encoded import EncodedText
from blender.serve.detokenizer import OnText
from blender.serve.generate import Answer, IsCancelled, answer_prompts
from blender.serve.images import InputImage, decode_input_image
from blender.serve.loading import LoadedModel
from blender.serve.prefix_cache import CachedPrefix
from blender.serve.prepared import PreparedPrompt, prepare_prompt
from blender.serve.prompt_encoder import Overflow, PromptEncoder, require_question
from blender.serve.sampling import Sampling

_GREEDY = Sampling()


@dataclass(frozen=True)
class SessionImage:
    """An image of the conversation."""

    content: bytes
    decoded: InputImage


class Session:
    """A conversation.

    Args:
        loaded: The model.
        system: System text, in place of the template's own; empty for none.
        overflow: What to do about a conversation longer than the model: refuse it, or drop its oldest turns.
    """

    def __init__(self, loaded: LoadedModel, *, system: str | None = None, overflow: Overflow = "refuse") -> None:
        self.loaded = loaded
        self.overflow = overflow
        encoder = PromptEncoder(loaded.encoder.text, loaded.template, loaded.max_tokens, overflow)
        self._encoder = encoder.with_system(system)
        self._turns: list[Turn] = []
        self._images: list[SessionImage] = []
        self._prefix = CachedPrefix()
        self._instruction = ""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns so far."""
        return tuple(self._turns)

    @property
    def images(self) -> tuple[bytes, ...]:
        """The files of the images so far; image n is the n-th."""
        return tuple(image.content for image in self._images)

    def ask(
        self,
        question: str,
        images: Sequence[bytes] = (),
        *,
        sampling: Sampling = _GREEDY,
        on_text: OnText | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> Answer:
        """Ask a question, and add it with its answer to the conversation.

        An answer that was cancelled is added as far as it came. When anything is raised, the session stays as it was.

        Args:
            question: The question.
            images: Files of the images to show with it, in order.
            sampling: How to generate.
            on_text: Called with every new piece of the answer; together they are its text.
            is_cancelled: Asked before every token whether to stop.

        Raises:
            SessionError: The question is empty or unusable, or an image cannot be read.
            TooLongError: The model has no room for the conversation.
        """
        prompt, decoded = self.prepare(question, images, sampling)
        answer = answer_prompts(
            self.loaded, [prompt], [sampling], on_text=[on_text], is_cancelled=[is_cancelled], prefix=self._prefix
        )[0]
        self._append(question, answer.text, decoded)
        return answer

    def instruct(self, system: str) -> None:
        """Put an instruction before the next question, as a conversation of the training data may have it."""
        self._instruction = system

    def record(self, question: str, answer: str, images: Sequence[bytes] = ()) -> None:
        """Add a turn without asking the model.

        Args:
            question: The question.
            answer: The answer.
            images: Files of the images shown with the question, in order.

        Raises:
            SessionError: The question is empty, or an image cannot be read.
        """
        require_question(self._next_turn(question, len(images)))
        self._append(question, answer, self._decode(images))

    def amend(self, answer: str) -> None:
        """Replace the last answer.

        Raises:
            SessionError: There is no turn yet.
        """
        if not self._turns:
            raise SessionError("there is no answer to change", "ask something first")
        self._turns[-1] = msgspec.structs.replace(self._turns[-1], answer=answer)

    def undo(self) -> Turn:
        """Remove the last turn and its images.

        Raises:
            SessionError: There is no turn yet.
        """
        if not self._turns:
            raise SessionError("there is nothing to take back", "ask something first")
        last = self._turns.pop()
        del self._images[len(self._images) - len(last.images) :]
        return last

    def reset(self) -> None:
        """Remove all turns."""
        self._turns.clear()
        self._images.clear()
        self.release()

    def release(self) -> None:
        """Free the KV cache; the next question computes all positions anew."""
        self._prefix.clear()

    def prompt_tokens(self, question: str, num_images: int = 0) -> EncodedText:
        """Return the tokens that a question would be asked with, all earlier turns included.

        Args:
            question: The question.
            num_images: How many images it would show.

        Raises:
            SessionError: The question is empty or unusable.
        """
        return self._encoder.encode_whole([*self._turns, self._next_turn(question, num_images)])

    def prepare(
        self, question: str, images: Sequence[bytes], sampling: Sampling
    ) -> tuple[PreparedPrompt, list[SessionImage]]:
        """Make the prompt of a question; its length is checked before any image is decoded.

        Args:
            question: The question.
            images: Files of the images to show with it, in order.
            sampling: How to generate.

        Returns:
            The prompt, and the new images.

        Raises:
            SessionError: The question is empty or unusable, or an image cannot be read.
            TooLongError: The model has no room for the conversation.
        """
        turns = [*self._turns, self._next_turn(question, len(images))]
        text = self._encoder.encode(turns, sampling.max_new_tokens)
        decoded = self._decode(images)
        num_dropped = sum(len(turn.images) for turn in turns[: text.num_turns_dropped])
        shown = [image.decoded for image in (*self._images, *decoded)[num_dropped:]]
        return prepare_prompt(text, shown, self.loaded.encoder.pixels), decoded

    def _next_turn(self, question: str, num_images: int) -> Turn:
        first = len(self._images) + 1
        return Turn(list(range(first, first + num_images)), question, "", 0, self._instruction)

    def _decode(self, images: Sequence[bytes]) -> list[SessionImage]:
        spec = self.loaded.encoder.pixels
        numbered = enumerate(images, start=len(self._images) + 1)
        return [
            SessionImage(content, decode_input_image(content, f"image {number}", spec)) for number, content in numbered
        ]

    def _append(self, question: str, answer: str, images: Sequence[SessionImage]) -> None:
        turn = self._next_turn(question, len(images))
        self._images += images
        self._turns.append(msgspec.structs.replace(turn, answer=answer))
        self._instruction = ""


def ask_together(
    sessions: Sequence[Session],
    questions: Sequence[tuple[str, Sequence[bytes]]],
    samplings: Sequence[Sampling],
) -> list[Answer]:
    """Ask several conversations with one model at once, and add the answers to them.

    A session that is asked alone keeps its KV cache for the next question; several at once do not. When anything is
    raised, the sessions stay as they were.

    Args:
        sessions: Conversations with the same model, at least one.
        questions: For each, the question and the files of the images to show with it.
        samplings: For each, how to generate.

    Raises:
        SessionError: A question is empty or unusable, or an image cannot be read.
        TooLongError: The model has no room for a conversation.
    """
    if len(sessions) == 1:
        return [sessions[0].ask(*questions[0], sampling=samplings[0])]
    prepared = [
        session.prepare(*question, sampling)
        for session, question, sampling in zip(sessions, questions, samplings, strict=True)
    ]
    for session in sessions:
        session.release()
    answers = answer_prompts(sessions[0].loaded, [prompt for prompt, _ in prepared], samplings)
    for session, (question, _), (_, images), answer in zip(sessions, questions, prepared, answers, strict=True):
        session._append(question, answer.text, images)
    return answers
