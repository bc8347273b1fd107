"""Read YAML with the line of every value.

PyYAML's own loaders lose lines, silently take the last of two equal keys, and follow YAML 1.1, where ``no`` is false,
``on:`` is a key named True and ``1e3`` is text. Here only its composer is used, which builds a tree of nodes with their
lines. Scalars are read by the rules of YAML 1.2 (as editors do), keys are text exactly as written, and no tag can
create anything but plain data. A number with a leading zero stays text, because 1.1 and 1.2 disagree about it.

ruamel.yaml would replace the composer alone: its loaders stop at the first key that is given twice and do not bound
aliases, so the walk over nodes stays; its 1.2 rules take ``1_000``, ``010`` and dates for other things than text, it
takes twice the time, and PyYAML is needed to write cards in any case.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from blender.recipe.document import Document, KeyPath, Plain, Problem, quoted

#: far above any recipe; stop aliases of aliases of aliases
MAX_VALUES = 50_000
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"


class _Yaml12Loader(yaml.SafeLoader):
    """A loader that recognises the types of scalars by YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


_DECIMAL = r"(?:0|[1-9][0-9]*)"
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", rf"[-+]?{_DECIMAL}|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        rf"[-+]?(?:{_DECIMAL}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Yaml12Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def _float(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


_SCALARS: dict[str, Callable[[str], Plain]] = {
    _TAG + "null": lambda text: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": lambda text: int(text, 0),
    _TAG + "float": _float,
    _TAG + "str": str,
}


class Unreadable(Exception):
    """A text that is not YAML, or too large.

    Args:
        message: One sentence.
        line: 1-based line where reading ended; None where it cannot be told.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def parse_yaml(text: str) -> tuple[Document, list[Problem]]:
    """Read one YAML document.

    Returns:
        The document, and the faults of its form (a key given twice, a tag that is not plain data), each with its line.

    Raises:
        Unreadable: The text is not YAML, is nested in itself, or is far too large.
    """
    try:
        node = yaml.compose(text, Loader=_Yaml12Loader)
        conversion = _Conversion()
        data = conversion.read(node, (), frozenset()) if node else None
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise Unreadable(f"holds a character that YAML does not allow (U+{error.character:04X})", line) from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    return Document(data, conversion.lines), conversion.problems


def _unreadable(error: yaml.MarkedYAMLError, text: str) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Unreadable(f"is not valid YAML: {error.problem}")
    lines = text.splitlines()
    culprit = lines[mark.line] if mark.line < len(lines) else ""
    advice = ""
    if "\\t" in str(error.problem):
        advice = "; indent with spaces, not tabs"
    elif re.search(r"[\[{,:]\s*\$\{", culprit):
        advice = "; inside { } and [ ] a value that holds ${...} must stand in quotes"
    message = f"is not valid YAML at column {mark.column + 1}: {error.problem}{advice}"
    return Unreadable(message, mark.line + 1)


@dataclass
class _Conversion:
    """Converts nodes to plain data, and records lines and problems."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    num_values: int = 0

    def read(self, node: yaml.Node, key_path: KeyPath, above: frozenset[int]) -> Plain:
        line = node.start_mark.line + 1
        self.num_values += 1
        if id(node) in above:
            raise Unreadable("holds an alias of a value inside that value", line)
        if len(key_path) > MAX_DEPTH:
            raise Unreadable("is nested too deeply", line)
        if self.num_values > MAX_VALUES:
            raise Unreadable(f"holds more than {MAX_VALUES:,} values; a recipe is a short file", line)
        above |= {id(node)}
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, key_path, above)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self._sequence(node, key_path, above)
        return self._scalar(node, key_path, line)

    def _mapping(self, node: yaml.MappingNode, key_path: KeyPath, above: frozenset[int]) -> Plain:
        data: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(key_path, "a key must be a plain word", line))
                continue
            key = key_node.value
            here = (*key_path, key)
            if key in data:
                message = f"the key {quoted(key)} is given twice, first on line {self.lines[here]}"
                self.problems.append(Problem(here, message, line))
            self.lines[here] = line
            data[key] = self.read(value_node, here, above)
        return data

    def _sequence(self, node: yaml.SequenceNode, key_path: KeyPath, above: frozenset[int]) -> Plain:
        data: list[Plain] = []
        for number, item in enumerate(node.value):
            here = (*key_path, number)
            self.lines[here] = item.start_mark.line + 1
            data.append(self.read(item, here, above))
        return data

    def _scalar(self, node: yaml.Node, key_path: KeyPath, line: int) -> Plain:
        read = _SCALARS.get(node.tag) if isinstance(node, yaml.ScalarNode) else None
        if read is None:
            self._lost(key_path, f"the tag {quoted(node.tag.replace(_TAG, '!!'))} is not plain data", line)
            return None
        try:
            return read(node.value)
        except (ValueError, KeyError):
            self._lost(key_path, f"{quoted(node.value)} is not of the type {node.tag.replace(_TAG, '!!')}", line)
            return None

    def _lost(self, key_path: KeyPath, message: str, line: int) -> None:
        self.problems.append(Problem(key_path, message, line, loses_value=True))
