"""``python -m blender.shards``: write the JSON Schemas of samples and manifests anew after their structs changed."""

from blender.recipe.shipped import shipped_folder
from blender.shards.schemas import schema_texts

if __name__ == "__main__":
    for name, text in schema_texts().items():
        (shipped_folder("schemas") / name).write_text(text, encoding="utf-8")
