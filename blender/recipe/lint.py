"""The ``lint`` section of a recipe: findings of ``visualchat lint`` that are meant to be so.

The checks themselves (``blender.inspect.lint``) are in a layer above recipes. Their names are listed here, so that a
misspelt name is a fault of the recipe, with its line, instead of a suppression that never works.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from blender.recipe.fields import Name, described
from blender.recipe.section import Section

#: every check of ``visualchat lint``
LINT_CHECKS = (
    "image_in_both_splits",
    "pair_in_both_splits",
    "source_read_twice",
    "sources_overlap",
    "tiny_dataset",
    "answer_empty",
    "answer_one_word",
    "answer_repeated",
    "image_number_missing",
    "image_not_shown",
    "reference_not_understood",
    "mojibake",
    "control_character",
    "template_marker",
    "image_small",
    "image_extreme_aspect",
    "image_shown_twice",
    "image_near_duplicate",
    "image_unused",
    "turns_cut",
    "sample_unusable",
    "sample_too_long",
)


class Suppression(Section):
    """Findings of `visualchat lint` that are counted but not reported."""

    check: str = Field(description="The check whose findings are not reported, such as answer_one_word.")
    dataset: Name | None = Field(default=None, description="Only those in this output dataset; all by default.")
    because: str | None = Field(default=None, description="Why that is as it should be.")


def _suppressions(value: Any) -> Any:
    """Make a suppression of a check's name alone."""
    values = [value] if isinstance(value, str | dict) else value
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of checks, got {described(value)}")
    return tuple({"check": item} if isinstance(item, str) else item for item in values)


class Lint(Section):
    """Findings that `visualchat lint` does not report."""

    suppress: Annotated[tuple[Suppression, ...], BeforeValidator(_suppressions)] = Field(
        default=(), description="Checks by name, or check and dataset, whose findings are counted and not reported."
    )
