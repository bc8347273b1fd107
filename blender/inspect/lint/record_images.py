"""Which images of a sample are those of a turn's own record, and how many stand before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from blender.data.sample import Sample


@dataclass(frozen=True)
class RecordImages:
    """Where a turn's record stands in its sample."""

    #: images that the sample shows before the first one of the record
    num_before: int
    #: images that the record shows
    num_own: int


def entry_of(recipe: Mapping[str, Any], dataset: str) -> Mapping[str, Any]:
    """Find the entry of a resolved recipe that made a dataset."""
    return next((entry for entry in recipe.get("blend", ()) if entry.get("name") == dataset), {})


def record_images(sample: Sample, entry: Mapping[str, Any]) -> Sequence[RecordImages]:
    """Say of each turn of a sample where its record stands.

    Args:
        sample: The sample.
        entry: The entry of the recipe that made it.
    """
    if match := entry.get("image_match"):
        return _matched(sample, tuple(f"{source}/" for source in match.get("base", ())))
    if entry.get("concatenate"):
        return _concatenated(sample)
    return [RecordImages(0, len(sample.images))] * len(sample.turns)


def _matched(sample: Sample, bases: tuple[str, ...]) -> list[RecordImages]:
    """The base's images are the sample's; a conversation before it is about the image shown last."""
    shown = accumulate(len(turn.images) for turn in sample.turns)
    return [
        RecordImages(0, len(sample.images))
        if sample.sources[turn.source].startswith(bases)
        else RecordImages(max(0, num_shown - 1), 1)
        for turn, num_shown in zip(sample.turns, shown, strict=True)
    ]


def _concatenated(sample: Sample) -> list[RecordImages]:
    """A conversation begins with the first turn of a record that shows an image of its own."""
    begins, seen = list[int](), set[int]()
    for number, turn in enumerate(sample.turns):
        if not begins or (turn.images and turn.source not in seen):
            begins.append(number)
        seen.add(turn.source)
    found, num_before = list[RecordImages](), 0
    for begin, end in zip(begins, [*begins[1:], len(sample.turns)], strict=True):
        num_own = sum(len(turn.images) for turn in sample.turns[begin:end])
        found += [RecordImages(num_before, num_own)] * (end - begin)
        num_before += num_own
    return found
