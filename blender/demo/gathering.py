"""Dialogues over two to four different pictures, in Sparkles' form.

Pictures are called by their ids, ``IMAGE#12``; where one is first shown, the sign ``<Img><ImageHere></Img>`` stands
behind its id. Some dialogues show all pictures at once, others keep one back for a later round.
"""

import re
from collections.abc import Callable
from pathlib import PurePath

import numpy as np
from msgspec import Struct

from blender.demo.backdrop import BACKDROPS
from blender.demo.compose import pick
from blender.demo.looking import absent_sort, backdrop_key, present_sort, shuffled
from blender.demo.question import CheckableTurn, query, yes_no
from blender.demo.scene import Scene, Sort, count, naming, things_of
from blender.demo.words import a, alone, is_are, listed, noun, number, plural, some, the, where

_SIGN = "<Img><ImageHere></Img>"


class Album(Struct, frozen=True):
    """The pictures that a dialogue has shown so far."""

    scenes: tuple[Scene, ...]

    def name(self, place: int) -> str:
        """What a text calls a picture (counted from 0)."""
        return f"IMAGE#{PurePath(self.scenes[place].name).stem}"

    def names(self, joint: str = "and") -> str:
        """What a text calls all of them."""
        return listed([self.name(place) for place in range(len(self.scenes))], joint)


class DialogueTurn(Struct, frozen=True):
    """One round of a dialogue."""

    #: how many pictures have been shown with this round or before it
    num_shown: int
    #: how many of them are new
    num_new: int
    #: the text of the user's turn, with signs
    content: str
    asked: CheckableTurn


def gather(scenes: tuple[Scene, ...], rng: np.random.Generator) -> tuple[DialogueTurn, ...]:
    """Make a dialogue of two or three rounds over two to four pictures.

    Args:
        scenes: The pictures, in the order shown.
        rng: Decides what is asked, and when the last picture is shown.
    """
    num_rounds, late = int(rng.integers(2, 4)), bool(rng.random() < 0.5)
    first = len(scenes) - late
    shown = [first, *(len(scenes) for _ in range(num_rounds - 1))]
    if late and num_rounds == 3 and rng.random() < 0.5:
        shown[1] = first
    rounds: list[DialogueTurn] = []
    for at, num_shown in enumerate(shown):
        album, before = Album(scenes[:num_shown]), shown[at - 1] if at else 0
        asked = _question(album, before, [each.asked for each in rounds], rng)
        rounds.append(
            DialogueTurn(num_shown, num_shown - before, _with_signs(album, before, asked.question, rng), asked)
        )
    return tuple(rounds)


def _question(album: Album, num_before: int, earlier: list[CheckableTurn], rng: np.random.Generator) -> CheckableTurn:
    """A question that has not been asked yet; about a new picture where there is one."""
    new = [album.name(place) for place in range(num_before, len(album.scenes))]
    makers = _ALONE if len(album.scenes) == 1 else _MAKERS
    for maker in (*shuffled(rng, makers), *shuffled(rng, makers), *shuffled(rng, makers)):
        asked = maker(album, rng)
        if asked is None or any(asked.query == other.query for other in earlier):
            continue
        if not new or any(_names(asked.question, name) for name in new):
            return asked
    return count_in(album, rng)


def _with_signs(album: Album, num_before: int, text: str, rng: np.random.Generator) -> str:
    """Put the sign behind the first naming of every new picture; what the text does not name is shown before it."""
    new = [album.name(place) for place in range(num_before, len(album.scenes))]
    unnamed = [name for name in new if not _names(text, name)]
    if unnamed:
        opening = pick(rng, ("Here is {}.", "Now look at {}.", "This is {}.")) if len(unnamed) == 1 else "Look at {}."
        text = f"{opening.format(listed(unnamed))} {text}"
    for name in new:
        text = re.sub(rf"{name}(?!\d)", name + _SIGN, text, count=1)
    return text


def _names(text: str, name: str) -> bool:
    """Whether a text names a picture, and not just one whose id begins alike."""
    return re.search(rf"{name}(?!\d)", text) is not None


def _two(album: Album, rng: np.random.Generator) -> tuple[int, int]:
    """Two of the pictures, one of them the last shown."""
    one, other = shuffled(rng, (len(album.scenes) - 1, int(rng.integers(len(album.scenes) - 1))))
    return one, other


def count_in(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort one picture shows."""
    at = int(rng.integers(len(album.scenes)))
    scene = album.scenes[at]
    sort = pick(rng, (Sort(), present_sort(scene, rng), present_sort(scene, rng), absent_sort(scene, rng)))
    n = count(scene, sort)
    asked = f"How many {plural(sort)} are there in {album.name(at)}?"
    told = f"There {is_are(n)} {some(sort, n)} in {album.name(at)}."
    return CheckableTurn("count", asked, told, query("count", of=sort, image=at + 1), n, (number(n),))


def total_of(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort two pictures show together."""
    places = sorted(_two(album, rng))
    sort = pick(rng, (Sort(), present_sort(album.scenes[places[1]], rng)))
    counts = [count(album.scenes[place], sort) for place in places]
    names = [album.name(place) for place in places]
    asked = f"How many {plural(sort)} do {listed(names)} show together?"
    told = (
        f"{names[0]} shows {some(sort, counts[0])} and {names[1]} shows {alone(counts[1])}, "
        f"which makes {alone(sum(counts))} together."
    )
    keys = query("total", of=sort, images=[place + 1 for place in places])
    return CheckableTurn("count", asked, told, keys, sum(counts), (number(sum(counts)),))


def most_of(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """Which of all pictures shows the most things of a sort."""
    sort = pick(rng, (Sort(), Sort(pick(rng, pick(rng, album.scenes).objects).shape)))
    counts = [count(scene, sort) for scene in album.scenes]
    best = [place for place, n in enumerate(counts) if n == max(counts)]
    asked = f"Which of {album.names()} shows the most {plural(sort)}?"
    each = [f"{album.name(place)} shows {alone(n)}" for place, n in enumerate(counts)]
    keys = query("most", of=sort, images=list(range(1, len(counts) + 1)))
    if len(best) > 1:
        told = f"There is no single one: {listed(each)}."
        return CheckableTurn("compare", asked, told, keys, 0, ())
    rest = [part for place, part in enumerate(each) if place != best[0]]
    told = f"{album.name(best[0])} does, with {number(max(counts))}; {listed(rest)}."
    return CheckableTurn("compare", asked, told, keys, best[0] + 1, ())


def same_number(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """Whether two pictures show equally many things of a sort."""
    one, other = _two(album, rng)
    sort = pick(rng, (Sort(), Sort(pick(rng, album.scenes[one].objects).shape)))
    n, m = (count(album.scenes[place], sort) for place in (one, other))
    asked = f"Do {album.name(one)} and {album.name(other)} show the same number of {plural(sort)}?"
    if n == m:
        told = f"Yes, {album.name(one)} shows {some(sort, n)}, and so does {album.name(other)}."
    else:
        told = f"No, {album.name(one)} shows {some(sort, n)}, but {album.name(other)} shows {alone(m)}."
    value = yes_no(n == m)
    return CheckableTurn("compare", asked, told, query("same", of=sort, images=[one + 1, other + 1]), value, (value,))


def which_shows(album: Album, rng: np.random.Generator) -> CheckableTurn | None:
    """Which of all pictures shows a thing that only one of them has."""
    for at in shuffled(rng, range(len(album.scenes))):
        thing = pick(rng, album.scenes[at].objects)
        sort = pick(rng, (Sort(thing.shape), Sort(thing.shape, thing.colour)))
        if sum(bool(count(scene, sort)) for scene in album.scenes) == 1:
            asked = f"Which of {album.names()} shows {a(sort)}?"
            found = things_of(album.scenes[at], sort)
            place = f"in the {found[0].place}" if len(found) == 1 else where(found)
            told = f"Only {album.name(at)} does: it shows {some(sort, len(found))}, {place}."
            keys = query("which", of=sort, images=list(range(1, len(album.scenes) + 1)))
            return CheckableTurn("reference", asked, told, keys, at + 1, ())
    return None


def attribute_of(album: Album, rng: np.random.Generator) -> CheckableTurn | None:
    """Colour, place or size of a thing that is alone in one picture."""
    at, attribute = int(rng.integers(len(album.scenes))), pick(rng, ("colour", "place", "size"))
    for thing in shuffled(rng, album.scenes[at].objects):
        sort = naming(album.scenes[at], thing, attribute)
        if sort:
            subject, value = f"{the(sort)} in {album.name(at)}", getattr(thing, attribute)
            asked = {"colour": "What colour is {}?", "place": "Where is {}?", "size": "How large is {}?"}[attribute]
            told = f"{subject[0].upper()}{subject[1:]} is {f'in the {value}' if attribute == 'place' else value}."
            keys = query("attribute", of=sort, attribute=attribute, image=at + 1)
            return CheckableTurn(attribute, asked.format(subject), told, keys, value, (value,))
    return None


def background_of(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """What one picture's shapes stand on."""
    at = int(rng.integers(len(album.scenes)))
    background = album.scenes[at].background
    asked = f"What is behind the shapes in {album.name(at)}?"
    told = f"In {album.name(at)} the shapes are in front of {BACKDROPS[background].words}."
    return CheckableTurn(
        "background", asked, told, query("background", image=at + 1), background, backdrop_key(background)
    )


def is_in(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """Whether one picture shows a thing, which may well be in another one."""
    at = int(rng.integers(len(album.scenes)))
    thing = pick(rng, pick(rng, album.scenes).objects)
    sort = pick(rng, (Sort(thing.shape), Sort(thing.shape, thing.colour)))
    n = count(album.scenes[at], sort)
    asked = f"Does {album.name(at)} show {a(sort)}?"
    told = f"Yes, {album.name(at)} shows {some(sort, n)}." if n else f"No, {album.name(at)} shows no {noun(sort)}."
    return CheckableTurn("exist", asked, told, query("exist", of=sort, image=at + 1), yes_no(n > 0), (yes_no(n > 0),))


def if_moved(album: Album, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort one picture would have with another's added."""
    one, other = _two(album, rng)
    sort = pick(rng, (Sort(), Sort(pick(rng, album.scenes[one].objects).shape)))
    n, m = (count(album.scenes[place], sort) for place in (one, other))
    source, target = album.name(one), album.name(other)
    asked = f"If the {plural(sort)} of {source} were moved into {target}, how many would {target} show?"
    told = f"{source} has {some(sort, n)} and {target} has {alone(m)}, so {target} would show {alone(n + m)}."
    if n == 1:
        asked = f"If {the(sort)} of {source} was moved into {target}, how many {plural(sort)} would {target} show?"
    keys = query("moved", of=sort, image=one + 1, to=other + 1)
    return CheckableTurn("what-if", asked, told, keys, n + m, (number(n + m),))


_Maker = Callable[[Album, np.random.Generator], CheckableTurn | None]
_ALONE: tuple[_Maker, ...] = (count_in, attribute_of, background_of, is_in)
_MAKERS: tuple[_Maker, ...] = (
    *_ALONE,
    total_of,
    total_of,
    most_of,
    most_of,
    same_number,
    which_shows,
    which_shows,
    which_shows,
    if_moved,
)
