"""Instructions about two pictures that are nearly the same: spot the difference, in MIMIC-IT's CGD form.

The instructions of a pair may be asked in any order, so none leans on another, and every one calls the pictures "the
first image" and "the second image", which a blend knows how to renumber.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from blender.demo.compose import SceneChange, pick
from blender.demo.looking import absent_sort, present_sort, shuffled
from blender.demo.question import CheckableTurn, query, yes_no
from blender.demo.scene import SIZES, Scene, Sort, Thing, count, naming
from blender.demo.words import a, alone, in_full, noun, number, plural, sentence, some, the

ORDINALS = ("first", "second")


class ScenePair(Struct, frozen=True):
    """Two nearly equal pictures."""

    first: Scene
    second: Scene
    changes: tuple[SceneChange, ...]

    @property
    def scenes(self) -> tuple[Scene, Scene]:
        """Both pictures, in order."""
        return self.first, self.second


def instructions(pair: ScenePair, rng: np.random.Generator) -> tuple[CheckableTurn, ...]:
    """One to three different instructions about a pair; most pairs have the plain question for the difference."""
    wanted = int(rng.integers(1, 4))
    makers = shuffled(rng, _MAKERS)
    if rng.random() < 0.85:
        makers = [spot_the_difference, *makers]
    asked: list[CheckableTurn] = []
    for maker in makers:
        question = maker(pair, rng)
        if question and all(question.query != earlier.query for earlier in asked):
            asked.append(question)
    return tuple(asked[:wanted])


def spot_the_difference(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn:
    """All differences, told in order."""
    asked = pick(
        rng,
        (
            "What is the difference between the two images?",
            "Spot the difference between the first image and the second image.",
            "What has changed from the first image to the second image?",
            "Compare the two images. What is different?",
            "Which changes turn image 1 into image 2?",
        ),
    )
    value: list[dict[str, Any]] = [msgspec.to_builtins(change) for change in pair.changes]
    told = " ".join(sentence(_told(pair, change)) for change in pair.changes)
    if len(pair.changes) > 1 and rng.random() < 0.5:
        told = f"There are {number(len(pair.changes))} differences. {told}"
    return CheckableTurn("difference", asked, told, query("difference"), value, ())


def _told(pair: ScenePair, change: SceneChange) -> str:
    """One difference as a sentence."""
    before, after = change.before, change.after
    if before is None:
        assert after is not None
        return f"the second image has {in_full(after)} that is missing from the first image."
    short = Sort(before.shape, before.colour)
    article = the(short) if count(pair.first, short) == 1 else a(short)
    which = f"{article} in the {before.place} of the first image"
    if after is None:
        return f"{which} is gone in the second image."
    if change.change == "recoloured":
        return f"{which} is {after.colour} in the second image."
    if change.change == "moved":
        return f"{which} has moved to the {after.place} in the second image."
    order = list(SIZES)
    grown = order.index(after.size) > order.index(before.size)
    return (
        f"{which} is {'larger' if grown else 'smaller'} in the second image: "
        f"it was {before.size} and has become {after.size}."
    )


def _changed_sort(pair: ScenePair, rng: np.random.Generator) -> Sort:
    """A phrase that has to do with a difference."""
    change = pick(rng, pair.changes)
    thing = pick(rng, [end for end in (change.before, change.after) if end is not None])
    return pick(rng, (Sort(thing.shape), Sort(colour=thing.colour), Sort(thing.shape, thing.colour)))


def counts_in_each(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort each picture has."""
    sort = _changed_sort(pair, rng)
    n, m = (count(scene, sort) for scene in pair.scenes)
    asked = pick(
        rng,
        (
            f"How many {plural(sort)} are there in the first image, and how many in the second image?",
            f"Count the {plural(sort)} in image 1 and in image 2.",
        ),
    )
    if n == m:
        told = f"The first image has {some(sort, n)}, and the second image has {alone(m)} as well."
    else:
        told = f"The first image has {some(sort, n)}, while the second image has {alone(m)}."
    return CheckableTurn(
        "count", asked, told, query("counts", of=sort), [n, m], tuple(dict.fromkeys(map(number, (n, m))))
    )


def shown_in_which(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn | None:
    """Which of the pictures shows a thing that only one of them has."""
    sort = _changed_sort(pair, rng)
    n, m = (count(scene, sort) for scene in pair.scenes)
    if bool(n) == bool(m):
        return None
    which = 0 if n else 1
    asked = pick(
        rng, (f"Which of the two images shows {a(sort)}?", f"In which of the two images can you see {a(sort)}?")
    )
    told = f"Only the {ORDINALS[which]} image shows {some(sort, n + m)}."
    return CheckableTurn("reference", asked, told, query("which", of=sort, images=[1, 2]), which + 1, ())


def more_in_which(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn:
    """Which of the pictures shows more of a sort of things, or of all things."""
    sort = Sort() if rng.random() < 0.5 else _changed_sort(pair, rng)
    n, m = (count(scene, sort) for scene in pair.scenes)
    keys = query("most", of=sort, images=[1, 2])
    asked = f"Does the first image or the second image show more {plural(sort)}?"
    if n == m:
        told = f"Neither: the first image and the second image both show {some(sort, n)}."
        return CheckableTurn("compare", asked, told, keys, 0, ("neither",))
    which = 0 if n > m else 1
    told = (
        f"The {ORDINALS[which]} image shows more: it has {number(max(n, m))}, "
        f"while the {ORDINALS[1 - which]} image has {alone(min(n, m))}."
    )
    return CheckableTurn("compare", asked, told, keys, which + 1, ())


def is_there_in(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn:
    """Whether one of the pictures shows a thing."""
    at = int(rng.integers(2))
    scene = pair.scenes[at]
    sort = pick(rng, (_changed_sort(pair, rng), present_sort(scene, rng), absent_sort(scene, rng)))
    n = count(scene, sort)
    asked = f"Is there {a(sort)} in the {ORDINALS[at]} image?"
    if n:
        told = f"Yes, the {ORDINALS[at]} image shows {some(sort, n)}."
    else:
        told = f"No, there is no {noun(sort)} in the {ORDINALS[at]} image."
    value = yes_no(n > 0)
    return CheckableTurn("exist", asked, told, query("exist", of=sort, image=at + 1), value, (value,))


def attribute_in(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn | None:
    """The colour, place or size of a thing in one of the pictures, which may be otherwise in the other one."""
    at = int(rng.integers(2))
    scene, attribute = pair.scenes[at], pick(rng, ("colour", "place", "size"))
    ends = [change.after if at else change.before for change in pair.changes]
    for thing in (*[end for end in ends if end is not None], *shuffled(rng, scene.objects)):
        sort = naming(scene, thing, attribute)
        if sort:
            return _attribute_in(at, attribute, thing, sort)
    return None


def _attribute_in(at: int, attribute: str, thing: Thing, sort: Sort) -> CheckableTurn:
    image, value = f"the {ORDINALS[at]} image", getattr(thing, attribute)
    asked = {
        "colour": f"What colour is {the(sort)} in {image}?",
        "size": f"How large is {the(sort)} in {image}: small, medium-sized or large?",
        "place": f"Where is {the(sort)} in {image}?",
    }[attribute]
    told = f"In {image}, {the(sort)} is {f'in the {value}' if attribute == 'place' else value}."
    keys = query("attribute", of=sort, attribute=attribute, image=at + 1)
    return CheckableTurn(attribute, asked, told, keys, value, (value,))


def joined(pair: ScenePair, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort one picture would have with the other's added."""
    sort = Sort(pick(rng, pair.first.objects).shape)
    n, m = (count(scene, sort) for scene in pair.scenes)
    asked = (
        f"If the {plural(sort)} of the first image were added to the second image, "
        f"how many {plural(sort)} would the second image show?"
    )
    told = (
        f"The first image has {some(sort, n)} and the second image has {alone(m)}, "
        f"so the second image would show {number(n + m)}."
    )
    return CheckableTurn("what-if", asked, told, query("moved", of=sort, image=1, to=2), n + m, (number(n + m),))


_MAKERS: tuple[Callable[[ScenePair, np.random.Generator], CheckableTurn | None], ...] = (
    counts_in_each,
    shown_in_which,
    more_in_which,
    is_there_in,
    attribute_in,
    joined,
)
