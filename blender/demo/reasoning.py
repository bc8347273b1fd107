"""Questions that need a step beyond looking: comparing, relating, and supposing that something were otherwise."""

import numpy as np

from blender.demo.compose import pick
from blender.demo.looking import Maker, shuffled
from blender.demo.question import CheckableTurn, query, yes_no
from blender.demo.scene import COLOURS, SIZES, Scene, Sort, Thing, count, naming
from blender.demo.words import everything, inventory, is_are, listed, noun, number, plural, sentence, some, the

_RELATIONS = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}


def _two_sorts(scene: Scene, rng: np.random.Generator) -> tuple[Sort, Sort] | None:
    """Two phrases of the same kind, both true of something: circles and squares, or red and blue shapes."""
    by = pick(rng, ("shape", "colour"))
    words = shuffled(rng, list(dict.fromkeys(getattr(thing, by) for thing in scene.objects)))
    if len(words) < 2:
        return None
    return Sort(**{by: words[0]}), Sort(**{by: words[1]})


def _two_things(scene: Scene, rng: np.random.Generator) -> tuple[Thing, Sort, Thing, Sort] | None:
    """Two things that each have a name of their own."""
    named = [(thing, sort) for thing in shuffled(rng, scene.objects) if (sort := naming(scene, thing, "size"))]
    return (*named[0], *named[1]) if len(named) > 1 else None


def are_there_more(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """Whether one sort of things outnumbers another."""
    sorts = _two_sorts(scene, rng)
    if sorts is None:
        return None
    left, right = sorts
    n, m = count(scene, left), count(scene, right)
    asked = f"Are there more {plural(left)} than {plural(right)}?"
    if n > m:
        told = f"Yes, there {is_are(n)} {some(left, n)} but only {some(right, m)}."
    elif n == m:
        told = f"No, there are equally many: {some(left, n)} and {some(right, m)}."
    else:
        told = f"No, there {is_are(n)} {some(left, n)} and {some(right, m)}."
    value = yes_no(n > m)
    return CheckableTurn("compare", asked, told, query("more", left=left, right=right), value, (value,))


def which_is_more(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """Which of two sorts of things has more."""
    sorts = _two_sorts(scene, rng)
    if sorts is None:
        return None
    left, right = sorts
    n, m = count(scene, left), count(scene, right)
    asked = f"Which are there more of, {plural(left)} or {plural(right)}?"
    keys = query("which_more", left=left, right=right)
    if n == m:
        told = f"Neither: counting them gives equal numbers, {some(left, n)} and {some(right, m)}."
        return CheckableTurn("compare", asked, told, keys, "equal", ("equal",))
    most, least = (left, right) if n > m else (right, left)
    told = f"There are more {plural(most)}: {number(max(n, m))} against {number(min(n, m))}."
    value = "left" if n > m else "right"
    return CheckableTurn("compare", asked, told, keys, value, (most.colour or plural(most),))


def which_is_larger(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """Which of two things with different size words is larger."""
    pair = _two_things(scene, rng)
    if pair is None or pair[0].size == pair[2].size:
        return None
    one, left, other, right = pair
    order = list(SIZES)
    larger = order.index(one.size) > order.index(other.size)
    big, small, winner, loser = (one, other, left, right) if larger else (other, one, right, left)
    asked = f"Which is larger, {the(left)} or {the(right)}?"
    told = f"{sentence(the(winner))} is larger: it is {big.size}, while {the(loser)} is {small.size}."
    keys = query("larger", left=left, right=right)
    return CheckableTurn("compare", asked, told, keys, "left" if larger else "right", (noun(winner),))


def how_do_they_lie(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """Whether one thing is left of, right of, above or below another, where that is plain to see."""
    pair = _two_things(scene, rng)
    if pair is None:
        return None
    one, left, other, right = pair
    relation = pick(rng, tuple(_RELATIONS))
    axis, length = (0, scene.width) if relation in ("left of", "right of") else (1, scene.height)
    gap = (one.centre[axis] - other.centre[axis]) / length
    if abs(gap) < 0.12:
        return None
    truth = (gap < 0) == (relation in ("left of", "above"))
    asked = f"Is {the(left)} {_RELATIONS[relation]} {the(right)}?"
    opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[relation]
    seen = relation if truth else opposite
    told = f"{'Yes' if truth else 'No'}, {the(left)} is {_RELATIONS[seen]} {the(right)}."
    keys = query("relation", relation=relation, left=left, right=right)
    return CheckableTurn("compare", asked, told, keys, yes_no(truth), (yes_no(truth),))


def what_if_taken(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """How many things would be left without some."""
    sorts = _two_sorts(scene, rng)
    if sorts is None:
        return None
    taken = sorts[0]
    n, gone = len(scene.objects), count(scene, taken)
    asked = pick(
        rng,
        (
            f"If all the {plural(taken)} were taken away, how many shapes would be left?",
            f"Suppose every {noun(taken)} disappeared. How many shapes would remain?",
        ),
    )
    left = n - gone
    told = (
        f"There {is_are(n)} {some(Sort(), n)} in all, and {number(gone)} of them {is_are(gone)} "
        f"{_predicate(taken, gone)}. Without {'it' if gone == 1 else 'them'}, {number(left)} would be left."
    )
    return CheckableTurn("what-if", asked, told, query("remaining", taken=taken, of=Sort()), left, (number(left),))


def _predicate(sort: Sort, n: int) -> str:
    """The phrase after "are": "red", "circles"."""
    if sort.shape is None and sort.colour:
        return sort.colour
    return f"a {noun(sort)}" if n == 1 else noun(sort, n)


def what_if_added(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """How many things of a sort there would be with some more."""
    thing = pick(rng, scene.objects)
    sort = pick(rng, (Sort(thing.shape), Sort(thing.shape, thing.colour)))
    n, more = count(scene, sort), int(rng.integers(1, 4))
    asked = pick(
        rng,
        (
            f"If {number(more)} more {noun(sort, more)} were added, how many {plural(sort)} would there be?",
            f"Imagine {number(more)} more {noun(sort, more)} in the picture. How many {plural(sort)} would that make?",
        ),
    )
    if more == 1:
        asked = asked.replace(" were added", " was added")
    total = n + more
    told = (
        f"The picture has {some(sort, n)} now, and {number(n)} plus {number(more)} is {number(total)}, "
        f"so there would be {number(total)}."
    )
    keys = query("added", number=more, of=sort)
    return CheckableTurn("what-if", asked, told, keys, total, (number(total),))


def what_if_painted(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """How many things of a colour there would be if others were painted in it."""
    these = Sort(pick(rng, scene.objects).shape)
    own = {thing.colour for thing in scene.objects if these.matches(thing)}
    colour = pick(rng, [word for word in (*(thing.colour for thing in scene.objects), *COLOURS) if {word} != own])
    n, of = count(scene, these), Sort(colour=colour)
    already = count(scene, of)
    total = sum(of.matches(thing) or these.matches(thing) for thing in scene.objects)
    which = the(these) if n == 1 else f"both {noun(these, 2)}" if n == 2 else f"all {some(these, n)}"
    asked = f"If {which} {'was' if n == 1 else 'were'} painted {colour}, how many {plural(of)} would there be?"
    told = (
        f"There {is_are(already)} {some(of, already)} at present, and painting {which} would turn "
        f"{number(total - already)} more {colour}, so there would be {number(total)}."
    )
    keys = query("repainted", these=these, colour=colour, of=of)
    return CheckableTurn("what-if", asked, told, keys, total, (number(total),))


def count_with_reason(scene: Scene, rng: np.random.Generator) -> CheckableTurn:
    """How many things there are, worked out sort by sort."""
    n, sorts = len(scene.objects), inventory(scene)
    asked = pick(
        rng,
        (
            "How many shapes are in this picture altogether? Explain how you count them.",
            "Count all the shapes step by step. How many are there?",
            "What is the total number of objects, and of what kinds are they?",
        ),
    )
    if len(sorts) == 1:
        told = (
            f"All of the objects are of one kind: there {is_are(n)} {everything(scene)}, so the total is {number(n)}."
        )
    else:
        steps = " + ".join(number(each) for _, each in sorts)
        told = f"The picture shows {everything(scene)}. Adding them up, {steps} makes {number(n)} in total."
    return CheckableTurn("count", asked, told, query("count", of=Sort()), n, (number(n),))


def most_common(scene: Scene, rng: np.random.Generator) -> CheckableTurn | None:
    """Which colour or shape occurs most often, where one does."""
    by = pick(rng, ("shape", "colour"))
    counts: dict[str, int] = {}
    for thing in scene.objects:
        counts[getattr(thing, by)] = counts.get(getattr(thing, by), 0) + 1
    ranked = sorted(counts.items(), key=lambda entry: -entry[1])
    if len(ranked) < 2 or ranked[0][1] == ranked[1][1]:
        return None
    (word, n), rest = ranked[0], ranked[1:]
    told_rest = listed([some(Sort(**{by: other}), m) for other, m in rest])
    asked = f"Which {by} is the most common one in the picture, and why do you think so?"
    told = f"The most common {by} is {word}: there are {some(Sort(**{by: word}), n)}, but only {told_rest}."
    return CheckableTurn("compare", asked, told, query("commonest", attribute=by), word, (word,))


COMPARING: tuple[Maker, ...] = (are_there_more, which_is_more, which_is_larger, how_do_they_lie, most_common)
SUPPOSING: tuple[Maker, ...] = (what_if_taken, what_if_added, what_if_painted)
REASONING: tuple[Maker, ...] = (*COMPARING, how_do_they_lie, *SUPPOSING, *SUPPOSING, count_with_reason)
