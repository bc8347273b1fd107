import json

import jsonschema
import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from blender.core.errors import RecipeError
from blender.recipe import blend_recipe_schema, list_shipped_recipes, recipe_from
from blender.recipe.schema import schema_text
from blender.recipe.shipped import shipped_folder
from tests.recipe.examples import GOOD

SCHEMA = jsonschema.Draft202012Validator(blend_recipe_schema())


def test_the_schema_file_is_up_to_date():
    file = shipped_folder("schemas") / "blend-recipe.schema.json"
    assert file.read_text(encoding="utf-8") == schema_text(), "run: python -m blender.recipe"


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(blend_recipe_schema())


@pytest.mark.parametrize("name", list_shipped_recipes())
def test_every_shipped_recipe_validates_and_points_editors_to_the_schema(name):
    text = (shipped_folder("recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schemas/blend-recipe.schema.json\n")
    SCHEMA.validate(yaml.safe_load(text))


def test_every_key_has_a_description():
    def undescribed(schema: object, path: str = "") -> list[str]:
        if not isinstance(schema, dict):
            return []
        found = []
        for name, child in schema.get("properties", {}).items():
            described = "description" in child or "$ref" in child or "not" in child
            found += [] if described else [f"{path}.{name}"]
        return found + [key for name, child in schema.get("$defs", {}).items() for key in undescribed(child, name)]

    assert undescribed(blend_recipe_schema()) == []


def test_the_schema_knows_formats_and_templates():
    schema = blend_recipe_schema()
    assert "mimicit" in json.dumps(schema["$defs"]["Source"]["properties"]["format"])
    assert "deepspeed-visualchat-code" in json.dumps(schema["properties"]["template"])


def mostly(*good: object, bad: tuple[object, ...]) -> st.SearchStrategy[object]:
    """Draw good values, and now and then one that must be refused."""
    return st.integers(0, 19).flatmap(lambda chance: st.sampled_from(bad if chance == 0 else good))


COUNTS = mostly(1, 2, 8, "${n}", bad=(0, -1, 0.5, "3", True, None))
SIZES = mostly("1GB", "5 MiB", "12", "1k", 7, "${n}MB", "${n}", bad=("1gbit", "0", "x", 0, None))
KINDS = mostly(
    {"from": "llava"},
    {"from": ["llava", "${source}"], "concatenate": [1, 3]},
    {"from": "llava", "concatenate": ["${n}", "${n}"]},
    {"image_match": {"base": "cgd", "with": ["llava"]}},
    {"from": None, "image_match": {"base": "cgd", "with": "llava"}},
    bad=({}, {"from": []}, {"from": "llava", "concatenate": [1]}, {"image_match": {"base": "cgd"}}),
)
AMOUNTS = mostly(
    {},
    {"repeat": 2.5},
    {"repeat": "${n}"},
    {"samples": 3},
    {"samples": "30%"},
    {"samples": "${n}%"},
    {"samples": None, "repeat": 1},
    bad=({"samples": 1, "repeat": 1}, {"samples": "x%"}),
)
NAMES = mostly("one", "v${n}", "a.b-c_d", bad=("a b", "", 3))
ENTRIES = st.builds(lambda name, kind, amount: {"name": name, **kind, **amount}, NAMES, KINDS, AMOUNTS)
SECTIONS = {
    "seed": COUNTS,
    "template": mostly("plain", "${template}", bad=("other",)),
    "limits": st.fixed_dictionaries(
        {"tokenizer": st.just("t.json")},
        optional={"images": COUNTS, "tokens": COUNTS, "image_tokens": COUNTS, "image_bytes": SIZES},
    ),
    "split": st.fixed_dictionaries(
        {},
        optional={
            "eval": mostly(0, 0.5, 12, "3%", {"llava": "1%", "cgd": "${n}"}, "${share}", bad=(1.0, "x", {"x": 1}, {})),
            "by": mostly("image", "${by}", bad=("turn",)),
            "exclude": mostly("llava", ["cgd"], bad=("other", [])),
            "perceptual": mostly(4, "${n}", bad=(99,)),
        },
    ),
    "images": st.fixed_dictionaries(
        {"coco": st.just("x"), "other": mostly({"path": "y", "same_as": "coco"}, bad=(3,))}
    ),
    "shards": st.fixed_dictionaries({}, optional={"max_samples": COUNTS, "max_bytes": SIZES}),
}
VARIABLES = {"data": "./data", "n": 2, "template": "plain", "by": "sample", "share": 0.25, "source": "cgd"}


@given(st.fixed_dictionaries({"blend": st.lists(ENTRIES, min_size=1, max_size=1)}, optional=SECTIONS))
def test_whatever_loads_validates(changes):
    data = {**yaml.safe_load(GOOD), **changes, "variables": VARIABLES}
    try:
        recipe_from(data)
    except RecipeError:
        assume(False)
    SCHEMA.validate(data)


@pytest.mark.parametrize(
    "change",
    [
        {"sed": 1},
        {"seed": "x"},
        {"template": "other"},
        {"limits": {"tokens": 5}},
        {"limits": {"image_bytes": "3 apples"}},
        {"split": {"by": "turn"}},
        {"split": {"eval": 1.5}},
        {"split": {"eval": {"llava": "x"}}},
        {"split": {"perceptual": 99}},
        {"images": {"coco": {"path": "x", "same": "y"}}},
        {"sources": {"a b": {"format": "llava", "files": "x"}}},
        {"sources": {"a": {"format": "llama", "files": "x"}}},
        {"sources": {"a": {"format": "llava", "files": []}}},
        {"blend": [{"name": "x"}]},
        {"blend": [{"name": "x", "from": "llava", "image_match": {"base": "llava", "with": "cgd"}}]},
        {"blend": [{"name": "x", "concatenate": [1, 2], "image_match": {"base": "llava", "with": "cgd"}}]},
        {"blend": [{"name": "x", "from": "llava", "repeat": 1, "samples": 1}]},
    ],
)
def test_editors_mark_what_loading_would_refuse(change):
    assert not SCHEMA.is_valid({**yaml.safe_load(GOOD), **change})
