"""Questions that are answered by looking at one picture: how many, which colour, where, how large, is there.

Every maker returns None where the scene leaves nothing to ask that has one clear answer.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from blender.demo.backdrop import BACKDROPS
from blender.demo.compose import pick
from blender.demo.question import CheckableTurn, query, yes_no
from blender.demo.scene import COLOURS, PLACES, SHAPES, Scene, Sort, Thing, count, full_sort, naming, things_of
from blender.demo.words import (
    a,
    in_full,
    is_are,
    listed,
    noun,
    number,
    plural,
    sentence,
    some,
    the,
    where,
)

Maker = Callable[[Scene, np.random.Generator], CheckableTurn | None]
Item = TypeVar("Item")

_PICTURE = ("image", "picture", "scene", "photo")


def shuffled(rng: np.random.Generator, items: Sequence[Item]) -> list[Item]:
    """The items in random order."""
    return [items[place] for place in rng.permutation(len(items)).tolist()]


def present_sort(scene: Scene, rng: np.random.Generator) -> Sort:
    """A phrase that is true of something in the scene."""
    thing = pick(rng, scene.objects)
    return pick(
        rng,
        (
            Sort(thing.shape),
            Sort(thing.shape),
            Sort(colour=thing.colour),
            Sort(thing.shape, thing.colour),
            Sort(size=thing.size),
            Sort(thing.shape, size=thing.size),
        ),
    )


def absent_sort(scene: Scene, rng: np.random.Generator) -> Sort:
    """A phrase that is true of nothing in the scene but could well be: its colours and shapes in other pairs."""
    colours = [thing.colour for thing in scene.objects]
    shapes = [thing.shape for thing in scene.objects]
    for _ in range(8):
        sort = Sort(pick(rng, (*shapes, *SHAPES[:6])), pick(rng, (*colours, *COLOURS)))
        if not count(scene, sort):
            return sort
    return Sort(next(shape for shape in SHAPES if shape not in shapes))


def how_many(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort there are; now and then none."""
    sort = absent_sort(scene, rng) if rng.random() < 0.12 else present_sort(scene, rng)
    found, picture = things_of(scene, sort), pick(rng, _PICTURE)
    n, many = len(found), plural(sort)
    asked = pick(
        rng,
        (
            f"How many {many} are there in the {picture}?",
            f"How many {many} can you see?",
            f"Please count the {many} in this {picture}.",
            f"What is the number of {many} in the {picture}?",
        ),
    )
    told = pick(rng, (f"There {is_are(n)} {some(sort, n)} in the {picture}.", f"I can see {some(sort, n)}."))
    if 2 <= n <= 4 and rng.random() < 0.4:
        told = f"There are {some(sort, n)}: {where(found)}."
    return CheckableTurn("count", asked, told, query("count", of=sort), n, (number(n),), found[0] if n == 1 else None)


def how_many_in_all(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """How many things there are altogether."""
    n = len(scene.objects)
    picture = pick(rng, _PICTURE)
    asked = pick(rng, (f"How many shapes does the {picture} show in all?", "How many shapes are there altogether?"))
    told = f"The {picture} shows {some(Sort(), n)} in all."
    return CheckableTurn("count", asked, told, query("count", of=Sort()), n, (number(n),))


def is_there(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """Whether there is a thing of a sort; half of the time there is none."""
    truth = bool(rng.random() < 0.5)
    thing = pick(rng, scene.objects)
    sort = pick(rng, (Sort(thing.shape), Sort(thing.shape, thing.colour))) if truth else absent_sort(scene, rng)
    found, picture = things_of(scene, sort), pick(rng, _PICTURE)
    asked = pick(
        rng,
        (
            f"Is there {a(sort)} in the {picture}?",
            f"Can you see {a(sort)} anywhere?",
            f"Does the {picture} show {a(sort)}?",
        ),
    )
    if len(found) == 1:
        told = f"Yes, there is {a(sort)} in the {found[0].place}."
    elif found:
        told = f"Yes, there are {some(sort, len(found))}."
    else:
        told = pick(rng, (f"No, there is no {noun(sort)} in the {picture}.", f"No, I cannot see {a(sort)}."))
    topic = found[0] if len(found) == 1 else None
    return CheckableTurn("exist", asked, told, query("exist", of=sort), yes_no(truth), (yes_no(truth),), topic)


def _single(scene: Scene, rng: np.random.Generator, unless: str) -> tuple[Thing, Sort] | None:
    """A thing that has a name of its own which does not give an attribute away."""
    for thing in shuffled(rng, scene.objects):
        sort = naming(scene, thing, unless)
        if sort:
            return thing, sort
    return None


def which_colour(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """The colour of a single thing."""
    single = _single(scene, rng, "colour")
    if single is None:
        return None
    thing, sort = single
    asked = pick(rng, (f"What colour is {the(sort)}?", f"What is the colour of {the(sort)}?"))
    told = pick(rng, (f"{sentence(the(sort))} is {thing.colour}.", f"It is {thing.colour}."))
    return _attribute("colour", asked, told, sort, thing, thing.colour)


def which_shape(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """The shape of a thing that is alone in its colour."""
    single = _single(scene, rng, "shape")
    if single is None:
        return None
    thing, sort = single
    asked = pick(rng, (f"What shape is the {thing.colour} object?", f"Which shape is painted {thing.colour}?"))
    told = pick(rng, (f"It is {a(Sort(thing.shape))}.", f"The {thing.colour} object is {a(Sort(thing.shape))}."))
    return _attribute("shape", asked, told, sort, thing, thing.shape)


def how_large(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """The size of a single thing."""
    single = _single(scene, rng, "size")
    if single is None:
        return None
    thing, sort = single
    asked = pick(rng, (f"How big is {the(sort)}: small, medium-sized or large?", f"What size is {the(sort)}?"))
    told = pick(rng, (f"{sentence(the(sort))} is {thing.size}.", f"It is {thing.size}."))
    return _attribute("size", asked, told, sort, thing, thing.size)


def where_is(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """The place of a single thing."""
    single = _single(scene, rng, "place")
    if single is None:
        return None
    thing, sort = single
    picture = pick(rng, _PICTURE)
    asked = pick(rng, (f"Where is {the(sort)}?", f"In which part of the {picture} is {the(sort)}?"))
    told = pick(
        rng, (f"It is in the {thing.place} of the {picture}.", f"{sentence(the(sort))} is in the {thing.place}.")
    )
    return _attribute("place", asked, told, sort, thing, thing.place)


def _attribute(attribute: str, asked: str, told: str, sort: Sort, thing: Thing, value: str) -> CheckableTurn:
    return CheckableTurn(
        attribute, asked, told, query("attribute", of=sort, attribute=attribute), value, (value,), thing
    )


def what_is_at(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """What is to be seen in a part of the picture that holds one thing, or nothing."""
    holding = {place: things_of(scene, Sort(place=place)) for row in PLACES for place in row}
    clear = [place for place, things in holding.items() if len(things) == 1]
    empty = [place for place, things in holding.items() if not things]
    if empty and (not clear or rng.random() < 0.15):
        clear = empty
    if not clear:
        return None
    place, picture = pick(rng, clear), pick(rng, _PICTURE)
    asked = pick(rng, (f"What is in the {place} of the {picture}?", f"Which shape can be seen in the {place}?"))
    if not holding[place]:
        return CheckableTurn(
            "place", asked, "There is nothing there.", query("thing", place=place), "nothing", ("nothing",)
        )
    thing = holding[place][0]
    value = noun(Sort(thing.shape, thing.colour))
    told = pick(rng, (f"There is {in_full(thing)}.", f"In the {place} there is {a(Sort(thing.shape, thing.colour))}."))
    return CheckableTurn("place", asked, told, query("thing", place=place), value, (thing.colour, thing.shape), thing)


def which_background(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """What the shapes stand on."""
    words = BACKDROPS[scene.background].words
    asked = pick(rng, ("What does the background look like?", "What is behind the shapes?", "Describe the background."))
    told = pick(rng, (f"The background is {words}.", f"The shapes stand out from {words}.", f"It is {words}."))
    return CheckableTurn(
        "background", asked, told, query("background"), scene.background, backdrop_key(scene.background)
    )


def backdrop_key(background: str) -> tuple[str, ...]:
    """Words of a background's description that tell it from the others."""
    words = BACKDROPS[background].words.replace("-", " ").split()
    return tuple(word for word in words if word in _TELLING)


_TELLING = frozenset(
    ("wall", "beige", "grey", "paper", "table", "blue", "cloth", "dark", "chalkboard", "mist")
    + ("meadow", "beach", "evening", "snowy", "dunes", "night")
)


def follow_up(scene: Scene, topic: Thing, known: str, rng: np.random.Generator) -> CheckableTurn | None:
    """Ask on about the thing that the last round was about.

    Args:
        scene: The picture.
        topic: That thing.
        known: What has been said about it, which is not asked again.
        rng: Decides what is asked, and how.
    """
    open_attributes = [word for word in ("colour", "size", "place") if getattr(topic, word) not in known]
    if not open_attributes:
        return None
    attribute = pick(rng, open_attributes)
    asked = {
        "colour": ("And what colour is it?", "What colour is it?"),
        "size": ("Is it small, medium-sized or large?", "And how large is it?"),
        "place": ("Where is it?", "And in which part of the picture is it?"),
    }[attribute]
    value = getattr(topic, attribute)
    told = f"It is in the {value}." if attribute == "place" else f"It is {value}."
    return _attribute(attribute, pick(rng, asked), told, full_sort(topic), topic, value)


def shape_names(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """How many different colours or shapes there are."""
    attribute = pick(rng, ("colour", "shape"))
    words = list(dict.fromkeys(getattr(thing, attribute) for thing in scene.objects))
    named = words if attribute == "colour" else [plural(Sort(word)) for word in words]
    asked = f"How many different {attribute}s do the objects have?"
    n = len(words)
    told = f"They have {number(n)} different {attribute}s: {listed(named)}."
    if n == 1:
        told = f"Only one {attribute}: {pick(rng, ('all of them are', 'they are all'))} {named[0]}."
        if len(scene.objects) == 1:
            told = f"Only one {attribute}, as there is one object alone: {in_full(scene.objects[0])}."
    return CheckableTurn("count", asked, told, query("distinct", attribute=attribute), n, (number(n),))


LOOKING: tuple[Maker, ...] = (
    how_many,
    how_many,
    how_many,
    is_there,
    is_there,
    which_colour,
    which_colour,
    which_shape,
    how_large,
) + (where_is, where_is, what_is_at, which_background, how_many_in_all, shape_names)
