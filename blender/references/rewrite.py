"""Find the references of a text, from noun to noun, and renumber them."""

from collections.abc import Sequence
from dataclasses import dataclass

from blender.references.noun import NOUN, Noun
from blender.references.nounless import nounless
from blender.references.numbers import numbered
from blender.references.ordinals import collective, ordered, relative, vague
from blender.references.reference import Reference, spell


@dataclass(frozen=True)
class Rewrite:
    """A text whose references were renumbered."""

    text: str
    #: how many phrases were changed
    num_rewritten: int


def rewrite_references(text: str, numbers: Sequence[int], num_shown: int) -> Rewrite:
    """Renumber a text's references from its record's images to the sample's.

    Args:
        text: A question or an answer.
        numbers: ``numbers[k - 1]`` is the sample's number of the record's image ``k``, for all images that the record
            has shown up to this turn.
        num_shown: How many images the sample has shown up to this turn.

    Returns:
        The text, changed in nothing but the references. What :func:`unresolvable` finds is left as it is.
    """
    if num_shown == len(numbers) and all(number == k for k, number in enumerate(numbers, 1)):
        return Rewrite(text, 0)
    pieces, done, num_rewritten = [], 0, 0
    for reference in _references(text, len(numbers)):
        if reference.parts:
            phrase = "".join(spell(part, numbers) for part in reference.parts)
            num_rewritten += phrase != text[reference.start : reference.end]
            pieces += [text[done : reference.start], phrase]
            done = reference.end
    return Rewrite("".join([*pieces, text[done:]]), num_rewritten)


def unresolvable(text: str, num_images: int) -> str | None:
    """Find the first phrase that would become untrue behind other images and cannot be renumbered.

    Args:
        text: A question or an answer.
        num_images: How many images its record has shown up to this turn.

    Returns:
        The phrase as it is written, or None when the text may stand behind other images.
    """
    lost = next((reference for reference in _references(text, num_images) if not reference.parts), None)
    return text[lost.start : lost.end] if lost else None


_READERS = (numbered, relative, ordered, collective, vague)


def _references(text: str, num_images: int) -> list[Reference]:
    """Find all references of a text, in its order."""
    found: list[Reference] = []
    named: frozenset[int] = frozenset()
    for match in NOUN.finditer(text):
        noun = Noun(text, match, num_images, named)
        reference = next(filter(None, (read(noun) for read in _READERS)), None)
        if reference:
            overlaps = found and reference.start < found[-1].end
            found.append(Reference(reference.start, reference.end) if overlaps else reference)
            named |= reference.named if len(reference.named) < num_images else frozenset()
    return sorted([*found, *nounless(text, num_images)], key=lambda reference: reference.start)
