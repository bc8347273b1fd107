"""Decide whether answers about drawn pictures are right, from what was drawn.

The drawn corpus lists, in ``questions.json``, every question that can be checked, with its answer as data: a number, a
colour, the number of an image, a list of changes. An answer in words is right when it *says* that value, in whatever
wording. Where an answer names several values, one of them counts:

- yes or no: whichever comes first;
- a number: the last one before a colon ("one and two make three: ..."); for several images, all of them in order;
- a colour, shape, size or place, and which of two things or images: the first that is named;
- a background: its words, and those of no other;
- a difference: every change, each with colour, shape and place in one sentence; further changes cost nothing.

Every reference of the corpus is right by these rules. Images are numbered as in the sample, not as in the record.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from blender.core.errors import EvaluationError
from blender.demo.backdrop import BACKDROPS
from blender.demo.looking import backdrop_key
from blender.demo.scene import COLOURS, PLACES, SHAPES, SIZES

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve") + (
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
)
_NUMBERS = {word: n for n, word in enumerate(_COUNTS)} | {"none": 0, "zero": 0, "nothing": 0}
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_ORDINALS = {word: n for n, word in enumerate(_PLACES, start=1)}
_IMAGE = re.compile(
    rf"\b(?:image|picture|photo)s? ?#?(\d+)\b|\b({'|'.join(_ORDINALS)}) (?:image|picture|photo|one)\b", re.IGNORECASE
)
_WORDS = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "size": tuple(SIZES),
    # the long names first: "middle left" before "middle"
    "place": tuple(place for row in PLACES for place in row),
}
_SHARED = re.compile(r"\b(?:neither|no single|equal(?:ly)?|same|tie)\b", re.IGNORECASE)


#: an annotation file's name, a record in it, and which round of the record, from 0
QuestionKey = tuple[str, str, int]


class DrawnQuestion(Struct, frozen=True):
    """An entry of ``questions.json``, as :class:`blender.demo.question.QuestionRecord` writes it."""

    source: str
    record: str
    turn: int
    kind: str
    images: tuple[str, ...]
    answer: str
    query: dict[str, Any]
    value: Any


@dataclass(frozen=True)
class DrawnCheck:
    """A question with a checkable answer, as a conversation asks it."""

    record: DrawnQuestion
    #: the conversation's number of each of the record's images
    numbers: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The kind that accuracy is grouped by: count, colour, place, difference, reference and so on."""
        return self.record.kind

    def is_right(self, answer: str) -> bool:
        """Tell whether an answer is right."""
        value, ask = self.record.value, str(self.record.query["ask"])
        plain = " ".join(answer.split())
        if ask in ("which", "most"):
            return _names_image(plain, self.numbers[value - 1] if isinstance(value, int) and value else None)
        if ask == "difference":
            return all(_tells(plain, change) for change in value)
        if ask in _JUDGES:
            return _JUDGES[ask](plain, self.record)
        if isinstance(value, list):
            return _counts(plain, value)
        return _says_yes_or_no(plain, value) if isinstance(value, str) else _last_number(plain) == value


def read_questions(file: Path) -> dict[QuestionKey, DrawnQuestion]:
    """Read ``questions.json``.

    Raises:
        EvaluationError: It cannot be read.
    """
    try:
        records = msgspec.json.decode(file.read_bytes(), type=list[DrawnQuestion])
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read: {error.strerror or error}", "name a questions.json") from error
    except msgspec.MsgspecError as error:
        raise EvaluationError(f"{file} is no list of drawn questions: {error}", "draw the corpus again") from error
    return {(Path(record.source).name, record.record, record.turn): record for record in records}


def find_questions(files: Iterable[str]) -> Path | None:
    """Find the ``questions.json`` of the drawn corpus that annotation files belong to."""
    for file in files:
        for folder in list(Path(file).absolute().parents)[:3]:
            if (folder / "questions.json").is_file() and (folder / "corpus.json").is_file():
                return folder / "questions.json"
    return None


def _says_yes_or_no(answer: str, value: str) -> bool:
    return _first(answer, ("yes", "no")) == value


def _numbers(text: str) -> list[int]:
    """Return the numbers in a text, those of images left out."""
    words = re.findall(r"[a-z]+|\d+", _IMAGE.sub(" ", text).lower())
    return [int(word) if word.isdigit() else _NUMBERS[word] for word in words if word.isdigit() or word in _NUMBERS]


def _last_number(answer: str) -> int | None:
    counted = re.sub(r"\bone kind\b", "", answer, flags=re.IGNORECASE)
    numbers = _numbers(counted.partition(":")[0]) or _numbers(counted)
    return numbers[-1] if numbers else None


def _counts(answer: str, value: Sequence[Any]) -> bool:
    numbers = _numbers(answer)
    alike = len(set(value)) == 1 and re.search(r"\b(?:both|each|all)\b", answer, re.IGNORECASE) is not None
    return numbers == list(value) or (alike and numbers == [value[0]])


def _position(answer: str, word: str) -> int | None:
    found = re.search(rf"\b{re.escape(word)}(?:e?s)?\b", answer, re.IGNORECASE)
    return found.start() if found else None


def _first(answer: str, words: Iterable[str]) -> str | None:
    """Return the word that an answer names first."""
    named = [(at, -len(word), word) for word in words if (at := _position(answer, word)) is not None]
    return min(named)[2] if named else None


def _names_image(answer: str, number: int | None) -> bool:
    """Tell whether the first image that is named has this number; None for none of them."""
    found, shared = _IMAGE.search(answer), _SHARED.search(answer)
    if number is None or found is None or (shared and shared.start() < found.start()):
        return number is None and shared is not None
    return number == (int(found[1]) if found[1] else _ORDINALS[found[2].lower()])


def _attribute(answer: str, record: DrawnQuestion) -> bool:
    return _first(answer, _WORDS[str(record.query["attribute"])]) == str(record.value)


def _thing(answer: str, record: DrawnQuestion) -> bool:
    shape = _first(answer, SHAPES)
    if record.value == "nothing":
        return shape is None and _first(answer, ("nothing", "none", "no")) is not None
    return f"{_first(answer, COLOURS)} {shape}" == str(record.value)


def _background(answer: str, record: DrawnQuestion) -> bool:
    named = {name for name in BACKDROPS if all(_position(answer, word) is not None for word in backdrop_key(name))}
    # "grey" and "wall" are also among the words of another background
    return record.value in named and len(named) == 1


def _side(answer: str, record: DrawnQuestion) -> bool:
    if record.value == "equal":
        return _SHARED.search(answer) is not None
    left, right = (set(_texts(record.query[side])) for side in ("left", "right"))
    named = _first(answer, (left - right) | (right - left))
    return named is not None and (named in left) == (record.value == "left") and not _SHARED.search(answer)


def _texts(sort: Mapping[str, Any]) -> list[str]:
    return [str(word) for word in sort.values()]


def _tells(answer: str, change: Mapping[str, Any]) -> bool:
    """Tell whether one sentence names all properties of a change."""
    wanted: set[str] = set()
    for end in ("before", "after"):
        thing = change.get(end)
        if thing:
            wanted |= {thing["colour"], thing["shape"], thing["place"]}
            wanted |= {thing["size"]} if change["change"] == "resized" else set()
    sentences = re.split(r"(?<=[.;!?])\s", answer)
    return any(all(_position(sentence, word) is not None for word in wanted) for sentence in sentences)


_JUDGES = {
    "attribute": _attribute,
    "commonest": _attribute,
    "thing": _thing,
    "background": _background,
    "which_more": _side,
    "larger": _side,
}
