"""Messages of users and assistants, as chat programs write them, read as the turns that a template renders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from blender.core.errors import ModelError
from blender.data.images.checking import ImageLimits
from blender.data.images.damage import DamagedImage
from blender.data.images.decoding import explaining_damage, open_image
from blender.data.sample import Turn


@dataclass(frozen=True)
class ProcessorConversation:
    """Messages as a template renders them."""

    #: the system message; None for the template's own words
    system: str | None
    #: without an answer in the last one of a prompt
    turns: tuple[Turn, ...]
    #: the images of all turns, in the order shown
    images: tuple[Any, ...]
    #: whether the last turn has no answer yet
    is_prompt: bool


def read_messages(messages: Sequence[Mapping[str, Any]]) -> ProcessorConversation:
    """Read messages: one of the system, if any, and then the user's and the assistant's in turn.

    Args:
        messages: Each has ``role`` and ``content``: a text, or parts ``{"type": "text", "text": …}`` and
            ``{"type": "image", "image" or "path": …}`` with a picture or its file.

    Raises:
        ModelError: Questions and answers do not take turns, or a part is of an unknown type.
    """
    rest = list(enumerate(messages))
    system = None
    if rest and rest[0][1].get("role") == "system":
        number, message = rest.pop(0)
        system, _ = _content(number, message, allow_images=False)
    if not rest:
        raise ModelError("the conversation has no question", "give at least one message of the user's")
    turns: list[Turn] = []
    images: list[Any] = []
    for order, (number, message) in enumerate(rest):
        wanted = ("user", "assistant")[order % 2]
        if message.get("role") != wanted:
            reason = f"message {number} has the role {message.get('role')!r}, and {wanted!r} is expected"
            raise ModelError(reason, "questions and answers take turns; a system message comes first")
        text, shown = _content(number, message, allow_images=wanted == "user")
        if wanted == "user":
            numbers = range(len(images) + 1, len(images) + len(shown) + 1)
            images += shown
            turns.append(Turn(list(numbers), text, "", 0))
        else:
            turns[-1] = replace(turns[-1], answer=text)
    return ProcessorConversation(system, tuple(turns), tuple(images), is_prompt=len(rest) % 2 == 1)


def _content(number: int, message: Mapping[str, Any], *, allow_images: bool) -> tuple[str, list[Any]]:
    """Return the text and the images of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    images: list[Any] = []
    for part in content if isinstance(content, Sequence) else [{}]:
        part = part if isinstance(part, Mapping) else {}
        kind = part.get("type")
        if kind == "text":
            texts.append(str(part.get("text", "")))
        elif kind == "image" and allow_images and not texts:
            images.append(_image(number, part))
        else:
            raise _unusable(number, message, kind, after_text=bool(texts))
    return "\n".join(texts), images


def _image(number: int, part: Mapping[str, Any]) -> Any:
    source = part.get("image", part.get("path"))
    if source is None:
        hint = "give a picture as `image` or its file as `path`"
        raise ModelError(f"message {number} has an image without a picture", hint)
    if not isinstance(source, str | Path):
        return source
    try:
        with explaining_damage(), open_image(_bytes_of(Path(source))) as opened:
            return opened.convert("RGB")
    except OSError as error:
        why = error.strerror or error
        raise ModelError(f"message {number}: the image {source} cannot be read: {why}", "replace it") from error


def _bytes_of(file: Path) -> bytes:
    """Read an image file, unless it is larger than images of a blend may be."""
    size, allowed = file.stat().st_size, ImageLimits().max_bytes
    if size > allowed:
        raise DamagedImage("too_many_bytes", f"it has {size:,} bytes, more than the {allowed:,} allowed")
    return file.read_bytes()


def _unusable(number: int, message: Mapping[str, Any], kind: Any, *, after_text: bool) -> ModelError:
    if kind != "image":
        reason = f"message {number} has a part of type {kind!r}" if kind else f"message {number} has no content"
        return ModelError(reason, "content is a text, or a list of text and image parts")
    if after_text:
        reason = f"message {number} has an image behind text"
        return ModelError(reason, "the template shows the images of a message before its text: put them first")
    return ModelError(
        f"message {number} is the {message.get('role')}'s and shows an image", "only the user shows images"
    )
