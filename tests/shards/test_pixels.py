"""One level of looking at images for a blend and its verification, and what is done about those that are damaged."""

import json

import fsspec
import msgspec
import polars as pl
import pytest

from blender import load_recipe, make_plan, open_blend, verify_blend, write_blend
from blender.blend.without import read_without
from blender.core.errors import FolderError, PlanError
from blender.shards.verify import DamagedMember
from tests import corpora
from tests.cli.test_commands import run
from tests.data.images.pictures import picture

#: a hole of zeros (seen under auto) and a cut with an end mark behind it (seen under decode)
PHOTO = picture(size=(200, 150), quality=95)
HOLE = PHOTO[:8_000] + bytes(4_000) + PHOTO[12_000:]
CUT = PHOTO[:12_000].rstrip(b"\xff") + b"\xff\xd9"
HOLED, SHORT = corpora.coco_name(2), corpora.coco_name(4)


@pytest.fixture
def damaged_recipe(tmp_path):
    """A recipe over a corpus of which two pictures are damaged."""
    corpora.write_corpus(tmp_path, num_images=12)
    (tmp_path / "coco" / HOLED).write_bytes(HOLE)
    (tmp_path / "coco" / SHORT).write_bytes(CUT)
    return corpora.write_recipe(tmp_path, lambda recipe: recipe.update(limits={"dropped": "100%"}))


def blend_under(level, recipe, out):
    write_blend(load_recipe(recipe, [f"pixels.check={level}"]), out, workers=1)
    return open_blend(out)


def damage_in(out, level=None) -> set[tuple[str, str, str]]:
    verdicts = verify_blend(out, workers=1, check=level)
    found = [image for verdict in verdicts for image in verdict.damaged]
    assert bool(found) == bool([problem for verdict in verdicts for problem in verdict.problems])
    return {(image.store, image.name, image.reason) for image in found}


@pytest.mark.parametrize(("level", "dropped"), [("header", set()), ("auto", {HOLED}), ("decode", {HOLED, SHORT})])
def test_each_level_drops_what_it_sees_and_verify_under_it_finds_no_more(damaged_recipe, tmp_path, level, dropped):
    blend = blend_under(level, damaged_recipe, tmp_path / "out")
    shown = {image.name for stored in blend for image in stored.sample.images}
    assert {HOLED, SHORT} - shown == dropped
    assert blend.manifest.pixel_check == blend.manifest.recipe["pixels"]["check"] == level
    assert f"`pixels.check: {level}`" in (tmp_path / "out" / "README.md").read_text()
    assert damage_in(tmp_path / "out") == damage_in(tmp_path / "out", level) == set()
    reasons = set(blend.ledger.filter(pl.col("num_samples") == 0)["reason"])
    assert ("image_damaged" in reasons) == bool(dropped)


def test_auto_is_the_default(damaged_recipe):
    assert load_recipe(damaged_recipe).pixels.check == "auto"


def test_a_closer_level_of_verify_finds_what_the_blend_did_not_look_for(damaged_recipe, tmp_path):
    blend_under("header", damaged_recipe, tmp_path / "out")
    assert damage_in(tmp_path / "out", "auto") == {("coco", HOLED, "damaged")}
    assert damage_in(tmp_path / "out", "decode") == {("coco", HOLED, "damaged"), ("coco", SHORT, "damaged")}


def test_verify_names_key_and_member_of_a_damaged_image(damaged_recipe, tmp_path):
    blend = blend_under("header", damaged_recipe, tmp_path / "out")
    for verdict in verify_blend(tmp_path / "out", workers=1, check="auto"):
        for image in verdict.damaged:
            assert isinstance(image, DamagedMember)
            sample = blend[image.key].sample
            number = int(image.member.split(".image")[1].split(".")[0])
            assert sample.images[number - 1].name == image.name
            assert image.detail in " ".join(verdict.problems)


def test_a_blend_of_a_version_without_levels_opens_and_is_verified_by_auto(damaged_recipe, tmp_path):
    blend_under("header", damaged_recipe, tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["pixel_check"], manifest["recipe"]["pixels"]
    path.write_text(json.dumps(manifest))
    assert open_blend(tmp_path / "out").manifest.pixel_check is None
    assert damage_in(tmp_path / "out") == {("coco", HOLED, "damaged")}


def test_verify_keeps_to_the_limits_of_the_recipe(damaged_recipe, tmp_path):
    write_blend(load_recipe(damaged_recipe, ["pixels.check=header", "limits.image_pixels=30000"]), tmp_path / "out")
    assert damage_in(tmp_path / "out") == set()
    path = tmp_path / "out" / "manifest.json"
    path.write_text(path.read_text().replace('"image_pixels": 30000', '"image_pixels": 29999'))
    assert {reason for _, _, reason in damage_in(tmp_path / "out")} == {"too_many_pixels"}


def test_a_blend_is_made_again_without_what_verify_lists(damaged_recipe, tmp_path):
    out, listed = tmp_path / "out", tmp_path / "damaged.json"
    level = ("--set", "pixels.check=header")
    run("blend", damaged_recipe, "--out", out, *level)
    text, _ = run("verify", out, "--level", "decode", "--json", code=1)
    report = json.loads(text)
    assert (report["ok"], report["level"]) == (False, "decode")
    assert {entry["reason"] for entry in report["damaged"]} == {"damaged"}
    assert set(report["damaged"][0]) == {"key", "member", "store", "name", "reason", "detail"}
    listed.write_text(text)
    again, _ = run("blend", damaged_recipe, "--out", out, *level, "--without", listed, "--overwrite", "--json")
    assert json.loads(again)["ledger"]["dropped"]["image_listed_damaged"] > 0
    assert "all well" in run("verify", out, "--level", "decode")[0]


def test_what_is_left_out_is_in_the_ledger_and_part_of_the_fingerprint(damaged_recipe, tmp_path):
    recipe = load_recipe(damaged_recipe, ["pixels.check=header"])
    plans = []
    for number, without in enumerate([set(), {("coco", HOLED)}, {("coco", SHORT)}]):
        (tmp_path / str(number)).mkdir()
        plans.append(make_plan(recipe, tmp_path / str(number), without=without))
    assert len({plan.fingerprint for plan in plans}) == 3
    ledger = plans[1].ledger().filter(pl.col("reason") == "image_listed_damaged")
    assert ledger.height
    assert all(HOLED in detail for detail in ledger["detail"])


def test_images_to_leave_out_that_nothing_shows_are_a_warning(damaged_recipe, tmp_path):
    plan = make_plan(load_recipe(damaged_recipe), tmp_path, without={("coco", "x.jpg"), ("coco", SHORT)})
    assert [warning for warning in plan.warnings if "coco/x.jpg" in warning and "1 of the 2 images" in warning]


def test_a_list_may_be_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("coco/a b.jpg\n\n  coco/train/c.jpg\r\nsparkles/1.jpg")
    assert read_without(path) == {("coco", "a b.jpg"), ("coco", "train/c.jpg"), ("sparkles", "1.jpg")}
    path.write_bytes(msgspec.json.encode([{"store": "coco", "name": "a.jpg", "reason": "damaged"}]))
    assert read_without(path) == {("coco", "a.jpg")}
    fsspec.filesystem("memory").pipe("/lists/without.json", path.read_bytes())
    assert read_without("memory://lists/without.json") == {("coco", "a.jpg")}
    with pytest.raises(PlanError, match="memory://lists/gone cannot be read"):
        read_without("memory://lists/gone")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"coco/a.jpg\na.jpg\n", "line 2: 'a.jpg' is no store/name"),
        (b'{"damaged": [', "not valid JSON"),
        (b'{"problems": []}', "has no list 'damaged'"),
        (b'{"damaged": [{"store": "coco"}]}', "entry 1 has no 'store' and 'name'"),
        (b'["coco/a.jpg"]', "entry 1 has no 'store' and 'name'"),
        (b"\xff\xfe\0", "not UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused_in_a_sentence(tmp_path, content, words):
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=words):
        read_without(path)
    with pytest.raises(PlanError, match="cannot be read"):
        read_without(tmp_path / "nowhere")


def test_another_level_is_another_blend(damaged_recipe, tmp_path):
    blend_under("header", damaged_recipe, tmp_path / "out")
    with pytest.raises(FolderError):
        blend_under("auto", damaged_recipe, tmp_path / "out")
