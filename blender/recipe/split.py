"""The ``split`` section of a recipe: what is kept back for evaluation."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, SerializerFunctionWrapHandler, WithJsonSchema, model_serializer

from blender.recipe.fields import MOST, SHARE, Location, SourceNames, described
from blender.recipe.section import Section

#: most bits of 128 in which perceptual hashes of one picture may differ; beyond it other pictures are met by chance
MOST_BITS = 16

_AMOUNTS: list[dict[str, Any]] = [
    {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "minimum": 0, "maximum": MOST},
    {"type": "string", "pattern": SHARE},
]
_OF_EACH: dict[str, Any] = {"type": "object", "additionalProperties": {"anyOf": _AMOUNTS}, "minProperties": 1}


def amount_of(value: Any) -> float | int:
    """Read an amount: a share from 0 to below 1 as a float, a number of conversations as an int.

    Raises:
        ValueError: It is neither; the message says what was expected.
    """
    share: float | None = None
    if isinstance(value, str) and re.fullmatch(SHARE.rstrip("$"), value):
        share = float(value[:-1]) / 100
    elif type(value) is float:
        share = value
    elif type(value) is int and 1 <= value <= MOST:
        return value
    elif type(value) is int and value == 0:
        share = 0.0
    if share is None or not 0 <= share < 1:
        raise ValueError(f'expected a share below 1, such as 0.02 or "2%", or a whole number, got {described(value)}')
    return share


def _eval(value: Any) -> Any:
    """Read one amount, or one for each source; the latter are checked by ``split_rules``, each with its line."""
    if not isinstance(value, Mapping):
        return amount_of(value)
    if not value:
        raise ValueError("expected an amount, or sources with an amount each, got none")
    return {name: _or_as_it_is(amount) for name, amount in value.items()}


def _or_as_it_is(value: Any) -> Any:
    try:
        return amount_of(value)
    except ValueError:
        return value


Eval = Annotated[
    float | int | Mapping[str, float | int],
    PlainValidator(_eval),
    WithJsonSchema({"anyOf": [*_AMOUNTS, _OF_EACH]}),
]


class SplitRules(Section):
    """What is kept back for evaluation."""

    eval: Eval = Field(
        default=0.01,
        description='What is kept back: a share (0.01, or "1%"), a number of conversations (2000), or one of these '
        "for each source ({llava: 1%, cgd: 500}; nothing of sources that are not named). 0 keeps back nothing.",
    )
    by: Literal["image", "sample"] = Field(
        default="image", description="image: train and eval share no image; sample: samples are drawn one by one."
    )
    exclude: SourceNames | None = Field(
        default=None, description="Sources of which nothing is kept back; images that they show belong to train."
    )
    list_: Location | None = Field(
        default=None,
        alias="list",
        description="In place of eval: a file that lists what is kept back, images (store/name, or name) or records "
        "(source/file/id), one a line or as a JSON list.",
    )
    perceptual: Annotated[int, Field(ge=0, le=MOST_BITS)] | None = Field(
        default=None,
        description="Also keep pictures on one side that look the same: that differ in at most so many of the 128 "
        "bits of a perceptual hash. Every picture is decoded for it.",
    )

    @model_serializer(mode="wrap")
    def _without_default(self, write: SerializerFunctionWrapHandler) -> Any:
        """Leave out ``eval`` if a list is given in its place."""
        content = write(self)
        return {key: value for key, value in content.items() if key != "eval" or self.list_ is None}
