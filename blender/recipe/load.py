"""A recipe's file → a checked recipe of its kind, or all of its faults at once.

The steps: find the file, read its YAML, apply overrides, substitute variables, check types and rules. A file that gives
no data at all ends the loading at once; otherwise every step adds its faults, and all are reported together.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from blender.core.errors import Fault, RecipeError
from blender.recipe.document import Document, Plain, Problem
from blender.recipe.fields import described
from blender.recipe.model import BLEND, Recipe
from blender.recipe.overrides import override
from blender.recipe.section import R, RecipeKind
from blender.recipe.sentences import keys_of, problems_of
from blender.recipe.shipped import find_recipe
from blender.recipe.variables import substitute
from blender.recipe.yaml_lines import Unreadable, parse_yaml

#: a recipe is a page of text; an annotation file named by mistake has gigabytes
MAX_BYTES = 1_000_000


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe of a blend.

    Annotation files and images need not be there: ask :meth:`Recipe.missing_files` and :meth:`Recipe.missing_stores`.

    Args:
        name_or_path: Name of a shipped recipe (``deepspeed-visualchat``), or a path.
        overrides: Changes such as ``data=/mnt/data``, ``limits.images=4`` or ``blend.llava.repeat=2``.

    Raises:
        RecipeError: The recipe cannot be used; holds all of its faults, each with its line.
    """
    return load_kind(BLEND, name_or_path, overrides)


def load_kind(kind: RecipeKind[R], name_or_path: str | Path, overrides: Sequence[str] = ()) -> R:
    """Load a recipe of some kind, as :func:`load_recipe` does.

    Raises:
        RecipeError: The recipe cannot be used; holds all of its faults, each with its line.
    """
    origin, path = str(name_or_path), find_recipe(name_or_path, kind.name)
    try:
        document, misread = parse_yaml(_read(path))
    except Unreadable as error:
        raise RecipeError(origin, [Fault(error.line, "", f"the file {error.message}")]) from error
    if not isinstance(document.data, dict):
        content = "is empty" if document.data is None else f"holds {described(document.data)}"
        raise RecipeError(origin, [Fault(1, "", f"the file {content}, where keys such as 'name: ...' are expected")])
    document, refused = override(document, overrides, keys_of(kind.model))
    return _checked(kind, document, origin, [*misread, *refused])


def recipe_from(data: Mapping[str, Any], origin: str = "recipe") -> Recipe:
    """Make a recipe of plain data, with all checks of :func:`load_recipe`.

    Args:
        data: What the YAML of a recipe gives; what :meth:`Recipe.resolved` gives will do.
        origin: Its name in messages.

    Raises:
        RecipeError: The recipe cannot be used; holds all of its faults.
    """
    return kind_from(BLEND, data, origin)


def kind_from(kind: RecipeKind[R], data: Mapping[str, Any], origin: str = "recipe") -> R:
    """Make a recipe of some kind of plain data, as :func:`recipe_from` does.

    Raises:
        RecipeError: The recipe cannot be used; holds all of its faults.
    """
    return _checked(kind, Document(dict(data), {}), origin, [])


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(f"has more than {MAX_BYTES:,} bytes: it is hardly a recipe")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise Unreadable(f"cannot be read: {error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text", content.count(b"\n", 0, error.start) + 1) from error


def _checked(kind: RecipeKind[R], document: Document, origin: str, earlier: Iterable[Problem]) -> R:
    """Run the steps that plain data goes through, and gather the problems of all of them."""
    problems = list(earlier)
    data, undefined, broken = substitute(document.data)
    document = Document(data, document.lines)
    silent = broken | {problem.key_path for problem in problems if problem.loses_value}
    recipe, mistaken = _validated(kind.model, data)
    later = [*mistaken, *kind.broken_rules(data)]
    problems += [*undefined, *(problem for problem in later if problem.key_path not in silent)]
    if problems or recipe is None:
        faults = sorted(map(document.fault, problems), key=lambda fault: fault.line or 0)
        raise RecipeError(origin, faults)
    recipe.loaded_from(document, origin)
    return recipe


def _validated(model: type[R], data: Plain) -> tuple[R | None, list[Problem]]:
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, problems_of(error, model)
