"""Show conversations pictures that they are not about, to learn what models answer without looking."""

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
    place: int
    name: str


def swap_images(data: EvalData) -> EvalData:
    """Give every conversation pictures of those that follow it; behind the last one comes the first.

    Numbers and questions stay, names are those of what is shown. A picture that a conversation shows itself, by its
    name, is not given to it.

    Raises:
        EvaluationError: For some conversation there are not enough other pictures.
    """
    every = data.conversations
    return replace(data, conversations=tuple(_swapped(every, at) for at in range(len(every))))


def _swapped(every: Sequence[EvalConversation], at: int) -> EvalConversation:
    conversation = every[at]
    own = {picture.name for picture in _pictures(conversation)}
    following = (every[(at + step) % len(every)] for step in range(1, len(every)))
    others = (picture for each in following for picture in _pictures(each))
    shown = list(islice((picture for picture in others if picture.name not in own), conversation.num_images))
    if len(shown) < conversation.num_images:
        own_images = counted(conversation.num_images, "image")
        message = (
            f"conversation {conversation.name} shows {own_images}, and the others have {len(shown)} to swap them for"
        )
        raise EvaluationError(message, "ask more conversations, or leave out --swap-images")
    names = iter([picture.name for picture in shown])
    rounds = tuple(replace(each, names=tuple(islice(names, len(each.names)))) for each in conversation.rounds)
    return replace(conversation, rounds=rounds, read=lambda: _read(shown))


def _pictures(conversation: EvalConversation) -> Iterator[_ShownImage]:
    names = [name for question in conversation.rounds for name in question.names]
    return (_ShownImage(conversation, place, name) for place, name in enumerate(names))


def _read(pictures: Sequence[_ShownImage]) -> tuple[bytes, ...]:
    files = {picture.owner.name: picture.owner for picture in pictures}
    read = {name: owner.read() for name, owner in files.items()}
    return tuple(read[picture.owner.name][picture.place] for picture in pictures)
