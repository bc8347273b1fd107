"""``python -m blender.recipe``: write ``schemas/blend-recipe.schema.json`` anew after the models changed."""

from blender.recipe.schema import schema_text
from blender.recipe.shipped import shipped_folder

if __name__ == "__main__":
    (shipped_folder("schemas") / "blend-recipe.schema.json").write_text(schema_text(), encoding="utf-8")
