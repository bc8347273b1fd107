"""The recipes that come with the program.

They are in ``recipes/`` of a checkout; building the package copies them into it.
"""

from pathlib import Path

from blender.core.errors import Fault, RecipeError
from blender.recipe.document import quoted, suggestion

#: what the names of shipped recipes begin with that are of another kind than ``blend``
_PREFIXES = {"train": "train-"}


def list_shipped_recipes(kind: str = "blend") -> list[str]:
    """List the names of the recipes of a kind, ``blend`` or ``train``, that can be loaded without a path."""
    return sorted(path.stem for path in shipped_folder("recipes").glob("*.yaml") if _kind(path.stem) == kind)


def _kind(name: str) -> str:
    return next((kind for kind, prefix in _PREFIXES.items() if name.startswith(prefix)), "blend")


def find_recipe(name_or_path: str | Path, kind: str = "blend") -> Path:
    """Find a recipe's file.

    Args:
        name_or_path: A text without a slash and without ``.yaml`` names a shipped recipe; anything else is a path.
        kind: ``blend`` or ``train``.

    Raises:
        RecipeError: No shipped recipe has this name.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    names = list_shipped_recipes(kind)
    if text in names:
        return shipped_folder("recipes") / f"{text}.yaml"
    nearest = suggestion(text, names)
    meant = nearest if "did you mean" in nearest else ""
    message = f"no shipped {kind} recipe is called {quoted(text)}{meant} (shipped: {', '.join(names)})"
    raise RecipeError(
        text, [Fault(None, "", message)], "a recipe of your own is named by its path, such as ./mine.yaml"
    )


def shipped_folder(name: str) -> Path:
    """Find ``recipes`` or ``schemas``: beside the package in a checkout, else inside the installed package."""
    package = Path(__file__).parents[1]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    return package / "_shipped" / name
