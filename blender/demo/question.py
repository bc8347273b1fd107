"""A question with its answer, and what makes the answer checkable.

``query`` says in data what is asked, so that the answer can be worked out again from ``scenes.json`` alone. A phrase
such as "small red stars" is an object ``{"shape", "colour", "size", "place"}`` with only the keys it names; a thing
agrees when all of them do. ``image`` counts, from 1, the pictures of the record in the order shown (1 when missing).

========== =============================== =================================================================
ask        further keys                    value
========== =============================== =================================================================
count      of, image                       how many things agree
counts     of                              a list: how many agree in each picture shown so far
total      of, images                      how many agree in the listed pictures together
distinct   attribute, image                how many different colours (or shapes) there are
exist      of, image                       "yes" or "no"
attribute  of, attribute, image            the colour, shape, size or place of the one thing that agrees
thing      place, image                    "red star", the one thing there, or "nothing"
background image                           the name of the backdrop
more       left, right, image              "yes" when more things agree with left than with right, else "no"
which_more left, right, image              "left", "right" or "equal"
commonest  attribute, image                the colour (or shape) that occurs more often than any other
larger     left, right, image              "left" or "right": which of two single things is larger
relation   relation, left, right, image    "yes" or "no": relation is "left of", "right of", "above" or "below"
remaining  taken, of, image                how many agree with "of" once those that agree with "taken" are gone
added      number, of, image               how many agree once so many more are added
repainted  these, colour, of, image        how many agree with "of" once "these" have the new colour
moved      of, image, to                   how many agree in picture "to" once those of picture "image" join them
which      of, images                      number of the one listed picture in which anything agrees
most       of, images                      number of the listed picture with the most, 0 when that is shared
same       of, images                      "yes" when equally many agree in both listed pictures, else "no"
difference                                 list of ``{"change", "before", "after"}`` from picture 1 to picture 2
========== =============================== =================================================================

``key`` holds words that every right answer contains, whatever its wording; "no" stands for "none" and "zero" too. It
is empty where the answer names pictures, whose numbers a blend may change, or is a list of changes. A wrong answer may
hold the words as well, on its way to another result.
"""

from typing import Any

import msgspec
from msgspec import Struct

from blender.demo.scene import Thing

Value = int | str | list[int] | list[dict[str, Any]]


class CheckableTurn(Struct, frozen=True):
    """One round about one picture or several."""

    #: what a score is kept by: count, colour, shape, size, place, background, exist, compare, what-if, difference or
    #: reference (finding the right one of several pictures)
    kind: str
    question: str
    answer: str
    query: dict[str, Any]
    value: Value
    key: tuple[str, ...]
    #: the one thing that the round is about, for a next question to call "it"
    topic: Thing | None = None


class QuestionRecord(Struct, frozen=True):
    """One checkable round, as it stands in ``questions.json``."""

    #: annotation file, relative to the corpus
    source: str
    #: the record's id, or its place in a file whose records have none
    record: str
    #: which round of the record, from 0
    turn: int
    kind: str
    #: image store of the pictures
    store: str
    #: names of the pictures that the record has shown up to this round, in order
    images: tuple[str, ...]
    question: str
    answer: str
    query: dict[str, Any]
    value: Value
    key: tuple[str, ...]


def query(ask: str, **keys: Any) -> dict[str, Any]:
    """Write down what is asked, as plain JSON data."""
    return {"ask": ask, **{key: msgspec.to_builtins(value) for key, value in keys.items()}}


def yes_no(truth: bool) -> str:
    """The value of a question that is answered by yes or no."""
    return "yes" if truth else "no"


def file_question(
    asked: CheckableTurn, source: str, record: str, turn: int, store: str, images: tuple[str, ...]
) -> QuestionRecord:
    """Enter a question into the list of checkable ones.

    Args:
        asked: The question.
        source: Annotation file, relative to the corpus.
        record: The record's id.
        turn: Which round of the record, from 0.
        store: Image store of the pictures.
        images: The pictures shown up to this round.
    """
    return QuestionRecord(
        source,
        record,
        turn,
        asked.kind,
        store,
        images,
        asked.question,
        asked.answer,
        asked.query,
        asked.value,
        asked.key,
    )
