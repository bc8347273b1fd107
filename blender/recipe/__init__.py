"""The blend recipe: YAML → a validated model, every fault with its line.

``load_recipe`` is the way in; ``Recipe`` is what all later stations take. ``model`` says what a recipe may hold,
``load`` how one is read. ``docs/recipes.md`` is the reference for those who write recipes.
"""

from blender.recipe.load import load_recipe, recipe_from
from blender.recipe.model import BlendEntry, ImageMatch, Limits, Recipe, Shards, Source
from blender.recipe.schema import blend_recipe_schema
from blender.recipe.shipped import list_shipped_recipes
from blender.recipe.split import SplitRules

__all__ = [
    "BlendEntry",
    "ImageMatch",
    "Limits",
    "Recipe",
    "Shards",
    "Source",
    "SplitRules",
    "blend_recipe_schema",
    "list_shipped_recipes",
    "load_recipe",
    "recipe_from",
]
