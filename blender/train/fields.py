"""The kinds of value that only training recipes have: blends with their shares, and lengths in steps."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Optional

from pydantic import BeforeValidator, Field, WithJsonSchema

from blender.recipe.fields import SHARE, Count, Location, described
from blender.recipe.section import Section

Amount = Annotated[float, Field(gt=0)]


class Member(Section):
    """A blend, or a group of them, and how much of it an epoch has."""

    blend: Location | None = Field(default=None, description="Folder or URL of a blend.")
    members: Optional["Members"] = Field(default=None, description="Blends by name that share one amount.")
    weight: Amount | None = Field(default=None, description="Share beside the weights of the others.")
    repeat: Amount | None = Field(default=None, description="Copies in an epoch.")
    samples: Count | None = Field(default=None, description="Samples in an epoch.")

    def plain(self, *, amounts: bool = True) -> dict[str, Any]:
        """Give it as a stream's source takes it, with or without its amounts."""
        given = {key: value for key in ("weight", "repeat", "samples") if (value := getattr(self, key)) is not None}
        inside: dict[str, Any] = {"blend": self.blend}
        if self.members:
            inside = {"members": {name: member.plain(amounts=amounts) for name, member in self.members.items()}}
        return {**inside, **(given if amounts else {})}


def _member(value: Any) -> Any:
    return {"blend": value} if isinstance(value, str) else value


#: blends by name; a text is the place of one
Members = Annotated[Mapping[str, Annotated[Member, BeforeValidator(_member)]], Field(min_length=1)]


def _blends(value: Any) -> Any:
    return {"": {"blend": value}} if isinstance(value, str) else value


#: blends by name, or the place of the only one, which then has no name
Blends = Annotated[Members, BeforeValidator(_blends)]


def stream_data(blends: Mapping[str, Member], *, amounts: bool = True) -> str | dict[str, Any]:
    """Give blends as :func:`blender.stream.opening.open_mixture` takes them.

    Args:
        blends: As the recipe has them.
        amounts: With their weights, repeats and samples; for evaluation, every blend counts once.
    """
    if set(blends) == {""}:
        return str(blends[""].blend)
    return {name: member.plain(amounts=amounts) for name, member in blends.items()}


def _steps(value: Any) -> int | str:
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(SHARE.rstrip("$"), value) and float(value[:-1]) <= 100:
        return value
    raise ValueError(f'expected a whole number of steps or a share such as "10%", got {described(value)}')


#: optimizer steps, or a share of them all
Steps = Annotated[
    int | str,
    BeforeValidator(_steps),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": SHARE}]}),
]


def _betas(value: Any) -> tuple[float, float]:
    numbers = tuple(value) if isinstance(value, list | tuple) else ()
    if len(numbers) != 2 or any(type(number) not in (int, float) or not 0 <= number < 1 for number in numbers):
        raise ValueError(f"expected two numbers from 0 to below 1, such as [0.9, 0.95], got {described(value)}")
    return float(numbers[0]), float(numbers[1])


#: decay of Adam's two running means
Betas = Annotated[
    tuple[float, float],
    BeforeValidator(_betas),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "minItems": 2,
            "maxItems": 2,
        }
    ),
]
