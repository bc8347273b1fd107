import json

import jsonschema
import pytest
import yaml

from blender.core.errors import RecipeError
from blender.recipe import list_shipped_recipes
from blender.recipe.load import kind_from
from blender.recipe.schema import schema_text
from blender.recipe.shipped import shipped_folder
from blender.train.fields import stream_data
from blender.train.recipe import TRAIN, load_train_recipe
from blender.train.schema import train_recipe_schema
from tests.train.recipes import changed

GOOD = {
    "name": "mine",
    "data": {"blends": "./blend"},
    "model": {"language": "./llama", "vision": "./clip"},
    "schedule": {"epochs": 1},
}
SCHEMA = jsonschema.Draft202012Validator(train_recipe_schema())
SHIPPED = list_shipped_recipes("train")


def faults(**changes):
    with pytest.raises(RecipeError) as caught:
        kind_from(TRAIN, changed(GOOD, **changes))
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_recipes_of_the_issue_are_shipped_and_are_none_of_blends():
    assert SHIPPED == ["train-13b", "train-70b", "train-7b", "train-small-cpu", "train-tiny-cpu"]
    assert not set(SHIPPED) & set(list_shipped_recipes())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_loads_under_its_own_name_and_points_editors_to_the_schema(name):
    assert load_train_recipe(name).name == name
    text = (shipped_folder("recipes") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schemas/train-recipe.schema.json\n")
    SCHEMA.validate(yaml.safe_load(text))


def test_the_schema_file_is_up_to_date():
    file = shipped_folder("schemas") / "train-recipe.schema.json"
    assert file.read_text(encoding="utf-8") == schema_text(train_recipe_schema()), "run: python -m blender.train"
    jsonschema.Draft202012Validator.check_schema(train_recipe_schema())


def test_every_key_of_the_schema_has_a_description():
    for name, section in [*train_recipe_schema()["$defs"].items(), ("", train_recipe_schema())]:
        for key, child in section.get("properties", {}).items():
            assert "description" in child or "$ref" in child, f"{name}.{key}"


def test_the_published_settings_are_the_defaults():
    recipe = kind_from(TRAIN, GOOD)
    assert (recipe.optimizer.lr, recipe.optimizer.betas, recipe.optimizer.clip) == (1e-3, (0.9, 0.95), 1.0)
    assert (recipe.batch.global_, recipe.schedule.kind, recipe.schedule.warmup) == (128, "cosine", "10%")
    assert (recipe.train.projector, recipe.train.embedding, recipe.train.language) == (True, True, "frozen")
    assert recipe.data.max_tokens == 4096


def test_all_faults_are_told_at_once_with_their_lines(tmp_path):
    text = (
        "name: mine\nseed: three\ndata: {blends: ./b}\nmodel:\n  language: l\n  vision: v\n  attention: mcca\n"
        "schedule: {epochs: 1, steps: 5}\nbatch:\n  global: 7\n  micro: 3\noptimiser: {}\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_train_recipe(tmp_path / "mine.yaml", ["logging.evry=3"])
    found = {(fault.line, fault.path) for fault in caught.value.faults}
    assert found == {
        (None, "logging.evry"),
        (2, "seed"),
        (7, "model.attention"),
        (8, "schedule.steps"),
        (11, "batch.micro"),
        (12, "optimiser"),
    }
    assert "did you mean 'every'?" in str(caught.value)
    assert "did you mean 'optimizer'?" in str(caught.value)
    assert "'mmca', 'causal' or 'cross'" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"schedule": {}}, "schedule", "epochs or steps"),
        ({"schedule": {"steps": 5, "warmup": 6}}, "schedule.warmup", "longer than the 5 steps"),
        ({"schedule__warmup": "120%"}, "schedule.warmup", "such as"),
        ({"template": "papers"}, "template", "unknown template"),
        ({"deepspeed": {"stage": 0}}, "deepspeed.stage", "fp32"),
        ({"deepspeed": {"stage": 2, "offload": "all"}}, "deepspeed.offload", "stage 3"),
        ({"deepspeed": {"stage": 3}, "vision_cache": "1GB"}, "vision_cache", "stage 3"),
        ({"train": {"vision": "lora"}, "vision_cache": "1GB"}, "vision_cache", "cannot be kept"),
        ({"train": {"projector": False, "embedding": False}}, "train", "nothing is trained"),
        ({"optimizer": {"betas": [0.9]}}, "optimizer.betas", "two numbers"),
        ({"optimizer": {"lr": 0}}, "optimizer.lr", "above 0"),
        ({"data": {"blends": {"a/b": "x"}}}, "data.blends.a/b", "have no '/'"),
        ({"data": {"blends": {"a": {"weight": 1}}}}, "data.blends.a", "either blend or members"),
        ({"data": {"blends": {"a": {"blend": "x", "weight": 1, "repeat": 2}}}}, "data.blends.a.repeat", "both"),
        ({"data": {"blends": {"a": {"blnd": "x", "blend": "y"}}}}, "data.blends.a.blnd", "did you mean 'blend'?"),
        ({"precision": "fp64"}, "precision", "'bf16', 'fp16' or 'fp32'"),
    ],
)
def test_keys_that_make_no_sense_are_refused(changes, path, words):
    found = faults(**changes)
    assert words in found[path]


def test_blends_are_given_to_the_stream_as_it_takes_them():
    nested = {"a": "./a", "b": {"weight": 2, "members": {"c": {"blend": "s3://b/c", "repeat": 2.5}}}}
    recipe = kind_from(TRAIN, changed(GOOD, data={"blends": nested}))
    assert stream_data(recipe.data.blends) == {
        "a": {"blend": "./a"},
        "b": {"members": {"c": {"blend": "s3://b/c", "repeat": 2.5}}, "weight": 2.0},
    }
    assert stream_data(recipe.data.blends, amounts=False)["b"] == {"members": {"c": {"blend": "s3://b/c"}}}
    assert stream_data(kind_from(TRAIN, GOOD).data.blends) == "./blend"


def test_a_resolved_recipe_loads_again_as_itself():
    recipe = kind_from(TRAIN, changed(GOOD, evaluation=None))
    again = kind_from(TRAIN, json.loads(json.dumps(recipe.resolved())))
    assert (again.resolved(), again.hash()) == (recipe.resolved(), recipe.hash())
    assert again.evaluation is None


def test_the_hash_is_of_what_is_learnt_and_of_nothing_else():
    mine = kind_from(TRAIN, GOOD).hash()
    same = {"logging": {"every": 3}, "batch__micro": 4, "deepspeed__stage": 3, "data__workers": 1, "name": "other"}
    other = {"seed": 4, "optimizer": {"lr": 0.1}, "batch__global": 64, "schedule": {"epochs": 2}, "data__pack": True}
    assert {kind_from(TRAIN, changed(GOOD, **{key: value})).hash() for key, value in same.items()} == {mine}
    assert mine not in {kind_from(TRAIN, changed(GOOD, **{key: value})).hash() for key, value in other.items()}
