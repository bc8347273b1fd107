"""Show conversations images that they are not about, to measure what models answer without looking."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from blender.core.counting import counted
from blender.core.errors import EvaluationError
from blender.evaluate.conversations import EvalConversation, EvalData


@dataclass(frozen=True)
class _ShownImage:
    owner: EvalConversation
    #: from 0, in the order shown
    index: int
    name: str


def swap_images(data: EvalData) -> EvalData:
    """Give every conversation images of the conversations that follow it; the first follows the last.

    Numbers and questions stay; names are those of the images shown. A conversation is not given an image that has the
    name of one of its own.

    Raises:
        EvaluationError: For some conversation there are not enough other images.
    """
    every = data.conversations
    return replace(data, conversations=tuple(_swapped(every, at) for at in range(len(every))))


def _swapped(every: Sequence[EvalConversation], at: int) -> EvalConversation:
    conversation = every[at]
    own = {image.name for image in _images(conversation)}
    following = (every[(at + step) % len(every)] for step in range(1, len(every)))
    others = (image for each in following for image in _images(each))
    shown = list(islice((image for image in others if image.name not in own), conversation.num_images))
    if len(shown) < conversation.num_images:
        own_images = counted(conversation.num_images, "image")
        message = (
            f"conversation {conversation.name} shows {own_images}, and the others have {len(shown)} to swap them for"
        )
        raise EvaluationError(message, "ask more conversations, or leave out --swap-images")
    names = iter([image.name for image in shown])
    rounds = tuple(replace(each, names=tuple(islice(names, len(each.names)))) for each in conversation.rounds)
    return replace(conversation, rounds=rounds, read=lambda: _read(shown))


def _images(conversation: EvalConversation) -> Iterator[_ShownImage]:
    names = [name for question in conversation.rounds for name in question.names]
    return (_ShownImage(conversation, index, name) for index, name in enumerate(names))


def _read(images: Sequence[_ShownImage]) -> tuple[bytes, ...]:
    files = {image.owner.name: image.owner for image in images}
    read = {name: owner.read() for name, owner in files.items()}
    return tuple(read[image.owner.name][image.index] for image in images)
