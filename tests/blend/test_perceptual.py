import numpy as np
import pytest
from PIL import Image

from blender import load_recipe, open_blend, write_blend
from blender.blend.plan import make_plan
from tests import corpora

NUM = 12


@pytest.fixture
def recipe(tmp_path):
    """Make a recipe over pictures and copies of them, compressed and smaller."""
    records = []
    for number in range(NUM):
        coarse = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)
        (tmp_path / "coco").mkdir(exist_ok=True)
        picture.save(tmp_path / "coco" / corpora.coco_name(number), quality=90)
        picture.resize((160, 120)).save(tmp_path / "coco" / corpora.coco_name(number + NUM), quality=40)
        records += [corpora.llava(number), corpora.llava(number + NUM)]
    # as many pictures without any shape
    for number in range(2 * NUM, 3 * NUM):
        Image.new("RGB", (64, 48), (20 * (number % 2), 0, number)).save(tmp_path / "coco" / corpora.coco_name(number))
        records.append(corpora.llava(number))
    return lambda **split: _recipe(tmp_path, records, split)


def _recipe(root, records, split):
    import json

    (root / "llava.json").write_text(json.dumps(records))

    def change(recipe):
        recipe.clear()
        recipe |= {
            "name": "looks",
            "images": {"coco": str(root / "coco")},
            "sources": {"llava": {"format": "llava", "files": str(root / "llava.json"), "images": "coco"}},
            "blend": [{"name": "llava", "from": "llava"}],
            "split": {"eval": 0.4, **split},
        }

    return load_recipe(corpora.write_recipe(root, change))


def sides_of(folder):
    sides = {}
    for stored in open_blend(folder):
        for image in stored.sample.images:
            sides[int(image.name[:-4])] = stored.split
    return sides


def test_copies_that_look_the_same_stay_on_one_side_when_asked(recipe, tmp_path):
    write_blend(recipe(perceptual=6), tmp_path / "blend", workers=2)
    sides = sides_of(tmp_path / "blend")
    assert set(sides.values()) == {"train", "eval"} == {sides[number] for number in range(NUM)}
    assert all(sides[number] == sides[number + NUM] for number in range(NUM))
    assert {sides[number] for number in range(2 * NUM, 3 * NUM)} == {"train", "eval"}, "plain colours are no copies"


def test_without_being_asked_they_are_different_images(recipe, tmp_path):
    sides = set()
    plan = make_plan(recipe(), tmp_path)
    for images, split in plan.samples.select("images", "split").iter_rows():
        sides |= {(int(plan.images.named()["name"][image][:-4]) % NUM, split) for image in images}
    assert len(sides) > NUM
