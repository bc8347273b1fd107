"""Types of the values in a recipe, each with its check, its error message and its JSON Schema.

Checks raise ``ValueError`` with a sentence; types are strict, so that ``true`` is not a number and ``"8"`` is not 8.
"""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, TypeAdapter, ValidationError, WithJsonSchema

from blender.recipe.document import quoted
from blender.recipe.variables import VARIABLE_NAME, Value

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
SHARE = r"^[0-9]+(\.[0-9]+)?%$"
SIZE = r"^[0-9]+(\.[0-9]+)? ?([kKmMgGtT]([iI]?[bB])?|[bB])?$"
#: the largest whole number that every reader of JSON keeps exactly
MOST = 2**53 - 1

_BYTES: TypeAdapter[ByteSize] = TypeAdapter(ByteSize)


def as_list(value: Any) -> Any:
    """Make a tuple of one text or of a list; return other values unchanged, to be refused later."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((value for number, value in enumerate(values) if value in values[:number]), None)
    if twice is not None:
        raise ValueError(f"{quoted(twice)} is listed twice")
    return values


def _location(text: str) -> str:
    if any(ord(character) < 32 for character in text):
        raise ValueError("a path may not hold control characters")
    return str(Path.home() / text[2:]) if text.startswith("~/") else text


def _range(value: Any) -> Any:
    numbers = tuple(value) if isinstance(value, list | tuple) else ()
    if len(numbers) != 2 or any(type(number) is not int for number in numbers):
        raise ValueError("expected two whole numbers [low, high], such as [1, 3]")
    low, high = numbers
    if not 1 <= low <= high:
        raise ValueError(f"expected [low, high] with 1 <= low <= high, got [{low}, {high}]")
    return numbers


def _size(value: Any) -> int:
    size: int | None = value if type(value) is int else None
    if isinstance(value, str) and re.fullmatch(SIZE.rstrip("$"), value):
        try:
            size = int(_BYTES.validate_python(value))
        except (ValidationError, OverflowError):
            size = MOST + 1
    if size is None:
        raise ValueError(f"expected a size such as 512MB, 1GB or 1GiB, got {described(value)}")
    if not 1 <= size <= MOST:
        raise ValueError(f"expected a size of at least 1 byte and at most {MOST} bytes, got {described(value)}")
    return size


def _samples(value: Any) -> int | str:
    if type(value) is int and 1 <= value <= MOST:
        return value
    if isinstance(value, str) and re.fullmatch(SHARE.rstrip("$"), value) and 0 < float(value[:-1]) < MOST:
        return value
    raise ValueError(f'expected a whole number above 0 or a share such as "30%", got {described(value)}')


def _portion(value: Any) -> float:
    portion: float | None = float(value) if type(value) in (int, float) else None
    if isinstance(value, str) and re.fullmatch(SHARE.rstrip("$"), value):
        portion = float(value[:-1]) / 100
    if portion is None or not 0 <= portion <= 1:
        raise ValueError(f'expected a share from 0 to 1, or a percentage such as "5%", got {described(value)}')
    return portion


def _variable(value: Any) -> Value:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"a variable is a text or a number, got {described(value)}")


def described(value: object) -> str:
    """Describe a value for a message: text in quotes, numbers as they are, other values by their kind."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value) if value else "an empty text"
        case dict():
            return "keys and values"
        case list() | tuple():
            return "a list"
    return str(value)


#: a name that may become part of a file name
Name = Annotated[str, Field(pattern=NAME, max_length=100)]
VariableName = Annotated[str, Field(pattern=f"^{VARIABLE_NAME}$")]
#: a path or URL; ``~/`` is the home folder
Location = Annotated[str, Field(min_length=1), AfterValidator(_location)]

_ONE_OR_MORE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
    ]
}
OneOrMore = (BeforeValidator(as_list), AfterValidator(_distinct), WithJsonSchema(_ONE_OR_MORE))
#: one path, URL or glob pattern, or several
Locations = Annotated[tuple[Location, ...], Field(min_length=1), *OneOrMore]
#: one source, or several
SourceNames = Annotated[tuple[str, ...], Field(min_length=1), *OneOrMore]

_POSITIVE = {"type": "integer", "minimum": 1, "maximum": MOST}
#: a whole number above 0
Count = Annotated[int, Field(ge=1, le=MOST)]
#: ``[low, high]``
Range = Annotated[
    tuple[int, int],
    BeforeValidator(_range),
    WithJsonSchema({"type": "array", "items": _POSITIVE, "minItems": 2, "maxItems": 2}),
]
#: bytes; written as a number or as 512MB
Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"anyOf": [_POSITIVE, {"type": "string", "pattern": SIZE}]})
]
#: a number of samples, or a share of those that there are
Samples = Annotated[
    int | str,
    BeforeValidator(_samples),
    WithJsonSchema({"anyOf": [_POSITIVE, {"type": "string", "pattern": SHARE}]}),
]
#: a share from 0 to 1; written as such or as 5%
Portion = Annotated[
    float,
    BeforeValidator(_portion),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": SHARE}]}),
]
Variable = Annotated[
    str | int | float,
    BeforeValidator(_variable),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}]}),
]
