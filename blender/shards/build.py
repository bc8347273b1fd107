"""Make a sample of turns: number its images, rewrite references to them, render the text."""

from collections.abc import Sequence
from dataclasses import dataclass

from blender.data.references import rewrite_references
from blender.data.sample import ImageRef, Sample, Turn
from blender.data.template import Template


@dataclass(frozen=True)
class Ingredient:
    """A turn that a sample is made of."""

    #: ``source/file/record``
    source: str
    question: str
    answer: str
    #: images of the turn's conversation shown up to this turn
    num_local: int
    #: images of the sample before the first of them
    offset: int
    system: str = ""


def build_sample(
    key: str,
    dataset: str,
    ingredients: Sequence[Ingredient],
    images: Sequence[ImageRef],
    image_turns: Sequence[int],
    template: Template,
) -> tuple[Sample, list[int]]:
    """Make a sample of turns and images, with references renumbered.

    Args:
        key: The sample's key.
        dataset: The blend entry.
        ingredients: The turns in order.
        images: The images in the order shown.
        image_turns: For each image the turn that shows it, not falling.
        template: What to render with.

    Returns:
        The sample, and how many references were rewritten in each turn.
    """
    sources = list(dict.fromkeys(ingredient.source for ingredient in ingredients))
    turns, rewritten, shown = [], [], 0
    for seq, part in enumerate(ingredients):
        first = shown
        while shown < len(images) and image_turns[shown] == seq:
            shown += 1
        (question, answer, system), count = _renumber(part, shown)
        numbers = list(range(first + 1, shown + 1))
        turns.append(Turn(numbers, question, answer, sources.index(part.source), system))
        rewritten.append(count)
    assert shown == len(images), key
    spans = template.render(turns)
    return Sample(key, dataset, sources, list(images), turns, template.name, spans), rewritten


def _renumber(part: Ingredient, num_shown: int) -> tuple[list[str], int]:
    texts = [part.question, part.answer, part.system]
    if part.num_local == 0 or (part.offset == 0 and part.num_local == num_shown):
        return texts, 0
    numbers = range(part.offset + 1, part.offset + part.num_local + 1)
    rewritten = [rewrite_references(text, numbers, num_shown) for text in texts]
    return [each.text for each in rewritten], sum(each.num_rewritten for each in rewritten)
