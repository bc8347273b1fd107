"""Detailed descriptions of one picture, and the dialogues and answers of LLaVA's three files."""

import numpy as np
from msgspec.structs import replace

from blender.demo.backdrop import BACKDROPS
from blender.demo.compose import pick
from blender.demo.looking import LOOKING, follow_up, shuffled
from blender.demo.question import CheckableTurn
from blender.demo.reasoning import COMPARING, REASONING, SUPPOSING
from blender.demo.scene import Scene, Sort, Thing, count, things_of
from blender.demo.words import everything, in_full, inventory, is_are, listed, number, plural, sentence, some, where

REQUESTS = (
    "What do you see happening in this image?",
    "Can you describe the main features of this image for me?",
    "Please write a detailed description of this picture.",
    "Describe the following image in detail.",
    "What is shown here? Tell me as much as you can.",
    "Explain the visual content of the image in great detail.",
    "Can you elaborate on the elements of the picture provided?",
    "Analyze the image in a comprehensive and detailed manner.",
)


def caption(scene: Scene) -> str:
    """One sentence about a picture."""
    return f"{sentence(everything(scene))} in front of {BACKDROPS[scene.background].words}."


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """A description in one or two paragraphs: overview, every sort of thing with sizes and places, what stands out."""
    words, n = BACKDROPS[scene.background].words, len(scene.objects)
    opening = pick(
        rng,
        (
            f"The image shows {some(Sort(), n)} against {words}.",
            f"The picture shows {words}, and in front of it {everything(scene)}.",
            f"In this scene, {some(Sort(), n)} {is_are(n)} spread over {words}.",
            f"There {is_are(inventory(scene)[0][1])} {everything(scene)} in front of {words}.",
        ),
    )
    parts = [_sort_sentence(scene, sort, rng) for sort, _ in inventory(scene)]
    joint = pick(rng, (" ", "\n\n"))
    return joint.join([opening, " ".join(parts), _closing(scene, rng)]).strip()


def _sort_sentence(scene: Scene, sort: Sort, rng: np.random.Generator) -> str:
    """Where the things of a colour and shape are, and how large."""
    things = things_of(scene, sort)
    if len(things) == 1:
        return _thing_sentence(things[0], rng)
    sizes = {thing.size for thing in things}
    if len(sizes) == 1:
        sized = replace(sort, size=things[0].size)
        return pick(
            rng,
            (
                f"There are {some(sized, len(things))}, {where(things)}.",
                f"The picture has {some(sized, len(things))}: {where(things)}.",
            ),
        )
    return f"Of the {some(sort, len(things))}, {_each(things)}."


def _each(things: list[Thing]) -> str:
    return listed([f"one is {thing.size} and in the {thing.place}" for thing in things])


def _thing_sentence(thing: Thing, rng: np.random.Generator) -> str:
    bare = in_full(thing).removesuffix(f" in the {thing.place}")
    return pick(
        rng,
        (
            f"There is {in_full(thing)}.",
            f"In the {thing.place} there is {bare}.",
            f"{sentence(bare)} is to be found in the {thing.place}.",
        ),
    )


def _closing(scene: Scene, rng: np.random.Generator) -> str:
    """Something about the whole, where there is something to say."""
    shapes = {thing.shape for thing in scene.objects}
    colours = {thing.colour for thing in scene.objects}
    n = len(scene.objects)
    remarks = [f"Altogether there {is_are(n)} {some(Sort(), n)}."]
    if len(shapes) == 1 and n > 1:
        remarks.append(f"All of the shapes are {plural(Sort(shapes.pop()))}.")
    if len(colours) == 1 and n > 1:
        remarks.append(f"All of the shapes are {colours.pop()}.")
    elif len(colours) > 2:
        remarks.append(f"The shapes have {number(len(colours))} different colours.")
    if not count(scene, Sort(size="large")):
        remarks.append("None of the shapes is large.")
    return pick(rng, remarks)


def reason(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """One reasoning question; every scene leaves at least one to ask."""
    return next(question for maker in shuffled(rng, REASONING) if (question := maker(scene, rng)))


def converse(scene: Scene, rng: np.random.Generator) -> tuple[CheckableTurn, ...]:
    """A dialogue of two to five different rounds, some of them asking on about what the round before was about."""
    wanted = int(rng.integers(2, 6))
    rounds: list[CheckableTurn] = []
    for maker in shuffled(rng, (*LOOKING, *LOOKING, *COMPARING, *SUPPOSING)):
        if len(rounds) == wanted:
            break
        topic = rounds[-1].topic if rounds else None
        asked = None
        if rounds and topic and rng.random() < 0.4:
            asked = follow_up(scene, topic, f"{rounds[-1].question} {rounds[-1].answer}", rng)
        asked = asked or maker(scene, rng)
        if asked and not any(_repeats(asked, earlier) for earlier in rounds):
            rounds.append(asked)
    return tuple(rounds)


def _repeats(one: CheckableTurn, other: CheckableTurn) -> bool:
    """Whether two rounds ask the same thing, perhaps in other words."""
    return one.query == other.query or one.question == other.question
