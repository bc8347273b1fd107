"""Places in a recipe, and what is wrong at them.

Every step of loading (YAML, overrides, variables, types, rules) finds faults of its own. They all name a *place*, the
keys and list numbers that lead to a value, so that one table from places to lines can turn them into faults with lines.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from blender.core.errors import Fault

#: keys and 0-based list numbers that lead to a value; empty for the whole recipe
Place: TypeAlias = tuple[str | int, ...]

#: what YAML gives: mappings always have text for keys
Plain: TypeAlias = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True)
class Problem:
    """What is wrong at a place."""

    place: Place
    #: one sentence
    message: str
    #: 1-based line where the data's own line is not the one
    line: int | None = None
    #: whether the value is lost, so that nothing more is to be said of it
    spoils: bool = False


@dataclass(frozen=True)
class Document:
    """A recipe as plain data, with the line of every value."""

    data: Plain
    #: 1-based line of each key or list item that a file gave; an override's values have none
    lines: Mapping[Place, int]

    def nearest(self, place: Place) -> Place:
        """Shorten a place to the part of it that the data has."""
        value = self.data
        for number, step in enumerate(place):
            inside = isinstance(value, dict) and step in value
            if isinstance(value, list) and isinstance(step, int):
                inside = step < len(value)
            if not inside:
                return place[:number]
            value = value[step]  # type: ignore[index]
        return place

    def fault(self, problem: Problem) -> Fault:
        """Give a problem its line."""
        place = self.nearest(problem.place)
        line = problem.line or self.lines.get(place)
        overridden = bool(place and self.lines) and line is None
        return Fault(line, dotted(place), problem.message + (" (set by an override)" if overridden else ""))


def dotted(place: Place) -> str:
    """Write a place as overrides do: ``blend.2.repeat``."""
    return ".".join(map(str, place))


def quoted(text: str) -> str:
    """Quote a text for a message, cut to a readable length."""
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"'{text}'".replace("\n", "\\n")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, or, where none is near and they are few, which there are."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), names, n=1, cutoff=0.55)
    if near:
        return f"; did you mean '{names[near[0]]}'?"
    return f"; known: {', '.join(names.values())}" if 0 < len(names) <= 12 else ""


def unknown(place: Place, value: Plain, known: Collection[str] | None, noun: str) -> Iterator[Problem]:
    """Find out whether a text is none of the known names; None: they are not known themselves."""
    if isinstance(value, str) and known is not None and value not in known:
        yield Problem(place, f"unknown {noun} {quoted(value)}{suggestion(value, known)}")


def names_in(recipe: Mapping[str, Plain], section: str) -> Collection[str] | None:
    """List the names that a section defines; None when it is not usable and its names are not known."""
    names = recipe.get(section, {} if section == "images" else None)
    return names if isinstance(names, dict) else None


def mapping(value: Plain) -> Mapping[str, Plain]:
    """Give keys and values; none for a value that has none."""
    return value if isinstance(value, dict) else {}
