"""The JSON Schema of a blend recipe, made from the models, so that editors complete and check recipes.

``python -m blender.recipe`` writes it to ``schemas/blend-recipe.schema.json``.
"""

import json
from collections.abc import Iterator
from typing import Any

from blender.data.sources import SOURCES
from blender.data.template import TEMPLATES
from blender.recipe.lint import LINT_CHECKS
from blender.recipe.model import Recipe
from blender.recipe.variables import VARIABLE_NAME

#: a reference to a variable, allowed wherever a value is not free text
_REFERENCE = {"$ref": "#/$defs/Reference"}


def blend_recipe_schema() -> dict[str, Any]:
    """Make the JSON Schema of a blend recipe."""
    schema = Recipe.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    definitions["Source"]["properties"]["format"]["enum"] = list(SOURCES)
    schema["properties"]["template"]["enum"] = list(TEMPLATES)
    definitions["BlendEntry"] |= {
        "oneOf": [_given("from"), {**_given("image_match"), "not": _given("concatenate")}],
        "not": {"allOf": [_given("repeat"), _given("samples")]},
    }
    definitions["Limits"] |= {"if": _given("tokens"), "then": _given("tokenizer")}
    _let_checks_stand_alone(definitions)
    each = definitions["SplitRules"]["properties"]["eval"]["anyOf"][-1]["additionalProperties"]
    each["anyOf"] = [*each["anyOf"], _REFERENCE]
    # a location alone is a store, too
    stores = schema["properties"]["images"]["patternProperties"]
    for pattern, store in stores.items():
        stores[pattern] = {"anyOf": [{"type": "string", "minLength": 1}, store]}
    return finish_schema("visualchat blend recipe", schema)


def _let_checks_stand_alone(definitions: dict[str, Any]) -> None:
    """Allow the name of a check in place of a suppression, and one suppression in place of a list."""
    definitions["LintCheck"] = {"description": "A check.", "type": "string", "enum": list(LINT_CHECKS)}
    name, suppression = {"$ref": "#/$defs/LintCheck"}, {"$ref": "#/$defs/Suppression"}
    check = definitions["Suppression"]["properties"]["check"]
    definitions["Suppression"]["properties"]["check"] = {**name, "description": check["description"]}
    suppress = definitions["Lint"]["properties"]["suppress"]
    several = {"type": "array", "items": {"anyOf": [name, suppression]}}
    kept = {key: suppress[key] for key in ("description", "default")}
    definitions["Lint"]["properties"]["suppress"] = {"anyOf": [name, suppression, several], **kept}


def finish_schema(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Extend the JSON Schema of a model so that references to variables are allowed in place of values."""
    schema = dict(_opened(schema))
    schema["$defs"]["Reference"] = {
        "description": "The value of a variable.",
        "type": "string",
        "pattern": rf"\$\{{{VARIABLE_NAME}\}}",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema}


def schema_text(schema: dict[str, Any] | None = None) -> str:
    """Write a schema out as its file holds it; that of a blend recipe by default."""
    return json.dumps(schema or blend_recipe_schema(), indent=2, ensure_ascii=False) + "\n"


def _given(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _opened(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Allow a reference to a variable in place of numbers, names and words, and drop pydantic's titles."""
    if _narrow(schema):
        notes = {key: value for key, value in schema.items() if key in ("description", "default")}
        schema = {"anyOf": [{key: value for key, value in schema.items() if key not in notes}], **notes}
    for key, value in schema.items():
        match key:
            case "title":
                continue
            case "properties" | "patternProperties" | "$defs":
                yield key, {name: dict(_opened(dict(child))) for name, child in value.items()}
            case "items":
                yield key, dict(_opened(dict(value)))
            case "anyOf":
                yield key, _choices(value)
            case _:
                yield key, value
    if "patternProperties" in schema:
        yield "additionalProperties", False


def _choices(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = [{key: value for key, value in choice.items() if key != "title"} for choice in choices]
    opened = [choice if _narrow(choice) else dict(_opened(choice)) for choice in plain]
    anything_goes = any(choice.get("type") == "string" and not _narrow(choice) for choice in plain)
    return [*opened, _REFERENCE] if any(map(_narrow, plain)) and not anything_goes else opened


def _narrow(schema: dict[str, Any]) -> bool:
    """Tell whether a value is a number, a name or one of some words: neither free text nor a container."""
    return schema.get("type") in ("integer", "number") or "enum" in schema or "pattern" in schema
