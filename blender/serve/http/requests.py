"""Read the messages of a request as a conversation: turns of images, question and answer, as in training."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from blender.data.sample import Turn
from blender.serve.http.interleaving import Part, write_question
from blender.serve.http.request_errors import RequestError
from blender.serve.http.request_images import check_image, is_web_address, read_data_url
from blender.serve.http.schema import ChatRequest, ImagePart, Message, TextPart
from blender.serve.http.settings import RequestLimits, ServerSettings
from blender.serve.sampling import Sampling

#: a message, and its number in its request
_Numbered = tuple[int, Message]
#: characters of a system message
_MAX_SYSTEM = 50_000


@dataclass(frozen=True)
class Request:
    """A conversation whose last turn waits for its answer, and how to answer it."""

    #: system text; None for the template's own, empty for none
    system: str | None
    turns: tuple[Turn, ...]
    #: files of the images, in the order shown
    images: tuple[bytes, ...]
    sampling: Sampling


def web_addresses(request: ChatRequest, settings: ServerSettings) -> list[tuple[str, str]]:
    """Return the images to be fetched, each address once, with the parameter that names it.

    Raises:
        RequestError: They are not allowed, or there are too many images.
    """
    images = _image_parts(request.messages)
    if len(images) > settings.limits.images:
        message = f"the conversation has {len(images)} images, and {settings.limits.images} are allowed"
        raise RequestError(message, param="messages", code="too_many_images")
    addresses = {url: param for url, param in images if is_web_address(url)}
    if addresses and not settings.allow_url:
        message = "images from the web are not allowed here: send them as data URLs"
        raise RequestError(message, param=next(iter(addresses.values())), code="invalid_image_url")
    return list(addresses.items())


def read_request(request: ChatRequest, settings: ServerSettings, fetched: Mapping[str, bytes]) -> Request:
    """Read the conversation of a request.

    Args:
        request: The request.
        settings: What is allowed.
        fetched: Images by web address.

    Raises:
        RequestError: The messages do not alternate between question and answer, or an image is unusable.
    """
    messages = list(enumerate(request.messages))
    system = _take_system(messages)
    sides = _group_sides(messages)
    images = _ImageReader(settings.limits, fetched)
    turns = [
        images.read_turn(question, "\n".join(message.text for _, message in answer))
        for question, answer in zip(sides[0::2], [*sides[1::2], []], strict=True)
    ]
    return Request(system, tuple(turns), tuple(images.contents), _sampling(request, settings))


def _group_sides(messages: Sequence[_Numbered]) -> list[list[_Numbered]]:
    """Join messages of one side in a row; return the sides in turn, the user's first and last.

    Raises:
        RequestError: Questions and answers do not alternate.
    """
    if not messages or messages[-1][1].role != "user":
        message = "the last message must be the user's: the question that is to be answered"
        raise RequestError(message, param="messages", code="invalid_value")
    for numbered in messages:
        _check_message(*numbered)
    number, first = messages[0]
    if first.role != "user":
        message = f"message {number} is the {first.role}'s: a conversation begins with the user's"
        raise RequestError(message, param=f"messages[{number}].role", code="invalid_value")
    return [list(side) for _, side in groupby(messages, key=lambda numbered: numbered[1].role)]


def _image_parts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return address and parameter of every image."""
    return [image for number, message in enumerate(messages) for image in _images_of(number, message)]


def _images_of(number: int, message: Message) -> list[tuple[str, str]]:
    return [part for part in _parts_of(number, message) if not isinstance(part, TextPart)]


def _parts_of(number: int, message: Message) -> list[TextPart | tuple[str, str]]:
    """Return texts, and address and parameter of images, in order."""
    return [
        (part.image_url.url, f"messages[{number}].content[{index}].image_url") if isinstance(part, ImagePart) else part
        for index, part in enumerate(message.content)
    ]


def _take_system(messages: list[_Numbered]) -> str | None:
    """Remove leading system messages and join them, as system messages of the training data are joined."""
    texts = []
    while messages and messages[0][1].role in ("system", "developer"):
        number, message = messages.pop(0)
        _refuse_images(number, message)
        texts.append(message.text)
    if sum(map(len, texts)) > _MAX_SYSTEM:
        reason = f"the system message has more than the {_MAX_SYSTEM:,} characters allowed"
        raise RequestError(reason, param="messages[0].content", code="invalid_value")
    return "\n\n".join(filter(None, map(str.strip, texts))) if texts else None


def _check_message(number: int, message: Message) -> None:
    if message.role in ("system", "developer"):
        reason = f"message {number} is the {message.role}'s, which may only stand first"
        raise RequestError(reason, param=f"messages[{number}].role", code="invalid_value")
    if message.role == "assistant":
        _refuse_images(number, message)


def _refuse_images(number: int, message: Message) -> None:
    if _images_of(number, message):
        reason = f"message {number} is the {message.role}'s and shows an image: only the user can"
        raise RequestError(reason, param=f"messages[{number}].content", code="invalid_value")


class _ImageReader:
    """Reads images in the order shown, which is how they are numbered."""

    def __init__(self, limits: RequestLimits, fetched: Mapping[str, bytes]) -> None:
        self._limits, self._fetched = limits, fetched
        self.contents: list[bytes] = []

    def read_turn(self, side: Sequence[_Numbered], answer: str) -> Turn:
        """Return a turn; its images are added to the contents.

        Raises:
            RequestError: The question is empty, or an image is unusable.
        """
        first = len(self.contents) + 1
        parts = [self._part(part) for numbered in side for part in _parts_of(*numbered)]
        question, numbers = write_question(parts), list(range(first, len(self.contents) + 1))
        if not numbers and not question.strip():
            reason = f"the question is empty: message {side[-1][0]} has no text and no image"
            raise RequestError(reason, param="messages", code="invalid_value")
        return Turn(numbers, question, answer, 0)

    def _part(self, part: TextPart | tuple[str, str]) -> Part:
        if isinstance(part, TextPart):
            return part.text
        url, param = part
        content = self._fetched[url] if is_web_address(url) else read_data_url(url, param)
        self.contents.append(content)
        check_image(content, len(self.contents), self._limits.pixels, param)
        return len(self.contents)


def _sampling(request: ChatRequest, settings: ServerSettings) -> Sampling:
    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    return Sampling(
        max_new_tokens=_max_new_tokens(request, settings.limits.new_tokens),
        temperature=given(request.temperature, settings.temperature),
        top_p=given(request.top_p, 1.0),
        top_k=request.top_k or 0,
        repetition_penalty=given(request.repetition_penalty, 1.0),
        # without a seed every answer is another one
        seed=secrets.randbits(62) if request.seed is None else request.seed,
        stop=tuple(request.stop or ()),
    )


def _max_new_tokens(request: ChatRequest, most: int) -> int:
    names = ("max_completion_tokens", "max_tokens")
    given = {name: value for name in names if (value := getattr(request, name)) is not None}
    for name, value in given.items():
        if value > most:
            message = f"{name} is {value:,}, and answers have at most {most:,} tokens here"
            raise RequestError(message, param=name, code="invalid_value")
    return min(given.values(), default=most)
