"""Which images are one: by name, by alias, by bytes, in stores of every kind."""

import base64
import json
import shutil
import tarfile
import zipfile

import polars as pl
import pytest

from blender import load_recipe, open_blend, write_blend
from blender.blend.plan import make_plan
from blender.blend.refusal import LossError
from blender.blend.summary import summarise
from blender.core.errors import ShardError
from blender.shards.blend import WriteProgress
from tests import corpora

NUM = 20


def records(spell, numbers=range(NUM)):
    return [{**corpora.llava(number, f"In {spell(0)}."), "image": spell(number)} for number in numbers]


def pack(kind, folder, root):
    """Pack the images of a folder into a store of some kind."""
    files = sorted(folder.iterdir())
    if kind == "folder":
        return shutil.copytree(folder, root / "packed")
    path = root / f"packed.{kind}"
    encoded = [base64.b64encode(file.read_bytes()).decode() for file in files]
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"inside/{file.name}")
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, file.name)
    elif kind == "json":
        path.write_text(json.dumps({file.stem: text for file, text in zip(files, encoded, strict=True)}))
    else:
        names = [f"CGD_IMG_{file.stem}" for file in files]
        pl.DataFrame({"base64": encoded, "index": names}).write_parquet(path)
    return path


def recipe_of(root, stores, sources, **changes):
    for name, (_, content) in sources.items():
        (root / f"{name}.json").write_text(json.dumps(content))
    recipe = {
        "name": "same",
        "images": {name: str(store) if not isinstance(store, dict) else store for name, store in stores.items()},
        "sources": {
            name: {
                "format": "llava" if isinstance(content, list) else "mimicit",
                "files": str(root / f"{name}.json"),
                "images": store,
            }
            for name, (store, content) in sources.items()
        },
        "blend": [{"name": name, "from": name} for name in sources],
        "split": {"eval": 0.3},
    }
    return load_recipe(corpora.write_recipe(root, lambda old: (old.clear(), old.update(recipe | changes))))


@pytest.fixture
def coco(tmp_path):
    for number in range(NUM):
        corpora.draw(tmp_path / "coco" / corpora.coco_name(number), number)
    return tmp_path / "coco"


def contents_of(plan):
    """Return the numbers of each content, as lists of (store, name)."""
    rows = plan.images.named().select("content", "store", "name").iter_rows()
    found = {}
    for content, store, name in rows:
        found.setdefault(content, []).append((store, name))
    return sorted(found.values())


def shared_bytes(folder):
    """Return the image bytes that stand in both splits of a blend."""
    sides = {"train": set(), "eval": set()}
    for stored in open_blend(folder):
        sides[stored.split] |= set(stored.images)
    assert all(sides.values())
    return sides["train"] & sides["eval"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "json", "parquet"])
def test_equal_bytes_in_two_stores_are_one_image(coco, tmp_path, kind):
    stores = {"coco": coco, "packed": pack(kind, coco, tmp_path)}
    sources = {
        "one": ("coco", records(corpora.coco_name)),
        "other": ("packed", records(lambda number: corpora.coco_name(number)[:-4])),
    }
    recipe = recipe_of(tmp_path, stores, sources)
    plan = make_plan(recipe, tmp_path)
    assert [len(names) for names in contents_of(plan)] == [2] * NUM
    assert summarise(plan).repeats_per_image == {2: NUM}
    write_blend(recipe, tmp_path / "blend", workers=1)
    assert not shared_bytes(tmp_path / "blend")


def test_a_copy_under_another_name_is_the_same_image_and_one_that_differs_in_the_middle_is_not(tmp_path):
    big = tmp_path / "coco" / "a.jpg"
    corpora.draw(big, 1, size=(1200, 900))
    shutil.copy(big, tmp_path / "coco" / "copy.jpg")
    content = bytearray(big.read_bytes())
    assert len(content) > 40_000
    content[len(content) // 2] ^= 1
    (tmp_path / "coco" / "differs.jpg").write_bytes(content)
    names = ["differs.jpg", "copy.jpg", "a.jpg"]
    plan = make_plan(
        recipe_of(tmp_path, {"coco": tmp_path / "coco"}, {"one": ("coco", records(names.__getitem__, range(3)))}),
        tmp_path,
    )
    assert plan.images.table["sketch"].n_unique() == 1
    assert contents_of(plan) == [[("coco", "copy.jpg"), ("coco", "a.jpg")], [("coco", "differs.jpg")]]


def test_two_spellings_of_one_file_are_one_image_even_when_none_is_opened(coco, tmp_path):
    sources = {
        "one": ("coco", records(corpora.coco_name)),
        "other": ("coco", records(lambda number: f"CGD_IMG_{number:016d}")),
    }
    plan = make_plan(recipe_of(tmp_path, {"coco": coco}, sources), tmp_path, look=False)
    assert [len(names) for names in contents_of(plan)] == [2] * NUM


def test_without_opening_images_equal_bytes_are_not_seen_and_the_plan_says_so(coco, tmp_path):
    stores = {"coco": coco, "packed": pack("folder", coco, tmp_path)}
    sources = {name: (name, records(corpora.coco_name)) for name in stores}
    plan = make_plan(recipe_of(tmp_path, stores, sources), tmp_path, look=False)
    assert [len(names) for names in contents_of(plan)] == [1] * (2 * NUM)
    assert any("images were not opened" in warning for warning in plan.warnings)


def matched(coco, tmp_path, store):
    """Make a recipe that matches CGD's pairs, from a store of their own, with LLaVA's images of COCO."""
    sources = {
        "cgd": ("cgd", corpora.cgd([(number, number + 1) for number in range(0, NUM, 2)])),
        "llava": ("coco", records(corpora.coco_name)),
    }
    entry = {"name": "matched", "image_match": {"base": "cgd", "with": "llava"}}
    return recipe_of(tmp_path, {"coco": coco, "cgd": store}, sources, blend=[entry], split={"eval": 0})


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_images_are_matched_between_stores_by_their_bytes(coco, tmp_path, kind):
    plan = make_plan(matched(coco, tmp_path, pack(kind, coco, tmp_path)), tmp_path)
    assert plan.samples.height == NUM // 2
    shown = plan.images.named()[plan.samples["images"].explode()]
    assert shown["store"].unique().to_list() == ["cgd"], "the base's own images are shown"
    assert set(plan.samples["images"].list.len()) == {2}


def encoded_anew(coco, tmp_path):
    for number in range(NUM):
        corpora.draw(tmp_path / "anew" / corpora.coco_name(number), number, size=(24, 16))
    return pack("parquet", tmp_path / "anew", tmp_path)


def test_images_that_were_encoded_anew_are_matched_where_the_recipe_says_that_stores_are_the_same(coco, tmp_path):
    store = {"path": str(encoded_anew(coco, tmp_path)), "same_as": "coco"}
    recipe = matched(coco, tmp_path, store)
    assert make_plan(recipe, tmp_path).samples.height == NUM // 2
    assert make_plan(recipe, tmp_path, look=False).samples.height == NUM // 2


def test_a_match_of_nothing_between_stores_says_how_to_make_them_the_same(coco, tmp_path):
    recipe = matched(coco, tmp_path, encoded_anew(coco, tmp_path))
    blend = [*recipe.resolved()["blend"], {"name": "llava", "from": "llava"}]
    recipe = load_recipe(
        corpora.write_recipe(tmp_path, lambda old: (old.clear(), old.update(recipe.resolved() | {"blend": blend})))
    )
    with pytest.raises(LossError, match="blend entry matched: none of its 10 conversations is left") as caught:
        make_plan(recipe, tmp_path)
    assert "images: {cgd: {path: …, same_as: coco}}" in caught.value.hint


def test_an_image_that_becomes_another_while_the_blend_is_written_fails_it(tmp_path):
    for number in range(NUM):
        corpora.draw(tmp_path / "coco" / corpora.coco_name(number), number)
    files = sorted((tmp_path / "coco").iterdir())
    longest = max(file.stat().st_size for file in files)
    for file in files:
        file.write_bytes(file.read_bytes().ljust(longest, b"\0"))
    recipe = recipe_of(tmp_path, {"coco": tmp_path / "coco"}, {"one": ("coco", records(corpora.coco_name))})

    def change(plan, *_):
        """Give an image of eval the bytes of one of train."""
        one, other = (
            plan.images.named()["name"][plan.samples.filter(pl.col("split") == split)["images"][0][0]]
            for split in ("train", "eval")
        )
        shutil.copy(tmp_path / "coco" / one, tmp_path / "coco" / other)

    with pytest.raises(ShardError, match=r"1 images of eval are in train, too: .* of store coco has the bytes of"):
        write_blend(recipe, tmp_path / "blend", workers=1, progress=WriteProgress(on_plan=change))
    write_blend(recipe, tmp_path / "blend", workers=1)
    assert not shared_bytes(tmp_path / "blend")


def test_the_same_shards_come_of_any_number_of_workers(coco, tmp_path):
    stores = {"coco": coco, "packed": pack("tar", coco, tmp_path)}
    sources = {name: (name, records(corpora.coco_name)) for name in stores}
    recipe = recipe_of(tmp_path, stores, sources)
    for workers in (1, 3):
        write_blend(recipe, tmp_path / f"by{workers}", workers=workers)
    assert corpora.contents(tmp_path / "by1") == corpora.contents(tmp_path / "by3")
