"""``--set key.path=value`` → a changed recipe.

A path goes by keys, by 0-based numbers in lists, and by name among the entries of ``blend``. One word that is no key of
a recipe but one of its variables means the variable: ``data=/mnt/data``. Values are read as YAML.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy

from blender.recipe.document import Document, KeyPath, Plain, Problem, quoted, suggestion
from blender.recipe.yaml_lines import Unreadable, parse_yaml


class _Refused(Exception):
    """An override that cannot be applied."""


def override(document: Document, overrides: Sequence[str], top_keys: Collection[str]) -> tuple[Document, list[Problem]]:
    """Apply overrides in their order.

    Args:
        document: The recipe as it was read.
        overrides: Texts of the form ``key.path=value``.
        top_keys: The keys that a recipe may have.

    Returns:
        The changed recipe, whose overridden values have no line, and a problem for each override that is refused.
    """
    data, lines, problems = deepcopy(document.data), dict(document.lines), []
    for text in overrides:
        path, equals, value = text.partition("=")
        path = path.strip()
        try:
            if not (equals and path):
                raise _Refused(f"cannot be used: {quoted(text)} is not of the form key.path=value")
            key_path = _find_key_path(data, path.split("."), top_keys)
            _put(data, key_path, _read(value, _at(data, key_path) if key_path[0] == "variables" else None))
            lines = {at: line for at, line in lines.items() if at[: len(key_path)] != key_path}
        except _Refused as refusal:
            problems.append(Problem((), f"the override {quoted(path or text)} {refusal}"))
    return Document(data, lines), problems


def _read(text: str, old: Plain) -> Plain:
    try:
        document, problems = parse_yaml(text)
    except Unreadable as error:
        raise _Refused(f"has a value that {error.message}") from error
    if problems:
        raise _Refused(f"has a value that cannot be read: {problems[0].message}")
    # a path such as 2024 or true stays text where the variable is one
    return text if isinstance(old, str) and not isinstance(document.data, str) else document.data


def _find_key_path(data: Plain, words: list[str], top_keys: Collection[str]) -> KeyPath:
    """Find what a dotted path means in this recipe."""
    if not isinstance(data, dict):
        raise _Refused("cannot be applied: the recipe has no keys")
    variables = data.get("variables")
    names: Mapping[str, Plain] = variables if isinstance(variables, dict) else {}
    if len(words) == 1 and words[0] in names and words[0] not in top_keys:
        return ("variables", words[0])
    if words[0] not in top_keys and words[0] not in data:
        raise _Refused(f"means nothing: no such key or variable{suggestion(words[0], [*names, *top_keys])}")
    key_path: KeyPath = ()
    here: Plain = data
    while words:
        step, words = _step(here, words)
        key_path = (*key_path, step)
        here = _at(here, (step,))
    return key_path


def _step(here: Plain, words: list[str]) -> tuple[str | int, list[str]]:
    """Split the next key or list number off a dotted path; names may contain dots, so the longest match is taken."""
    if isinstance(here, dict) or here is None:
        key, rest = _longest(words, here or ())
        return key or words[0], rest if key else words[1:]
    if not isinstance(here, list):
        raise _Refused(f"leads into {quoted(str(here))}, which has no keys")
    names = {str(item["name"]): number for number, item in enumerate(here) if isinstance(item, dict) and "name" in item}
    numbers = {str(number): number for number in range(len(here))}
    key, rest = _longest(words, names | numbers)
    if key is None:
        raise _Refused(
            f"means nothing: no item {quoted(words[0])} in a list of {len(here)}{suggestion(words[0], names)}"
        )
    return (names | numbers)[key], rest


def _longest(words: list[str], known: Iterable[str]) -> tuple[str | None, list[str]]:
    known = set(known)
    for length in range(len(words), 0, -1):
        if ".".join(words[:length]) in known:
            return ".".join(words[:length]), words[length:]
    return None, words


def _at(data: Plain, key_path: KeyPath) -> Plain:
    for step in key_path:
        if isinstance(data, dict):
            data = data.get(str(step))
        else:
            data = data[step] if isinstance(data, list) and isinstance(step, int) else None
    return data


def _put(data: Plain, key_path: KeyPath, value: Plain) -> None:
    """Set the value at a key path, and create missing mappings on the way."""
    *way, last = key_path
    for step in way:
        if _at(data, (step,)) is None:
            _put(data, (step,), {})
        data = _at(data, (step,))
    assert isinstance(data, dict | list)
    data[last] = value  # type: ignore[index]
