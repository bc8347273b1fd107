"""The JSON Schema of a training recipe, generated from the pydantic models, for completion and checks in editors.

``python -m blender.train`` writes it to ``schemas/train-recipe.schema.json``.
"""

from typing import Any

from blender.data.template import CHAT, TEMPLATES
from blender.recipe.schema import finish_schema
from blender.train.recipe import TrainRecipe


def train_recipe_schema() -> dict[str, Any]:
    """Make the JSON Schema of a training recipe."""
    schema = TrainRecipe.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    schema["properties"]["template"]["enum"] = [*TEMPLATES, CHAT]
    schema["properties"]["data"] = {"$ref": "#/$defs/Data"}
    member = {"anyOf": [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/BlendMember"}]}
    members = {"type": "object", "additionalProperties": member, "minProperties": 1}
    blends = definitions["Data"]["properties"]["blends"]
    definitions["Data"]["properties"]["blends"] = {
        "anyOf": [{"type": "string", "minLength": 1}, members],
        "description": blends["description"],
    }
    inner = definitions["BlendMember"]["properties"]["members"]
    definitions["BlendMember"]["properties"]["members"] = {
        "anyOf": [members, {"type": "null"}],
        "description": inner["description"],
    }
    definitions["Schedule"]["oneOf"] = [_given("epochs"), _given("steps")]
    return finish_schema("visualchat training recipe", schema)


def _given(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}
