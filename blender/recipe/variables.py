"""Substitute variables: ``${data}`` in a recipe's texts becomes the value of the variable.

A text that is nothing but one reference becomes the variable's value with its type, so that a number can be a variable
too; inside a longer text the value is written out. ``$${`` stands for a literal ``${``. Variables may use each other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from blender.recipe.document import KeyPath, Plain, Problem, quoted, suggestion

#: how a variable may be called
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*"

#: far above any use; stop variables that double each other
MAX_DEPTH = 20
MAX_LENGTH = 10_000

Value: TypeAlias = str | int | float

_REFERENCE = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<name>[^{}]*)(?P<end>\}?)")


class _UnusableValue(Exception):
    """A text in which a variable cannot be substituted; without a message if the fault is reported elsewhere."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message)
        self.message = message


@dataclass
class _Variables:
    """The recipe's variables, evaluated when first used."""

    raw: Mapping[str, Plain]
    values: dict[str, Value | _UnusableValue] = field(default_factory=dict)
    #: variables that are being evaluated, outermost first
    open: list[str] = field(default_factory=list)

    def value(self, name: str) -> Value:
        if name not in self.raw:
            raise _UnusableValue(f"the variable {quoted(name)} is not defined{suggestion(name, self.raw)}")
        if name in self.open:
            circle = " → ".join([*self.open[self.open.index(name) :], name])
            raise _UnusableValue(f"the variable {quoted(name)} is defined by itself: {circle}")
        value = self.own(name)
        if isinstance(value, _UnusableValue):
            raise _UnusableValue
        return value

    def own(self, name: str) -> Value | _UnusableValue:
        """Evaluate a variable; its fault is reported here, and not again where the variable is used."""
        if name not in self.values:
            self.open.append(name)
            self.values[name] = self._work_out(self.raw[name])
            self.open.pop()
        return self.values[name]

    def _work_out(self, raw: Plain) -> Value | _UnusableValue:
        if isinstance(raw, str):
            if len(self.open) > MAX_DEPTH:
                return _UnusableValue(f"more than {MAX_DEPTH} variables are defined by one another")
            try:
                return self.expand(raw)
            except _UnusableValue as fault:
                return fault
        # a value that is neither text nor number is reported with the other wrong types
        return raw if isinstance(raw, int | float) and not isinstance(raw, bool) else _UnusableValue()

    def expand(self, text: str) -> Value:
        """Substitute every reference of a text."""
        whole = _REFERENCE.fullmatch(text)
        if whole and whole["end"]:
            return self.value(whole["name"])
        written = _REFERENCE.sub(self._written, text)
        if len(written) > MAX_LENGTH:
            raise _UnusableValue(f"becomes longer than {MAX_LENGTH:,} characters")
        return written

    def _written(self, match: re.Match[str]) -> str:
        if match["escape"]:
            return "${"
        if not match["end"]:
            raise _UnusableValue("'${' without its '}'; write '$${' for a literal '${'")
        return str(self.value(match["name"]))


def substitute(data: Plain) -> tuple[Plain, list[Problem], set[KeyPath]]:
    """Substitute the variables of a recipe everywhere.

    Args:
        data: A recipe, a mapping.

    Returns:
        The recipe without references; the problems with them; and the key paths whose value could not be evaluated,
        for which no further problem should be reported.
    """
    raw = data.get("variables") if isinstance(data, dict) else None
    variables = _Variables(raw if isinstance(raw, dict) else {})
    problems: list[Problem] = []
    broken: set[KeyPath] = set()

    def written(text: str, key_path: KeyPath) -> Value:
        if key_path[:1] != ("variables",) or len(key_path) != 2 or key_path[1] not in variables.raw:
            return variables.expand(text)
        value = variables.own(str(key_path[1]))
        if isinstance(value, _UnusableValue):
            raise value
        return value

    def walk(value: Plain, key_path: KeyPath) -> Plain:
        if isinstance(value, dict):
            return {key: walk(item, (*key_path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*key_path, number)) for number, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return written(value, key_path)
        except _UnusableValue as fault:
            broken.add(key_path)
            if fault.message:
                problems.append(Problem(key_path, fault.message))
            return value

    return walk(data, ()), problems, broken
