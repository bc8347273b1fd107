"""Read a text: its references, and what could be a reference and is not understood."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from blender.data.references.collective import collective
from blender.data.references.folding import fold
from blender.data.references.languages import is_english, is_plain, points_in_another_language
from blender.data.references.noun import NOUN, Noun
from blender.data.references.numbers import OTHER_LETTER, numbered
from blender.data.references.ordinals import ordered, relative
from blender.data.references.reference import Reason, Reference
from blender.data.references.signs import signs
from blender.data.references.spelling import spelled
from blender.data.references.vague import vague

_READERS = (numbered, relative, ordered, collective, vague)


class Pin(NamedTuple):
    """What keeps a text from standing behind other images than its record's."""

    reason: Reason
    #: as it is written
    phrase: str


@dataclass(frozen=True)
class Reading:
    """What a text says of images."""

    #: in the order of the text
    understood: list[Reference]
    #: in the order of the text; empty where the text may stand behind other images
    pins: list[Reference]


def read(text: str, num_images: int, several: bool | None = None) -> Reading:
    """Read a text.

    Args:
        text: A question or an answer.
        num_images: How many images its record has shown up to this turn.
        several: Whether the record shows several, now or later; by default, whether it has by now.
    """
    several = num_images > 1 if several is None else several
    folded = fold(text)
    if folded is None:
        return _read(text, num_images, several)
    reading = _read(folded.text, num_images, several)
    found = [folded.unfold(reference) for reference in (*reading.understood, *reading.pins)]
    pins = [reference for reference in found if not reference.parts]
    return Reading([reference for reference in found if reference.parts], sorted(pins, key=_where))


def _read(text: str, num_images: int, several: bool) -> Reading:
    found = named_references(text, num_images, several)
    understood = [reference for reference in found if reference.parts]
    pins = [reference for reference in found if not reference.parts]
    # who writes "the first image" counts images; then "the other" is one of them, also in a record of one
    counting = several or bool(understood)
    others = [*spelled(text, several), *(signs(text, understood, several) if counting else ())]
    pins += [*_beside(sorted(others, key=_where), found), *_foreign(text, counting)]
    return Reading(understood, sorted(pins, key=_where))


def find_pin(text: str, num_images: int, several: bool | None = None) -> Pin | None:
    """Find what first keeps a text from standing behind other images than its record's.

    Args:
        text: A question or an answer.
        num_images: How many images its record has shown up to this turn.
        several: Whether the record shows several, now or later; by default, whether it has by now.

    Returns:
        None when the text is proved harmless: it speaks of no image by number, order or choice, or does so in ways that
        :func:`rewrite_references` renumbers.
    """
    first = next(iter(read(text, num_images, several).pins), None)
    return Pin(first.reason, text[first.start : first.end]) if first else None


def named_references(text: str, num_images: int, several: bool) -> list[Reference]:
    """Find the references that hang on a noun for images, understood or not, in the order of the text."""
    found: list[Reference] = []
    named: frozenset[int] = frozenset()
    nouns = list(NOUN.finditer(text))
    lettered = len(nouns) > 1 and OTHER_LETTER.search(text) is not None
    for match in nouns:
        noun = Noun(text, match, num_images, several, lettered, named)
        reference = next(filter(None, (reader(noun) for reader in _READERS)), None)
        if reference:
            overlaps = found and reference.start < found[-1].end
            found.append(Reference(reference.start, reference.end) if overlaps else reference)
            named |= reference.named if len(reference.named) < num_images else frozenset()
    return found


def _where(reference: Reference) -> tuple[int, int]:
    return (-1, 0) if reference.reason == "language" else (reference.start, -reference.end)


def _beside(others: Iterable[Reference], found: list[Reference]) -> Iterator[Reference]:
    """Leave out what is part of a reference that hangs on a noun."""
    taken = iter(found)
    now = next(taken, None)
    for reference in others:
        while now and now.end <= reference.start:
            now = next(taken, None)
        if now is None or reference.end <= now.start:
            yield reference


def _foreign(text: str, counting: bool) -> Iterator[Reference]:
    """Find a text that is not recognised as English and may speak of images by number, order or choice."""
    if counting:
        doubtful = not is_english(text)
    else:
        doubtful = not is_plain(text) and points_in_another_language(text) and not is_english(text)
    if doubtful:
        yield Reference(0, len(text), reason="language")
