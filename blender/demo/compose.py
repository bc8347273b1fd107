"""Deciding at random what is in a picture: scenes, and altered copies of them.

Shapes never touch, keep inside the picture, keep clear of the borders between two place words, and have a colour that
stands out from the background, so that every question about them can be answered by looking.
"""

from collections.abc import Sequence
from math import ceil, floor
from typing import Literal, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from blender.demo.backdrop import BACKDROPS, colours_on
from blender.demo.outlines import freedom, outline
from blender.demo.scene import COLOURS, PLACES, SHAPES, SIZES, Scene, Thing

_FRAMES = ((640, 480), (480, 640), (500, 375), (375, 500), (480, 360), (360, 480), (400, 300), (300, 400)) + (
    (427, 320),
    (320, 427),
    (512, 288),
    (420, 336),
    (400, 400),
    (360, 360),
)
_GAP = 8
_TRIES = 30
_MOST_THINGS = 9

Item = TypeVar("Item")

ChangeKind = Literal["added", "removed", "recoloured", "moved", "resized"]
_CHANGES: tuple[ChangeKind, ...] = ("added", "removed", "recoloured", "recoloured", "moved", "resized")


class SceneChange(Struct, frozen=True):
    """One difference between the two pictures of a pair."""

    change: ChangeKind
    #: the thing in the first picture; None when it was added
    before: Thing | None
    #: the thing in the second picture; None when it was removed
    after: Thing | None


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """Draw one item, each as likely as the others."""
    return items[int(rng.integers(len(items)))]


def compose_scene(store: str, name: str, rng: np.random.Generator) -> Scene:
    """Make up a scene of one to nine shapes.

    Args:
        store: The image store of the file.
        name: The file's name.
        rng: Decides everything else.
    """
    width, height = pick(rng, _FRAMES)
    background = pick(rng, tuple(BACKDROPS))
    scene = Scene(store, name, width, height, background, int(rng.integers(2**31)), ())
    target = int(rng.integers(2, _MOST_THINGS + 1))
    while len(scene.objects) < target:
        shape, colour, size = pick(rng, SHAPES), pick(rng, colours_on(background)), _size(rng)
        for _ in range(min(pick(rng, (1, 1, 2, 3, 4)), target - len(scene.objects))):
            thing = _place(scene, rng, shape, colour, size if rng.random() < 0.7 else _size(rng))
            if thing is None:
                target -= 1
            else:
                scene = replace(scene, objects=(*scene.objects, thing))
    return scene if scene.objects else compose_scene(store, name, rng)


def alter_scene(scene: Scene, name: str, rng: np.random.Generator) -> tuple[Scene, tuple[SceneChange, ...]]:
    """Copy a scene with one to three differences, each of another thing.

    Args:
        scene: The first picture of a pair.
        name: The second picture's file name.
        rng: Decides what changes.

    Returns:
        The second picture, and what was changed.
    """
    copy, changes = replace(scene, name=name), list[SceneChange]()
    wanted = pick(rng, (1, 1, 2, 2, 3))
    for _ in range(_TRIES):
        if len(changes) == wanted:
            break
        untouched = [thing for thing in copy.objects if all(change.after is not thing for change in changes)]
        change = _change(copy, untouched, rng)
        if change is not None and not _undoes(change, changes):
            copy, changes = _apply(copy, change), [*changes, change]
    return copy, tuple(changes)


def _change(scene: Scene, untouched: list[Thing], rng: np.random.Generator) -> SceneChange | None:
    """Make up one difference; None when it turns out impossible."""
    kind: ChangeKind = pick(rng, _CHANGES)
    if kind == "added":
        colour = pick(rng, colours_on(scene.background))
        thing = _place(scene, rng, pick(rng, SHAPES), colour, _size(rng)) if len(scene.objects) < 10 else None
        return SceneChange(kind, None, thing) if thing else None
    if not untouched:
        return None
    old = pick(rng, untouched)
    if kind == "removed":
        return SceneChange(kind, old, None) if len(scene.objects) > 1 else None
    new = _changed(scene, old, kind, rng)
    return SceneChange(kind, old, new) if new else None


def _changed(scene: Scene, old: Thing, kind: ChangeKind, rng: np.random.Generator) -> Thing | None:
    """A thing with another colour, place or size."""
    if kind == "recoloured":
        colour = pick(rng, [word for word in colours_on(scene.background) if word != old.colour])
        return replace(old, colour=colour, rgb=_tinted(colour, rng))
    others = replace(scene, objects=tuple(thing for thing in scene.objects if thing is not old))
    if kind == "moved":
        new = _place(others, rng, old.shape, old.colour, old.size, like=old)
        return new if new and new.place != old.place else None
    size = pick(rng, [word for word in SIZES if word != old.size])
    radius = _radius(scene, size, rng)
    new = _thing(scene, replace(old, size=size, radius=radius), old.centre)
    return new if _fits(others, new) and new.place == old.place else None


def _undoes(change: SceneChange, earlier: list[SceneChange]) -> bool:
    """Whether two differences would look like one or none: such as a red star removed here and one added there."""
    looks = [{_look(end) for end in (other.before, other.after) if end} for other in earlier]
    own = {_look(end) for end in (change.before, change.after) if end}
    return any(own & look for look in looks)


def _look(thing: Thing) -> tuple[str, str]:
    return thing.shape, thing.colour


def _apply(scene: Scene, change: SceneChange) -> Scene:
    kept = [change.after if thing is change.before else thing for thing in scene.objects]
    new = [change.after] if change.before is None else []
    return replace(scene, objects=tuple(thing for thing in (*kept, *new) if thing is not None))


def _size(rng: np.random.Generator) -> str:
    return pick(rng, ("small", "small", "medium-sized", "medium-sized", "large"))


def _radius(scene: Scene, size: str, rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*SIZES[size])) * min(scene.width, scene.height), 1)


def _tinted(colour: str, rng: np.random.Generator) -> tuple[int, int, int]:
    steps = rng.integers(-8, 9, 3).tolist()
    red, green, blue = (min(max(level + step, 24), 234) for level, step in zip(COLOURS[colour], steps, strict=True))
    return red, green, blue


def _place(
    scene: Scene, rng: np.random.Generator, shape: str, colour: str, size: str, like: Thing | None = None
) -> Thing | None:
    """Put a new thing where there is room; None when there is none."""
    blank = like
    if blank is None:
        turn, radius = round(float(rng.uniform(-1, 1)) * freedom(shape), 1), _radius(scene, size, rng)
        blank = Thing(shape, colour, size, "", (0.0, 0.0), radius, turn, _tinted(colour, rng), (0, 0), (0, 0, 0, 0))
    reach = blank.radius + 5
    spots = reach + rng.random((_TRIES, 2)) * (scene.width - 2 * reach, scene.height - 2 * reach)
    for x, y in spots.round(1).tolist():
        if _clear(x / scene.width) and _clear(y / scene.height) and _has_room(scene, x, y, blank.radius):
            return _thing(scene, blank, (x, y))
    return None


def _clear(share: float) -> bool:
    """Whether a position is well inside one third."""
    return min(abs(share - 1 / 3), abs(share - 2 / 3)) > 0.045


def _has_room(scene: Scene, x: float, y: float, radius: float) -> bool:
    return all(
        max(abs(x - other.centre[0]), abs(y - other.centre[1])) > radius + other.radius + _GAP
        for other in scene.objects
    )


def _fits(scene: Scene, thing: Thing) -> bool:
    left, top, right, bottom = thing.bbox
    inside = left > 2 and top > 2 and right < scene.width - 2 and bottom < scene.height - 2
    return inside and _has_room(scene, *thing.centre, thing.radius)


def _thing(scene: Scene, blank: Thing, centre: tuple[float, float]) -> Thing:
    """Fill in all that follows from where a thing is and how large."""
    form, (x, y) = outline(blank.shape, blank.angle), centre
    left, top, right, bottom = (reach * blank.radius for reach in form.box)
    across, down = (reach * blank.radius for reach in form.anchor)
    column, row = int(centre[0] * 3 / scene.width), int(centre[1] * 3 / scene.height)
    return replace(
        blank,
        centre=centre,
        place=PLACES[row][column],
        anchor=(round(x + across), round(y + down)),
        bbox=(floor(x + left), floor(y + top), ceil(x + right), ceil(y + bottom)),
    )
