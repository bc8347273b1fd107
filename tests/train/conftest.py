"""A tiny blend, tiny parts, and recipes over them; runs in this process leave its environment as it was."""

import json

import pytest

from blender import load_recipe, open_blend, write_blend
from blender.train.tiny_models import make_tiny_parts
from tests import corpora
from tests.train import recipes


@pytest.fixture(autouse=True)
def _environment():
    with recipes.unchanged_environment():
        yield


def _add_text_only(recipe, root):
    """Add conversations about no image."""
    records = []
    for number in range(12):
        record = corpora.llava(number, "Only words.")
        del record["image"]
        record["conversations"][0]["value"] = f"What is {number} and one?"
        records.append(record)
    (root / "words.json").write_text(json.dumps(records))
    recipe["sources"]["words"] = {"format": "llava", "files": [str(root / "words.json")]}
    recipe["blend"].append({"name": "words", "from": "words"})


@pytest.fixture(scope="session")
def blend(tmp_path_factory):
    """A blend of six datasets, one of them without images."""
    root = corpora.write_corpus(tmp_path_factory.mktemp("train-corpus"), 24)
    recipe = load_recipe(corpora.write_recipe(root, lambda recipe: _add_text_only(recipe, root)))
    write_blend(recipe, root / "blend", workers=1)
    return root / "blend"


@pytest.fixture(scope="session")
def parts(blend, tmp_path_factory):
    """Folders of a language model and a vision tower."""
    opened = open_blend(blend)
    texts = ["".join(span.text for span in opened[row].sample.spans) for row in range(len(opened))]
    folder = tmp_path_factory.mktemp("parts")
    return make_tiny_parts(folder, texts, width=32, vocabulary=400, image_size=32)


@pytest.fixture(scope="session")
def content(blend, parts):
    """A recipe as plain data."""
    return recipes.content(blend, parts)


@pytest.fixture
def make(content):
    """Make a recipe with changes."""
    return lambda **changes: recipes.make(content, **changes)


@pytest.fixture(scope="session")
def whole(content, tmp_path_factory):
    """A run that nothing interrupted: its folder, and what it told."""
    from blender.train.run import train

    folder, told = tmp_path_factory.mktemp("whole") / "run", []
    with recipes.unchanged_environment():
        train(recipes.make(content), folder, told.append)
    return folder, told
