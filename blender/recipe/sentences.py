"""Convert pydantic's errors to problems in plain sentences.

pydantic's messages speak of inputs, instances and parsing, and link to its own site. A user needs to know what was
expected, what was found, and which key was probably meant.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from blender.recipe.document import KeyPath, Problem, quoted, suggestion
from blender.recipe.fields import described

#: what was expected, by pydantic's word for the fault; fields in braces come from pydantic
_EXPECTED = {
    "string_type": "a text",
    "string_too_short": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Convert all errors of a validation; the model gives the known keys for suggestions."""
    every = error.errors(include_url=False)
    # a list whose items are all wrong is also called too short
    return [_problem(details, model) for details in every if details["type"] != "too_short" or not details["input"]]


def keys_of(model: type[BaseModel]) -> list[str]:
    """List the keys of a section as recipes spell them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _problem(details: ErrorDetails, model: type[BaseModel]) -> Problem:
    key_path: KeyPath = tuple(step for step in details["loc"] if step != "[key]")
    if details["type"] == "missing":
        return Problem(key_path[:-1], f"the key '{key_path[-1]}' is missing")
    if details["type"] == "extra_forbidden":
        known = _known_keys(model, key_path[:-1])
        return Problem(key_path, f"unknown key {quoted(str(key_path[-1]))}{suggestion(str(key_path[-1]), known)}")
    return Problem(key_path, _sentence(details))


def _sentence(details: ErrorDetails) -> str:
    context, got = details.get("ctx", {}), described(details["input"])
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch" | "string_too_long":
            if details["loc"][0] == "variables":
                return f"{got} is not a name for a variable: letters, digits and _, and the first no digit"
            return f"{got} is not a name: at most 100 letters, digits, - _ . and the first a letter or digit"
        case "too_short":
            return "expected at least one, got none"
        case kind if kind in _EXPECTED:
            advice = ""
            if kind == "string_type" and isinstance(details["input"], int | float):
                advice = "; put it in quotes"
            return f"expected {_EXPECTED[kind].format(**context)}, got {got}{advice}"
    return f"cannot be used as it is: {got}"


def _known_keys(model: type[BaseModel], key_path: KeyPath) -> Iterable[str]:
    """List the keys of the section at a key path."""
    kind: Any = model
    for step in key_path:
        if _is_section(kind):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            kind = fields.get(str(step))
        else:
            kind = next((item for item in _items(kind)), None)
        kind = next((choice for choice in _choices(kind) if _is_section(choice) or _holds(choice)), None)
    return keys_of(kind) if _is_section(kind) else ()


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _holds(kind: Any) -> bool:
    """Tell whether an annotation is a list or a mapping."""
    return any(True for _ in _items(kind))


def _choices(kind: Any) -> Iterator[Any]:
    """List the types that an annotation allows: itself, or the members of a union, without metadata."""
    if hasattr(kind, "__metadata__"):
        yield from _choices(kind.__origin__)
    elif _holds(kind) or not get_args(kind):
        yield kind
    else:
        for choice in get_args(kind):
            yield from _choices(choice)


def _items(kind: Any) -> Iterator[Any]:
    """Yield the type of the items of a list or of the values of a mapping."""
    if get_origin(kind) in (tuple, list):
        yield get_args(kind)[0]
    elif get_origin(kind) in (dict, Mapping):
        yield get_args(kind)[1]
