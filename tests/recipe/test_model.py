import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blender.recipe import recipe_from
from tests.recipe.examples import GOOD, load

DATA = {
    "name": "good",
    "sources": {"a": {"format": "llava", "files": "a.json"}, "b": {"format": "sparkles", "files": ["b.json"]}},
    "blend": [{"name": "one", "from": ["a", "b"]}],
}


def test_defaults_are_those_of_the_design():
    recipe = recipe_from(DATA)
    assert (recipe.template, recipe.limits.images, recipe.limits.image_tokens) == ("deepspeed-visualchat", 8, 256)
    assert (recipe.limits.image_pixels, recipe.limits.image_bytes) == (100_000_000, 100_000_000)
    assert (recipe.split.eval, recipe.split.by) == (0.01, "image")
    assert (recipe.shards.max_samples, recipe.shards.max_bytes) == (1000, 1_000_000_000)


def test_entries_know_their_kind_and_their_sources(tmp_path):
    one, two = load(tmp_path, GOOD).blend
    assert (one.kind, one.sources, one.concatenate) == ("concatenate", ("llava",), (1, 3))
    assert (two.kind, two.sources) == ("image_match", ("cgd", "llava"))


def test_a_recipe_cannot_be_changed(tmp_path):
    with pytest.raises(ValidationError):
        load(tmp_path, GOOD).seed = 3


@given(number=st.integers(1, 4000), unit=st.sampled_from([("kB", 10**3), ("MB", 10**6), ("GB", 10**9), ("MiB", 2**20)]))
def test_sizes_are_bytes_in_decimal_units(number, unit):
    recipe = recipe_from({**DATA, "shards": {"max_bytes": f"{number}{unit[0]}"}})
    assert recipe.shards.max_bytes == number * unit[1]


@pytest.mark.parametrize(("said", "share"), [("5%", 0.05), ("100%", 1.0), (0, 0.0), (1, 1.0), (0.125, 0.125)])
def test_what_may_be_dropped_is_a_share_or_a_percentage(said, share):
    assert recipe_from({**DATA, "limits": {"dropped": said}}).limits.dropped == share


def test_sources_and_stores_that_nothing_uses_are_warnings(tmp_path):
    text = GOOD.replace("images:\n", "images:\n  spare: x.zip\n", 1).replace("with: [llava]", "with: cgd")
    text = text.replace("from: llava", "from: cgd")
    assert load(tmp_path, text).warnings == [
        "source 'llava' is used by no entry of the blend",
        "image store 'spare' is used by no source",
    ]


def test_resolved_is_plain_json_with_variables_written_out_and_defaults_filled_in(tmp_path):
    resolved = load(tmp_path, GOOD, ["data=/mnt"]).resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    assert "variables" not in resolved
    assert resolved["sources"]["llava"] == {"format": "llava", "files": ["/mnt/llava.json"], "images": "coco"}
    assert resolved["blend"][0] == {"name": "one", "from": ["llava"], "concatenate": [1, 3]}
    assert resolved["limits"] == {
        "images": 8,
        "image_tokens": 256,
        "image_pixels": 100_000_000,
        "image_bytes": 100_000_000,
        "dropped": 0.05,
        "cut": True,
    }


def test_resolved_is_a_recipe_of_its_own(tmp_path):
    recipe = load(tmp_path, GOOD)
    assert recipe_from(recipe.resolved()).hash() == recipe.hash()


def test_the_hash_changes_on_purpose_only():
    assert recipe_from(DATA).hash() == "2bdd1f416325ed24b45db6e2d4cc0175f23c2a26e8938cdce286bef357de61e1"


@given(st.permutations(list(yaml.safe_load(GOOD).items())))
def test_the_hash_does_not_depend_on_the_order_of_keys(items):
    assert recipe_from(dict(items)).hash() == recipe_from(yaml.safe_load(GOOD)).hash()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: good", "# said twice\nname: 'good'"),
        ("name: good", "name: good\nlimits: {dropped: 12.5%}"),
        ("name: good", "name: good\nlimits: {cut: false}"),
        ("name: good", "name: good\nseed: 0\nlimits: {images: 8, image_bytes: 100MB}\nshards: {max_bytes: 1GB}"),
        ("{data: ./data}", "{data: '${root}/data', root: '.', unused: 3}"),
        ("from: llava", "from: [llava]"),
        ("coco: ${data}/coco", "coco: ./data/coco"),
    ],
)
def test_the_hash_is_the_same_for_the_same_samples(tmp_path, old, new):
    assert load(tmp_path, GOOD.replace(old, new)).hash() == load(tmp_path, GOOD).hash()


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "seed=1",
        "data=/mnt",
        "template=plain",
        "blend.one.concatenate=[1, 2]",
        "blend.one.repeat=2",
        "blend.two.samples=50%",
        "limits.images=7",
        "limits.image_pixels=10",
        "split.by=sample",
        "split.eval=0.1",
        "shards.max_samples=10",
    ],
)
def test_the_hash_differs_where_samples_or_shards_may(tmp_path, override):
    assert load(tmp_path, GOOD, [override]).hash() != load(tmp_path, GOOD).hash()


def test_the_hash_depends_on_the_order_of_sources():
    turned = {**DATA, "sources": dict(reversed(DATA["sources"].items()))}
    assert recipe_from(turned).hash() != recipe_from(DATA).hash()
