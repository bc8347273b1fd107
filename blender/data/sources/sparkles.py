"""Read SparklesDialogue: an array of dialogues whose texts name images by their ids.

``IMAGE#1342`` becomes "image n", where n counts the images of the dialogue in the order shown, so that references can
be renumbered later. The placeholder ``<Img><ImageHere></Img>`` after it is removed.
"""

import re
from collections.abc import Iterator
from functools import partial

from msgspec import Struct

from blender.data.records import Conversation, Skip
from blender.data.sample import Turn
from blender.data.sources.annotations import Annotations, raw_array
from blender.data.sources.decoding import decode_records
from blender.data.sources.dialogue import (
    Dialogue,
    Unread,
    UnusableRecord,
    as_read,
    conversations,
    require_names,
    require_own_marks,
)
from blender.data.sources.mentions import Mention, written_out
from blender.data.sources.options import ReadOptions
from blender.data.sources.shapes import RecordLayout, RecordShape
from blender.data.sources.turns import Roles, find_turns

_ROLES = Roles(asking=frozenset({"user"}), answering=frozenset({"assistant"}))

_WORD = "IMAGE"
#: the end of a reference's ``IMAGE#``; the word before it is looked at where this is found, which is not often
_SIGN_OF_NUMBER = re.compile("#")
#: what carries an id on, so that the id ends elsewhere; the next reference does not
_ID_CHARACTER = re.compile("(?!IMAGE#)[A-Za-z0-9_]", re.IGNORECASE)
_SIGN = "<Img><ImageHere></Img>"


class _SparklesImage(Struct, frozen=True, gc=False):
    image_id: str | int


class _SparklesMessage(Struct, frozen=True, gc=False):
    role: str
    content: str
    images: list[_SparklesImage] | None = None


class _SparklesDialogue(RecordShape, frozen=True, gc=False):
    dialogue: list[_SparklesMessage]
    id: str | int | None = None

    def own_id(self) -> str | int | None:
        return self.id

    def image_names(self) -> list[str]:
        return [f"{name}.jpg" for message in self.dialogue for name in _ids(message)]


_LAYOUT = RecordLayout(_SparklesDialogue, "dialogue", _SparklesMessage, images="images")


def read_sparkles(annotations: Annotations) -> Iterator[Conversation | Skip]:
    """Read a JSON array of dialogues.

    Raises:
        SourceError: The file is not of this format.
    """
    entries = decode_records(annotations, raw_array(annotations), _LAYOUT)
    dialogue = partial(_dialogue, options=annotations.options)
    return conversations(entries, lambda entry: entry.own_id(), dialogue)


def _dialogue(read: _SparklesDialogue | Unread, options: ReadOptions) -> Dialogue:
    entry = as_read(read)
    turn_messages = find_turns([(message.role, message.content) for message in entry.dialogue], _ROLES, options)
    if any(message.images for message in entry.dialogue if message.role not in _ROLES.asking):
        raise UnusableRecord("image_in_answer", "an answer shows an image, which only questions can")
    if not any(message.images for message in entry.dialogue):
        raise UnusableRecord("no_images", "the dialogue shows no image")
    numbers: dict[str, int] = {}
    messages = [entry.dialogue[index] for index in turn_messages.indices]
    turns = [
        _turn(question, answer, numbers, turn_messages.systems.get(number, ""))
        for number, (question, answer) in enumerate(zip(messages[0::2], messages[1::2], strict=True))
    ]
    require_own_marks(turn.question for turn in turns)
    return [f"{name}.jpg" for name in numbers], turns


def _turn(question: _SparklesMessage, answer: _SparklesMessage, numbers: dict[str, int], system: str) -> Turn:
    """Make one round; `numbers` holds the images shown so far and takes up the new ones."""
    _require_images_of_signs(question)
    new = [name for name in dict.fromkeys(_ids(question)) if name not in numbers]
    require_names(new)
    for name in new:
        numbers[name] = len(numbers) + 1
    asked, said, before = (_worded(text, numbers) for text in (question.content, answer.content, system))
    return Turn([numbers[name] for name in new], asked, said, 0, before)


def _require_images_of_signs(question: _SparklesMessage) -> None:
    """Check that a question shows an image, or refers to one, for each of its signs.

    Raises:
        UnusableRecord: `image_tags`.
    """
    num_signs, num_images = question.content.count(_SIGN), len(question.images or ())
    if num_signs > num_images + question.content.upper().count(_WORD + "#"):
        raise UnusableRecord("image_tags", f"{num_signs} {_SIGN} in a question that shows {num_images} images")


def _ids(message: _SparklesMessage) -> list[str]:
    return [str(image.image_id) for image in message.images or ()]


def _worded(text: str, numbers: dict[str, int]) -> str:
    plain = without_signs(text).strip()
    return written_out(plain, _mentions(plain, numbers))


def _mentions(text: str, numbers: dict[str, int]) -> Iterator[Mention]:
    """Find the references to images.

    Raises:
        UnusableRecord: `unknown_reference`: an image that has not been shown.
    """
    longest_first = sorted(numbers, key=len, reverse=True)
    for sign in _SIGN_OF_NUMBER.finditer(text):
        start = sign.start() - len(_WORD)
        if start < 0 or text[start : sign.start()].upper() != _WORD:
            continue
        name = next((name for name in longest_first if _is_id_at(text, sign.end(), name)), None)
        if name is not None:
            yield Mention(start, sign.end() + len(name), numbers[name])
        elif _ID_CHARACTER.match(text, sign.end()):
            end = sign.end() + 20
            raise UnusableRecord("unknown_reference", f'"{text[start:end].split()[0]}" names no image shown so far')


def _is_id_at(text: str, at: int, name: str) -> bool:
    return text.startswith(name, at) and not _ID_CHARACTER.match(text, at + len(name))


def without_signs(text: str) -> str:
    """Remove the placeholders for image features, without joining words or doubling white space."""
    first, *others = text.split(_SIGN)
    for other in others:
        first = _joined(first, other)
    return first


def _joined(left: str, right: str) -> str:
    left_words, right_words = left.rstrip(), right.lstrip()
    left_space, right_space = left[len(left_words) :], right[: len(right) - len(right_words)]
    if not left_words or not right_words:
        return left_words + right_words
    if left_space and right_space:
        return left_words + max(left_space, right_space, key=lambda space: space.count("\n")) + right_words
    if left_space and right_words[0] in ".,;:!?)]}'\"":
        return left_words + right_words
    if not (left_space or right_space) and left_words[-1].isalnum() and right_words[0].isalnum():
        return f"{left_words} {right_words}"
    return left_words + left_space + right_space + right_words
