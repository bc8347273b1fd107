"""A preview shows samples as they will be written."""

import shutil

import pytest

from blender.blend.plan import make_plan
from blender.core.errors import InspectionError
from blender.data.sample import Sample
from blender.inspect.preview import preview_rows, preview_samples
from blender.recipe import load_recipe
from tests import corpora


@pytest.fixture(scope="module")
def plan(recipe_path, tmp_path_factory):
    return make_plan(load_recipe(str(recipe_path), []), tmp_path_factory.mktemp("plan"), look=False)


def test_every_sample_is_the_one_that_is_written(blend, plan):
    made = preview_samples(plan, range(plan.samples.height))
    assert len(made) == len(blend)
    for one in made:
        stored = blend[one.sample.key]
        assert isinstance(one.sample, Sample)
        assert one.sample == stored.sample
        assert tuple(image.content for image in one.images) == stored.images
        assert (one.split, one.shard) == (stored.split, stored.shard)


def test_samples_are_named_by_key_and_by_number(plan):
    keys = plan.keys().to_list()
    assert preview_rows(plan, sample=keys[5], num=1, seed=0) == [5]
    assert preview_rows(plan, sample="5", num=1, seed=0) == [5]
    of_cgd = [row for row, name in enumerate(plan.samples["dataset"]) if name == "cgd"]
    assert preview_rows(plan, sample="1", dataset="cgd", num=1, seed=0) == [of_cgd[1]]
    assert preview_rows(plan, sample=keys[of_cgd[2]], dataset="cgd", num=1, seed=0) == [of_cgd[2]]


def test_the_seed_decides_which_are_drawn(plan):
    drawn = {seed: preview_rows(plan, num=4, seed=seed) for seed in range(8)}
    assert drawn[3] == preview_rows(plan, num=4, seed=3)
    assert len({tuple(rows) for rows in drawn.values()}) > 1
    assert {plan.samples["dataset"][row] for row in preview_rows(plan, dataset="llava", num=3, seed=0)} == {"llava"}


@pytest.mark.parametrize("options", [{"sample": "9999"}, {"sample": "train-1"}, {"dataset": "cats"}])
def test_what_is_not_planned_is_told(plan, options):
    with pytest.raises(InspectionError):
        preview_rows(plan, num=1, seed=0, **options)
    with pytest.raises(InspectionError):
        preview_rows(plan, num=1, seed=0, sample="0", dataset="cats")


def test_images_that_are_not_there_are_told_and_the_text_is_shown(own_corpus, tmp_path):
    shutil.rmtree(own_corpus / "sparkles")
    (own_corpus / "coco" / corpora.coco_name(0)).write_bytes(b"\xff\xd8\xff no more")
    recipe = load_recipe(str(corpora.write_recipe(own_corpus)), [])
    plan = make_plan(recipe, tmp_path, look=False)
    faults = {}
    for made in preview_samples(plan, range(plan.samples.height)):
        for fact, image in zip(made.sample.images, made.images, strict=True):
            assert (image.content is None) == (image.fault is not None)
            faults[fact.store, fact.name] = image.fault
    of_sparkles = [fault for (store, _), fault in faults.items() if store == "sparkles"]
    assert of_sparkles
    assert all("does not exist" in fault for fault in of_sparkles)
    assert corpora.coco_name(0) in faults["coco", corpora.coco_name(0)]
    assert faults["coco", corpora.coco_name(2)] is None
