"""``--set key.path=value`` → a changed recipe.

A path goes by keys, by 0-based numbers in lists, and by name among the entries of ``blend``. One word that is no key of
a recipe but one of its variables means the variable: ``data=/mnt/data``. Values are read as YAML.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy

from blender.recipe.places import Document, Place, Plain, Problem, quoted, suggestion
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
            place = _place(data, path.split("."), top_keys)
            _put(data, place, _read(value, _at(data, place) if place[0] == "variables" else None))
            lines = {at: line for at, line in lines.items() if at[: len(place)] != place}
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


def _place(data: Plain, words: list[str], top_keys: Collection[str]) -> Place:
    """Find what a dotted path means in this recipe."""
    if not isinstance(data, dict):
        raise _Refused("cannot be applied: the recipe has no keys")
    variables = data.get("variables")
    names: Mapping[str, Plain] = variables if isinstance(variables, dict) else {}
    if len(words) == 1 and words[0] in names and words[0] not in top_keys:
        return ("variables", words[0])
    if words[0] not in top_keys and words[0] not in data:
        raise _Refused(f"means nothing: no such key or variable{suggestion(words[0], [*names, *top_keys])}")
    place: Place = ()
    here: Plain = data
    while words:
        step, words = _step(here, words)
        place = (*place, step)
        here = _at(here, (step,))
    return place


def _step(here: Plain, words: list[str]) -> tuple[str | int, list[str]]:
    """Take the next key or list number off a path; names may hold dots, so the longest one that fits is taken."""
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


def _at(data: Plain, place: Place) -> Plain:
    for step in place:
        if isinstance(data, dict):
            data = data.get(str(step))
        else:
            data = data[step] if isinstance(data, list) and isinstance(step, int) else None
    return data


def _put(data: Plain, place: Place, value: Plain) -> None:
    """Put a value at a place, making the mappings on the way."""
    *way, last = place
    for step in way:
        if _at(data, (step,)) is None:
            _put(data, (step,), {})
        data = _at(data, (step,))
    assert isinstance(data, dict | list)
    data[last] = value  # type: ignore[index]
