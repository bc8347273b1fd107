"""Renumber the references of a text from a record's images to those of a sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from blender.data.references.reading import read
from blender.data.references.reference import spell


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
        The text, changed in nothing but the references. A text in which :func:`find_unclear_reference` finds something
        stays as it is: a text renumbered in part would count its images in two ways.
    """
    if num_shown == len(numbers) and all(number == k for k, number in enumerate(numbers, 1)):
        return Rewrite(text, 0)
    reading = read(text, len(numbers))
    if reading.unclear:
        return Rewrite(text, 0)
    pieces, done, num_rewritten = [], 0, 0
    for reference in reading.understood:
        phrase = "".join(spell(part, numbers) for part in reference.parts)
        num_rewritten += phrase != text[reference.start : reference.end]
        pieces += [text[done : reference.start], phrase]
        done = reference.end
    return Rewrite("".join([*pieces, text[done:]]), num_rewritten)
