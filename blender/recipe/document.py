"""A recipe as plain data with the line of every value, and problems found in it.

Each step of loading (YAML, overrides, variables, types, rules) finds problems of its own. All of them name a *key
path*, the keys and list numbers that lead to a value, so that one table of lines can give every problem its line.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from blender.core.errors import Fault

#: keys and 0-based list numbers that lead to a value; empty for the whole recipe
KeyPath: TypeAlias = tuple[str | int, ...]

#: what YAML gives: mappings always have text for keys
Plain: TypeAlias = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True)
class Problem:
    """A problem with the value at a key path."""

    key_path: KeyPath
    #: one sentence
    message: str
    #: 1-based line, if it is another one than that of the key path
    line: int | None = None
    #: whether the value is lost, so that no further problem with it is reported
    loses_value: bool = False


@dataclass(frozen=True)
class Document:
    """A recipe as plain data, with the line of every value."""

    data: Plain
    #: 1-based line of each key or list item that a file gave; an override's values have none
    lines: Mapping[KeyPath, int]

    def nearest(self, key_path: KeyPath) -> KeyPath:
        """Shorten a key path to the part that exists in the data."""
        value = self.data
        for number, step in enumerate(key_path):
            inside = isinstance(value, dict) and step in value
            if isinstance(value, list) and isinstance(step, int):
                inside = step < len(value)
            if not inside:
                return key_path[:number]
            value = value[step]  # type: ignore[index]
        return key_path

    def fault(self, problem: Problem) -> Fault:
        """Turn a problem into a fault with its line."""
        key_path = self.nearest(problem.key_path)
        line = problem.line or self.lines.get(key_path)
        overridden = bool(key_path and self.lines) and line is None
        return Fault(line, dotted(key_path), problem.message + (" (set by an override)" if overridden else ""))


def dotted(key_path: KeyPath) -> str:
    """Write a key path as overrides do: ``blend.2.repeat``."""
    return ".".join(map(str, key_path))


def quoted(text: str) -> str:
    """Quote a text for a message, cut to a readable length."""
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"'{text}'".replace("\n", "\\n")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or all known words if none is similar and they are few."""
    names = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), names, n=1, cutoff=0.55)
    if near:
        return f"; did you mean '{names[near[0]]}'?"
    return f"; known: {', '.join(names.values())}" if 0 < len(names) <= 12 else ""


def unknown(key_path: KeyPath, value: Plain, known: Collection[str] | None, noun: str) -> Iterator[Problem]:
    """Yield a problem if a text is none of the known names; ``known`` is None if these cannot be read themselves."""
    if isinstance(value, str) and known is not None and value not in known:
        yield Problem(key_path, f"unknown {noun} {quoted(value)}{suggestion(value, known)}")


def names_in(recipe: Mapping[str, Plain], section: str) -> Collection[str] | None:
    """List the names that a section defines; None if the section is not a mapping."""
    names = recipe.get(section, {} if section == "images" else None)
    return names if isinstance(names, dict) else None


def mapping(value: Plain) -> Mapping[str, Plain]:
    """Return a value that is a mapping; an empty one for any other value."""
    return value if isinstance(value, dict) else {}
