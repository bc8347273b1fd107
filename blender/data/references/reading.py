"""Find the references of a text: those that can be rewritten, and those that cannot."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from blender.data.references.collective import collective
from blender.data.references.cues import find_cues
from blender.data.references.folding import fold
from blender.data.references.languages import is_english, is_plain, points_in_another_language
from blender.data.references.noun import NOUN, Noun
from blender.data.references.numbers import OTHER_LETTER, numbered
from blender.data.references.ordinals import ordered, relative
from blender.data.references.reference import Reason, Reference
from blender.data.references.spelling import spelled
from blender.data.references.vague import vague

_READERS = (numbered, relative, ordered, collective, vague)


class UnclearReference(NamedTuple):
    """A phrase that may refer to an image and cannot be renumbered: it keeps other images from being put before."""

    reason: Reason
    #: as the text has it
    phrase: str


@dataclass(frozen=True)
class Reading:
    """The references in a text."""

    #: those that can be renumbered, in the order of the text
    understood: list[Reference]
    #: those that cannot, in the order of the text; empty if other images may be put before the text's own
    unclear: list[Reference]


def read(text: str, num_images: int, several: bool | None = None) -> Reading:
    """Find the references of a text.

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
    found = [folded.unfold(reference) for reference in (*reading.understood, *reading.unclear)]
    unclear = [reference for reference in found if not reference.parts]
    return Reading([reference for reference in found if reference.parts], sorted(unclear, key=_where))


def _read(text: str, num_images: int, several: bool) -> Reading:
    found = named_references(text, num_images, several)
    understood = [reference for reference in found if reference.parts]
    unclear = [reference for reference in found if not reference.parts]
    # who writes "the first image" counts images; then "the other" is one of them, also in a record of one
    counting = several or bool(understood)
    others = [*spelled(text, several), *(find_cues(text, understood, several) if counting else ())]
    unclear += [*_beside(sorted(others, key=_where), found), *_foreign(text, counting)]
    return Reading(understood, sorted(unclear, key=_where))


def find_unclear_reference(text: str, num_images: int, several: bool | None = None) -> UnclearReference | None:
    """Find the first reference of a text that cannot be renumbered.

    Args:
        text: A question or an answer.
        num_images: How many images its record has shown up to this turn.
        several: Whether the record shows several, now or later; by default, whether it has by now.

    Returns:
        None if other images may be put before the text's own: it refers to no image by number, order or choice, or
        only in ways that :func:`rewrite_references` renumbers.
    """
    first = next(iter(read(text, num_images, several).unclear), None)
    return UnclearReference(first.reason, text[first.start : first.end]) if first else None


def named_references(text: str, num_images: int, several: bool) -> list[Reference]:
    """Find the references that contain a noun for images, understood or not, in the order of the text."""
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
    """Leave out what is part of a reference with a noun."""
    taken = iter(found)
    now = next(taken, None)
    for reference in others:
        while now and now.end <= reference.start:
            now = next(taken, None)
        if now is None or reference.end <= now.start:
            yield reference


def _foreign(text: str, counting: bool) -> Iterator[Reference]:
    """Yield the whole text if it is not recognised as English and may refer to images by number, order or choice."""
    if counting:
        doubtful = not is_english(text)
    else:
        doubtful = not is_plain(text) and points_in_another_language(text) and not is_english(text)
    if doubtful:
        yield Reference(0, len(text), reason="language")
