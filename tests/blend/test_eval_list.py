import json

import pytest

from blender import load_recipe, open_blend, write_blend
from blender.blend.plan import make_plan
from blender.core.errors import PlanError, RecipeError
from tests import corpora


@pytest.fixture
def listing(own_corpus):
    """Give a way to make a recipe over a corpus with a list of what is held out."""

    def make(text):
        path = own_corpus / "list.txt"
        path.write_text(text)

        def change(recipe):
            recipe["split"] = {"list": str(path)}
            recipe["blend"] = [entry for entry in recipe["blend"] if "image_match" not in entry]
            for entry in recipe["blend"]:
                entry.pop("concatenate", None)

        return load_recipe(corpora.write_recipe(own_corpus, change))

    return make


def held_out(plan):
    """Return the images and records of eval."""
    samples = plan.samples.filter(split="eval")
    names = {plan.images.named()["name"][image] for images in samples["images"] for image in images}
    records = {plan.tables.turns["record"][turn] for turns in samples["turns"] for turn in turns}
    return names, {"/".join(plan.ledger().select("source", "file", "record").row(record)) for record in records}


THREE = [corpora.coco_name(number) for number in (2, 18, 30)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(THREE),
        "\n".join(f"coco/{name}\n" for name in THREE),
        json.dumps(THREE),
        "\ufeff" + "\r\n".join(name.removesuffix(".jpg") for name in THREE),
        "\n".join(f"CGD_IMG_0000{name.removesuffix('.jpg')}" for name in THREE),
    ],
)
def test_listed_images_are_the_images_of_eval(listing, tmp_path, text):
    names, records = held_out(make_plan(listing(text), tmp_path))
    assert names == set(THREE)
    assert records >= {"llava/detail.json/000000000002", "llava/complex.json/000000000018"}


def test_listed_records_are_held_out_with_their_images(listing, tmp_path):
    plan = make_plan(listing("llava/detail.json/000000000003\n"), tmp_path)
    names, records = held_out(plan)
    assert names == {corpora.coco_name(3)}
    assert records >= {"llava/detail.json/000000000003", "llava_dial/conversation.json/000000000003"}


def test_what_shows_listed_images_and_others_is_dropped_and_told(listing, tmp_path):
    plan = make_plan(listing(corpora.coco_name(0)), tmp_path)
    straddling = plan.tables.conversations.filter(reason="straddles_split")["source"]
    assert {plan.tables.sources[source] for source in straddling} == {"cgd"}
    (warning,) = [warning for warning in plan.warnings if "straddles_split" in warning]
    assert "split: 1 conversation shows an image of each side and is lost (straddles_split): 1 of cgd" in warning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"{THREE[0]}\nnobody.jpg\nllava/detail.json/nobody\n",
            r"lists 2 that are no image .* the first is 'nobody.jpg'",
        ),
        ("", "lists nothing"),
        ("[]", "lists nothing"),
        ('["a.jpg", 3]', "neither lines of text nor a JSON list"),
        ('["a.jpg"', "neither lines of text nor a JSON list"),
    ],
)
def test_a_list_that_cannot_be_followed_is_an_error(listing, tmp_path, text, message):
    with pytest.raises(PlanError, match=message):
        make_plan(listing(text), tmp_path)


def test_a_list_that_is_not_there_is_a_fault_of_the_recipe_with_its_line(listing, tmp_path, own_corpus):
    recipe = listing("x")
    (own_corpus / "list.txt").unlink()
    with pytest.raises(RecipeError, match=r"line \d+: split.list: there is no"):
        make_plan(recipe, tmp_path)


def test_what_a_list_says_decides_the_blend_and_not_where_it_lies(listing, tmp_path, own_corpus):
    recipe = listing(THREE[0])
    write_blend(recipe, tmp_path / "blend", workers=1)
    assert open_blend(tmp_path / "blend").manifest.fingerprint == make_plan(recipe, tmp_path).fingerprint
    (own_corpus / "list.txt").rename(own_corpus / "moved.txt")
    moved = load_recipe(own_corpus / "recipe.yaml", [f"split.list={own_corpus / 'moved.txt'}"])
    assert make_plan(moved, tmp_path).fingerprint == make_plan(listing(f"{THREE[0]}"), tmp_path).fingerprint
    assert make_plan(listing(THREE[1]), tmp_path).fingerprint != make_plan(moved, tmp_path).fingerprint
