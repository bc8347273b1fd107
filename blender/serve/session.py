"""One conversation with a model: what chat, the server and evaluation all speak through.

A session holds rounds and images; a prompt is rendered from them anew each time, by the template that the model was
trained with, and tokenised as the training stream tokenises. So what a model is asked is, token for token, what stands
before an answer in training (:meth:`Session.prompt_tokens`). Images are numbered in the order shown, through the whole
conversation; dropping an old round leaves the numbers of later images as they are.

Keys and values are kept between rounds (:mod:`blender.serve.memory`); only what is new is computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from blender.core.errors import SessionError
from blender.encoding.encoded import EncodedText
from blender.model.prompts import Prompt
from blender.serve.fitting import Fitted, Fitter, Overflow, require_question
from blender.serve.fitting import Round as Round
from blender.serve.fitting import TooLongError as TooLongError
from blender.serve.generating import Cancelled, Generated, OnEnd, OnText, generate
from blender.serve.listening import Finish
from blender.serve.loading import LoadedModel
from blender.serve.memory import Memory
from blender.serve.ready import Ready as Ready
from blender.serve.ready import decode_pixels
from blender.serve.sampling import Sampling

_GREEDY = Sampling()


@dataclass(frozen=True)
class Answer:
    """What the model said, and what it took."""

    text: str
    finish: Finish
    #: positions of the prompt, and how many of them were kept from earlier rounds
    num_prompt_tokens: int
    num_cached_tokens: int
    #: tokens generated, the end token included
    num_new_tokens: int
    #: old rounds left out of the prompt for lack of room
    num_rounds_dropped: int
    seconds: float


#: called with an answer once it is there
OnAnswer = Callable[[Answer], None]


@dataclass(frozen=True)
class _Asked:
    """A prompt, and where it comes from."""

    prompt: Prompt
    #: serial number of each image of the prompt, in the order shown
    serials: tuple[int, ...]
    num_rounds_dropped: int


@dataclass(frozen=True)
class _Shown:
    """An image of the conversation."""

    content: bytes
    #: (C, H, W) uint8
    pixels: torch.Tensor
    #: tells it from every other image that this session has ever shown
    serial: int


class Session:
    """A conversation.

    Args:
        loaded: The model.
        system: What is said before the first round, instead of the template's own words.
        overflow: What to do about a conversation beyond the model's length: refuse, or leave out the oldest rounds.
    """

    def __init__(self, loaded: LoadedModel, *, system: str | None = None, overflow: Overflow = "refuse") -> None:
        self.loaded = loaded
        self.overflow = overflow
        template = loaded.template if system is None else loaded.template.with_system(system)
        self._fitter = Fitter(loaded.encoder.text, template, loaded.max_tokens, overflow)
        self._rounds: list[Round] = []
        self._images: list[_Shown] = []
        self._num_ever_shown = 0
        self._memory = Memory()
        self._instruction = ""

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds so far."""
        return tuple(self._rounds)

    @property
    def images(self) -> tuple[bytes, ...]:
        """The images so far; image n is the n-th."""
        return tuple(image.content for image in self._images)

    def ask(
        self,
        question: str,
        images: Sequence[bytes] = (),
        *,
        sampling: Sampling = _GREEDY,
        on_text: OnText | None = None,
        cancelled: Cancelled | None = None,
    ) -> Answer:
        """Ask, and take the answer into the conversation.

        An answer that was cancelled is taken as far as it came. When anything is raised, the session is as it was.

        Args:
            question: What to ask.
            images: Files of the images to show with it, in order.
            sampling: How to generate.
            on_text: Called with every new piece of the answer; together they are its text.
            cancelled: Asked before every token whether to stop.

        Raises:
            SessionError: The question is empty or unusable, or an image cannot be read.
            TooLongError: There is no room for the conversation.
        """
        return ask_together([self], [(question, images)], [sampling], on_text=[on_text], cancelled=[cancelled])[0]

    def instruct(self, system: str) -> None:
        """Put an instruction before the next question, as a conversation of the training data may have it."""
        self._instruction = system

    def record(
        self,
        question: str,
        answer: str,
        images: Sequence[bytes] = (),
        pixels: Sequence[torch.Tensor] | None = None,
    ) -> None:
        """Take a round into the conversation without asking the model.

        Args:
            question: What was asked.
            answer: What was answered.
            images: Files of the images shown with the question, in order.
            pixels: The same, decoded, where that was done before.

        Raises:
            SessionError: The question is empty, or an image cannot be read.
        """
        require_question(question, len(images))
        self._take(question, answer, self._decode(images, pixels))

    def amend(self, answer: str) -> None:
        """Put another answer in place of the last one.

        Raises:
            SessionError: There is no round yet.
        """
        if not self._rounds:
            raise SessionError("there is no answer to change", "ask something first")
        self._rounds[-1] = replace(self._rounds[-1], answer=answer)

    def undo(self) -> Round:
        """Take the last round back, with its images.

        Raises:
            SessionError: There is no round yet.
        """
        if not self._rounds:
            raise SessionError("there is nothing to take back", "ask something first")
        last = self._rounds.pop()
        del self._images[len(self._images) - len(last.images) :]
        return last

    def reset(self) -> None:
        """Begin anew."""
        self._rounds.clear()
        self._images.clear()
        self.release()

    def release(self) -> None:
        """Give back the memory of keys and values; the next question computes them anew."""
        self._memory.forget()

    def prompt_tokens(self, question: str, num_images: int = 0) -> EncodedText:
        """Return the tokens that a question would be asked with, all rounds before it included.

        Args:
            question: What to ask.
            num_images: How many images it would show.

        Raises:
            SessionError: The question is empty or unusable.
        """
        return self._fitter.encode(self._rounds, self._next(question, num_images))

    def require_room(self, question: str, num_images: int = 0, sampling: Sampling = _GREEDY) -> None:
        """Raise what asking would raise of the question's text and the conversation's length; no image is opened.

        Args:
            question: What to ask.
            num_images: How many images it would show.
            sampling: How to generate.

        Raises:
            SessionError: The question is empty or unusable.
            TooLongError: There is no room for the conversation.
        """
        self._fit(question, num_images, sampling)

    def _prepare(
        self, question: str, images: Sequence[bytes], sampling: Sampling, ready: Ready | None = None
    ) -> tuple[_Asked, list[_Shown]]:
        """Make the prompt; lengths are looked at before any image is."""
        fitted = ready.fitted if ready else self._fit(question, len(images), sampling)
        text, first = fitted.text, fitted.num_rounds_dropped
        shown = self._decode(images, ready.pixels[len(self._images) :] if ready else None)
        kept = [*self._images[self._num_images(first) :], *shown]
        serials = tuple(image.serial for image in kept)
        size = self.loaded.encoder.pixels.shape
        pixels = torch.stack([image.pixels for image in kept]) if kept else torch.empty((0, *size), dtype=torch.uint8)
        return _Asked(Prompt(text, pixels), serials, first), shown

    def _fit(self, question: str, num_images: int, sampling: Sampling) -> Fitted:
        return self._fitter.fit(self._rounds, self._next(question, num_images), sampling.max_new_tokens)

    def _next(self, question: str, num_images: int) -> Round:
        """Return a question as the round that it will be."""
        first = len(self._images) + 1
        return Round(tuple(range(first, first + num_images)), question, "", self._instruction)

    def _num_images(self, num_rounds: int) -> int:
        return sum(len(some.images) for some in self._rounds[:num_rounds])

    def _decode(self, images: Sequence[bytes], pixels: Sequence[torch.Tensor] | None = None) -> list[_Shown]:
        if pixels is None:
            numbered = enumerate(images, start=len(self._images) + 1)
            pixels = [decode_picture(content, f"image {number}", self.loaded) for number, content in numbered]
        first = self._num_ever_shown + 1
        self._num_ever_shown += len(images)
        return [_Shown(*each, first + place) for place, each in enumerate(zip(images, pixels, strict=True))]

    def _take(self, question: str, answer: str, shown: Sequence[_Shown]) -> None:
        numbers = range(len(self._images) + 1, len(self._images) + len(shown) + 1)
        self._images += shown
        self._rounds.append(Round(tuple(numbers), question, answer, self._instruction))
        self._instruction = ""


def ask_together(
    sessions: Sequence[Session],
    questions: Sequence[tuple[str, Sequence[bytes]]],
    samplings: Sequence[Sampling],
    *,
    on_text: Sequence[OnText | None] | None = None,
    cancelled: Sequence[Cancelled | None] | None = None,
    on_end: Sequence[OnAnswer | None] | None = None,
    ready: Sequence[Ready | None] | None = None,
) -> list[Answer]:
    """Ask several conversations with one model at once.

    One conversation alone keeps its keys and values for the next round; several at once do not. Their answers are those
    that each would get alone, to rounding.

    Args:
        sessions: Conversations with the same model, at least one.
        questions: For each, the question and the files of the images to show with it.
        samplings: For each, how to generate.
        on_text: For each, what is called with every new piece of the answer.
        cancelled: For each, what is asked before every token whether to stop.
        on_end: For each, what is called with its answer as soon as that is over, however long others go on.
        ready: For each, tokens and pixels, where they were made before.

    Raises:
        SessionError: A question is empty or unusable, or an image cannot be read.
        TooLongError: There is no room for a conversation.
    """
    begun = perf_counter()
    given = zip(sessions, questions, samplings, ready or [None] * len(sessions), strict=True)
    prepared = [session._prepare(*question, sampling, made) for session, question, sampling, made in given]
    asked = [prompt for prompt, _ in prepared]
    alone = sessions[0] if len(sessions) == 1 else None
    cached = alone._memory.agree(asked[0].prompt.text, asked[0].serials) if alone else 0
    loaded = sessions[0].loaded
    prompts = [each.prompt for each in asked]
    cache = alone._memory.cache if alone else None
    watching = zip(asked, on_end or [None] * len(asked), strict=True)
    ends = [_when_over(each, cached, begun, tell) if tell else None for each, tell in watching]
    try:
        answers, cache, tokens = generate(
            loaded, prompts, samplings, on_text=on_text, cancelled=cancelled, on_end=ends, cache=cache
        )
    except BaseException:
        for session in sessions:
            session.release()
        raise
    for session, (question, _), (_, shown), answer in zip(sessions, questions, prepared, answers, strict=True):
        session._take(question, answer.text, shown)
        session.release()
        if alone is not None:
            alone._memory.keep(cache, tokens[0].cpu().numpy(), asked[0].prompt.text.image_index, asked[0].serials)
    seconds = perf_counter() - begun
    return [_answer(each, answer, cached, seconds) for each, answer in zip(asked, answers, strict=True)]


def _when_over(asked: _Asked, cached: int, begun: float, tell: OnAnswer) -> OnEnd:
    return lambda made: tell(_answer(asked, made, cached, perf_counter() - begun))


def _answer(asked: _Asked, answer: Generated, cached: int, seconds: float) -> Answer:
    return Answer(
        answer.text,
        answer.finish,
        len(asked.prompt),
        cached,
        answer.num_tokens,
        asked.num_rounds_dropped,
        seconds,
    )


def decode_picture(content: bytes, name: str, loaded: LoadedModel) -> torch.Tensor:
    """Decode an image as the model wants it.

    Args:
        content: The file's bytes.
        name: What to call it in an error.
        loaded: The model.

    Returns:
        (C, H, W) uint8.

    Raises:
        SessionError: It is damaged, no image, or too large.
    """
    return decode_pixels(content, name, loaded.encoder.pixels)
