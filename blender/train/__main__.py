"""``python -m blender.train``: write ``schemas/train-recipe.schema.json`` anew after the models changed."""

from blender.recipe.schema import schema_text
from blender.recipe.shipped import shipped_folder
from blender.train.schema import train_recipe_schema

if __name__ == "__main__":
    text = schema_text(train_recipe_schema())
    (shipped_folder("schemas") / "train-recipe.schema.json").write_text(text, encoding="utf-8")
