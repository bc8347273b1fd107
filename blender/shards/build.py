"""Make a sample of turns: number its images, rewrite references to them, render the text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from blender.data.references import rewrite_references
from blender.data.sample import ImageRef, Sample, Turn
from blender.data.template import Template

if TYPE_CHECKING:
    from blender.shards.planned import PlannedTurn


def build_sample(
    key: str,
    dataset: str,
    asked: Sequence["PlannedTurn"],
    offsets: Sequence[int],
    images: Sequence[ImageRef],
    image_turns: Sequence[int],
    template: Template,
) -> tuple[Sample, list[int]]:
    """Make a sample of turns and images, with references renumbered.

    Args:
        key: The sample's key.
        dataset: The blend entry.
        asked: The turns in order.
        offsets: Of each turn the images of the sample before the first one of the turn's conversation.
        images: The images in the order shown.
        image_turns: For each image the turn that shows it, not falling.
        template: What to render with.

    Returns:
        The sample, and how many references were rewritten in each turn.
    """
    sources = list(dict.fromkeys(turn.source for turn in asked))
    turns, rewritten, shown = [], [], 0
    for number, (turn, offset) in enumerate(zip(asked, offsets, strict=True)):
        first = shown
        while shown < len(images) and image_turns[shown] == number:
            shown += 1
        (question, answer, system), count = _renumber(turn, offset, shown)
        numbers = list(range(first + 1, shown + 1))
        turns.append(Turn(numbers, question, answer, sources.index(turn.source), system))
        rewritten.append(count)
    assert shown == len(images), key
    spans = template.render(turns)
    return Sample(key, dataset, sources, list(images), turns, template.name, spans), rewritten


def _renumber(turn: "PlannedTurn", offset: int, num_shown: int) -> tuple[list[str], int]:
    texts = [turn.question, turn.answer, turn.system]
    if turn.shown == 0 or (offset == 0 and turn.shown == num_shown):
        return texts, 0
    numbers = range(offset + 1, offset + turn.shown + 1)
    rewritten = [rewrite_references(text, numbers, num_shown) for text in texts]
    return [each.text for each in rewritten], sum(each.num_rewritten for each in rewritten)
