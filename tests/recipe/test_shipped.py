from pathlib import Path

import pytest

from blender.core.errors import RecipeError
from blender.recipe import list_shipped_recipes, load_recipe

NAMES = list_shipped_recipes()


def test_the_recipes_of_the_issue_are_shipped():
    assert {"deepspeed-visualchat", "deepspeed-visualchat-nine", "demo"} <= set(NAMES)
    assert {"concatenate", "image-match", "plain", "mix"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_recipe_loads_without_warnings_under_its_own_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.warnings == []
    assert list(recipe.variables) == ["data"]


def test_the_main_recipe_is_that_of_the_design():
    recipe = load_recipe("deepspeed-visualchat", ["data=/d"])
    assert list(recipe.images) == ["coco", "sparkles_cc", "sparkles_vg"]
    assert recipe.images["coco"] == "/d/coco/train2017"
    assert [(entry.name, entry.kind) for entry in recipe.blend] == [
        ("llava", "concatenate"),
        ("llava_dial", "concatenate"),
        ("otter_mimicit_cgd", "plain"),
        ("llava_otter_blend", "image_match"),
        ("sparkles_dialogue", "plain"),
    ]


def test_the_nine_datasets_of_the_paper_are_blended():
    recipe = load_recipe("deepspeed-visualchat-nine")
    assert [entry.name for entry in recipe.blend] == [
        "llava",
        "llava_dial",
        "otter_mimicit_cgd",
        "otter_mimicit_sd",
        "otter_mimicit_sn",
        "otter_mimicit_tvc",
        "otter_mimicit_vst",
        "llava_otter_blend",
        "sparkles_dialogue",
    ]


def test_demo_blends_as_the_main_recipe_does():
    demo, main = load_recipe("demo"), load_recipe("deepspeed-visualchat")
    assert demo.blend == main.blend
    assert demo.split.eval == 0.1
    assert demo.images["coco"] == "./visualchat-demo/corpus/coco/train2017"


def test_an_unknown_name_lists_what_is_shipped_and_suggests_the_nearest():
    with pytest.raises(RecipeError) as caught:
        load_recipe("deepspeed-visualcht")
    assert "did you mean 'deepspeed-visualchat'?" in str(caught.value)
    assert all(name in str(caught.value) for name in NAMES)


def test_a_file_in_the_way_does_not_take_a_shipped_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    assert load_recipe("demo").name == "demo"
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(Path("demo"))


def test_an_installed_package_finds_its_recipes_inside_itself(tmp_path, monkeypatch):
    from blender.recipe import shipped

    inside = tmp_path / "site" / "blender" / "_shipped" / "recipes"
    inside.mkdir(parents=True)
    (inside / "mine.yaml").write_text("name: mine")
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "site" / "blender" / "recipe" / "shipped.py"))
    assert list_shipped_recipes() == ["mine"]
