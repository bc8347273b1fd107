"""Make a conversation of a request's messages: rounds of images, question and answer, as the model was trained on."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from blender.serve.http.faults import RequestError
from blender.serve.http.interleaving import Part, write_question
from blender.serve.http.pictures import check_picture, is_web_address, read_data_url
from blender.serve.http.schema import ChatRequest, ImagePart, Message, TextPart
from blender.serve.http.settings import Limits, Settings
from blender.serve.options import Sampling

#: a message, and its number in its request
_Numbered = tuple[int, Message]
#: characters of a system message; what templates make of one is remembered
_MAX_SYSTEM = 50_000


@dataclass(frozen=True)
class Exchange:
    """A round that is over."""

    question: str
    #: files of the images newly shown with it
    images: tuple[bytes, ...]
    answer: str


@dataclass(frozen=True)
class Asked:
    """What a request asks."""

    #: instead of the template's own words; None for those
    system: str | None
    rounds: tuple[Exchange, ...]
    question: str
    images: tuple[bytes, ...]
    sampling: Sampling
    #: whose turn this takes
    client: str
    #: whom of the client's users it is for
    user: str = ""


def web_addresses(request: ChatRequest, settings: Settings) -> list[tuple[str, str]]:
    """Return the images that are to be fetched, each address once, with where it stands.

    Raises:
        RequestError: They are not allowed, or there are too many images.
    """
    images = _image_parts(request.messages)
    if len(images) > settings.limits.images:
        told = f"the conversation has {len(images)} images, and {settings.limits.images} are allowed"
        raise RequestError(told, param="messages", code="too_many_images")
    found = {url: param for url, param in images if is_web_address(url)}
    if found and not settings.allow_url:
        told = "images from the web are not allowed here: send them as data URLs"
        raise RequestError(told, param=next(iter(found.values())), code="invalid_image_url")
    return list(found.items())


def read_request(request: ChatRequest, settings: Settings, fetched: Mapping[str, bytes], client: str) -> Asked:
    """Read what is asked.

    Args:
        request: The request.
        settings: What is allowed.
        fetched: Content by web address.
        client: Where the request comes from.

    Raises:
        RequestError: The messages are no rounds of question and answer, or an image is of no use.
    """
    said = list(enumerate(request.messages))
    system = _take_system(said)
    sides = _take_turns(said)
    shown = _Shown(settings.limits, fetched)
    rounds = [
        Exchange(*shown.ask(question), "\n".join(message.text for _, message in answer))
        for question, answer in zip(sides[0:-1:2], sides[1::2], strict=True)
    ]
    question, images = shown.ask(sides[-1])
    user = request.safety_identifier or request.user or ""
    return Asked(system, tuple(rounds), question, images, _sampling(request, settings), client, user)


def _take_turns(said: Sequence[_Numbered]) -> list[list[_Numbered]]:
    """Put messages of one side in a row together; return them side by side, the user's first and last.

    Raises:
        RequestError: They are no questions and answers in turn.
    """
    if not said or said[-1][1].role != "user":
        told = "the last message must be the user's: the question that is to be answered"
        raise RequestError(told, param="messages", code="invalid_value")
    for number, message in said:
        _check_message(number, message)
    number, first = said[0]
    if first.role != "user":
        told = f"message {number} is the {first.role}'s: a conversation begins with the user's"
        raise RequestError(told, param=f"messages[{number}].role", code="invalid_value")
    return [list(side) for _, side in groupby(said, key=lambda one: one[1].role)]


def _image_parts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Return address and place of every image."""
    return [image for number, message in enumerate(messages) for image in _images_of(number, message)]


def _images_of(number: int, message: Message) -> list[tuple[str, str]]:
    return [part for part in _parts_of(number, message) if not isinstance(part, TextPart)]


def _parts_of(number: int, message: Message) -> list[TextPart | tuple[str, str]]:
    """Return texts, and address and place of images, in order."""
    return [
        (part.image_url.url, f"messages[{number}].content[{place}].image_url") if isinstance(part, ImagePart) else part
        for place, part in enumerate(message.content)
    ]


def _take_system(said: list[_Numbered]) -> str | None:
    texts = []
    while said and said[0][1].role in ("system", "developer"):
        number, message = said.pop(0)
        _refuse_images(number, message)
        texts.append(message.text)
    if sum(map(len, texts)) > _MAX_SYSTEM:
        told = f"the system message has more than the {_MAX_SYSTEM:,} characters allowed"
        raise RequestError(told, param="messages[0].content", code="invalid_value")
    return "\n".join(texts) if texts else None


def _check_message(number: int, message: Message) -> None:
    if message.role in ("system", "developer"):
        told = f"message {number} is the {message.role}'s, which may only stand first"
        raise RequestError(told, param=f"messages[{number}].role", code="invalid_value")
    if message.role == "assistant":
        _refuse_images(number, message)


def _refuse_images(number: int, message: Message) -> None:
    if _images_of(number, message):
        told = f"message {number} is the {message.role}'s and shows an image: only the user can"
        raise RequestError(told, param=f"messages[{number}].content", code="invalid_value")


class _Shown:
    """Reads images in the order shown, which is how they are numbered."""

    def __init__(self, limits: Limits, fetched: Mapping[str, bytes]) -> None:
        self._limits, self._fetched = limits, fetched
        self._number = 0

    def ask(self, side: Sequence[_Numbered]) -> tuple[str, tuple[bytes, ...]]:
        """Return a question and its images."""
        images: list[bytes] = []
        parts = [self._part(each, images) for one in side for each in _parts_of(*one)]
        question = write_question(parts)
        if not images and not question.strip():
            number = side[-1][0]
            told = f"the question is empty: message {number} has no text and no image"
            raise RequestError(told, param="messages", code="invalid_value")
        return question, tuple(images)

    def _part(self, part: TextPart | tuple[str, str], images: list[bytes]) -> Part:
        if isinstance(part, TextPart):
            return part.text
        images.append(self._read(*part))
        return self._number

    def _read(self, url: str, param: str) -> bytes:
        self._number += 1
        content = self._fetched[url] if is_web_address(url) else read_data_url(url, param)
        check_picture(content, self._number, self._limits.pixels, param)
        return content


def _sampling(request: ChatRequest, settings: Settings) -> Sampling:
    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    return Sampling(
        max_new_tokens=_new_tokens(request, settings.limits.new_tokens),
        temperature=given(request.temperature, settings.temperature),
        top_p=given(request.top_p, 1.0),
        top_k=request.top_k or 0,
        repetition_penalty=given(request.repetition_penalty, 1.0),
        # who gives no seed wants another answer each time
        seed=secrets.randbits(62) if request.seed is None else request.seed,
        stop=tuple(request.stop or ()),
    )


def _new_tokens(request: ChatRequest, most: int) -> int:
    asked = {
        name: value for name in ("max_completion_tokens", "max_tokens") if (value := getattr(request, name)) is not None
    }
    for name, value in asked.items():
        if value > most:
            told = f"{name} is {value:,}, and answers have at most {most:,} tokens here"
            raise RequestError(told, param=name, code="invalid_value")
    return min(asked.values(), default=most)
