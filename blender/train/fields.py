"""Types of values that only training recipes have: blends with their shares, lengths in steps, Adam's betas."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Optional

from pydantic import BeforeValidator, Field, WithJsonSchema

from blender.recipe.fields import SHARE, Count, Location, described
from blender.recipe.section import Section

Amount = Annotated[float, Field(gt=0)]


class BlendMember(Section):
    """A blend or a group of blends, and how much of an epoch it is."""

    blend: Location | None = Field(default=None, description="Folder or URL of a blend.")
    members: Optional["BlendMembers"] = Field(default=None, description="Blends by name that share one amount.")
    weight: Amount | None = Field(default=None, description="Share beside the weights of the others.")
    repeat: Amount | None = Field(default=None, description="Copies in an epoch.")
    samples: Count | None = Field(default=None, description="Samples in an epoch.")

    def plain(self, *, amounts: bool = True) -> dict[str, Any]:
        """Return the member as plain data for a stream's source, with or without its amounts."""
        given = {key: value for key in ("weight", "repeat", "samples") if (value := getattr(self, key)) is not None}
        inside: dict[str, Any] = {"blend": self.blend}
        if self.members:
            inside = {"members": {name: member.plain(amounts=amounts) for name, member in self.members.items()}}
        return {**inside, **(given if amounts else {})}


def _member(value: Any) -> Any:
    return {"blend": value} if isinstance(value, str) else value


#: blends by name; a string is the folder or URL of a blend
BlendMembers = Annotated[Mapping[str, Annotated[BlendMember, BeforeValidator(_member)]], Field(min_length=1)]


def _blends(value: Any) -> Any:
    return {"": {"blend": value}} if isinstance(value, str) else value


#: blends by name, or the folder or URL of a single one, whose name is then empty
Blends = Annotated[BlendMembers, BeforeValidator(_blends)]


def stream_data(blends: Mapping[str, BlendMember], *, amounts: bool = True) -> str | dict[str, Any]:
    """Return blends as the argument of :func:`blender.stream.opening.open_mixture`.

    Args:
        blends: The blends of a recipe.
        amounts: With their weights, repeats and samples; without, as for evaluation, every sample counts once.
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


#: optimizer steps, or a share of all of them
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


#: decay rates of Adam's two running means
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
