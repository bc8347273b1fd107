"""English for scenes: numbers, plurals, articles, lists."""

from collections.abc import Sequence

from blender.demo.scene import Scene, Sort, Thing, full_sort

_NUMBERS = (
    ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    + ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
    + ("twenty",)
)
_PLURALS = {"cross": "crosses"}


def number(n: int) -> str:
    """A count as a word before a noun; "no" for zero."""
    return _NUMBERS[n] if n < len(_NUMBERS) else str(n)


def alone(n: int) -> str:
    """A count without a noun after it: "three", "none"."""
    return number(n) if n else "none"


def noun(sort: Sort, n: int = 1) -> str:
    """A phrase without an article: "red circle", "small shapes", "blue star in the top left"."""
    kind = sort.shape or "shape"
    if n != 1:
        kind = _PLURALS.get(kind, f"{kind}s")
    words = " ".join(word for word in (sort.size, sort.colour, kind) if word)
    return f"{words} in the {sort.place}" if sort.place else words


def plural(sort: Sort) -> str:
    """A phrase for any number of things: "red circles"."""
    return noun(sort, 2)


def some(sort: Sort, n: int) -> str:
    """A phrase with its number: "one red circle", "three blue squares", "no stars"."""
    return f"{number(n)} {noun(sort, n)}"


def a(sort: Sort) -> str:
    """A phrase with an article: "a red circle", "an orange star"."""
    words = noun(sort)
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def the(sort: Sort) -> str:
    """A definite phrase: "the red circle"."""
    return f"the {noun(sort)}"


def is_are(n: int) -> str:
    """The verb for a number of things."""
    return "is" if n == 1 else "are"


def listed(items: Sequence[str], joint: str = "and") -> str:
    """Join phrases: "one star, two rings and a heart"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {joint} {items[-1]}"


def sentence(words: str) -> str:
    """Begin with a capital; nothing else of the words changes."""
    return words[:1].upper() + words[1:]


def inventory(scene: Scene) -> list[tuple[Sort, int]]:
    """Colour and shape of everything in a scene, with numbers, in order of first appearance."""
    counts: dict[Sort, int] = {}
    for thing in scene.objects:
        sort = Sort(thing.shape, thing.colour)
        counts[sort] = counts.get(sort, 0) + 1
    return list(counts.items())


def everything(scene: Scene) -> str:
    """What is in a scene: "three red circles and one blue star"."""
    return listed([some(sort, n) for sort, n in inventory(scene)])


def where(things: Sequence[Thing]) -> str:
    """The places of several things: "one in the top left and two in the centre"."""
    counts: dict[str, int] = {}
    for thing in things:
        counts[thing.place] = counts.get(thing.place, 0) + 1
    if len(counts) == 1 and len(things) > 1:
        return f"{'both' if len(things) == 2 else 'all'} in the {things[0].place}"
    return listed([f"{number(n)} in the {place}" for place, n in counts.items()])


def in_full(thing: Thing) -> str:
    """Everything about a thing: "a small red star in the top left"."""
    return a(full_sort(thing))
