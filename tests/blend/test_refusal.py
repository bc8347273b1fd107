"""What a plan may not lose, over small corpora on disk."""

import json
import pickle

import pytest

from blender import load_recipe, make_plan, summarise, write_blend
from blender.blend.reasons import is_fault
from blender.blend.refusal import LossError
from tests import corpora


def record(number, **changes):
    return {**corpora.llava(number), **changes}


def text(number):
    """Make a record without an image that its reader knows of."""
    turns = [{"from": "human", "value": f"What is {number}?"}, {"from": "gpt", "value": "A number."}]
    return {"id": f"text {number}", "conversations": turns}


@pytest.fixture
def recipe_of(tmp_path):
    """Write LLaVA records by source, with pictures 0 to 19 in the store; return the recipe."""

    def write(sources, *overrides, **keys):
        for number in range(20):
            corpora.draw(tmp_path / "photos" / corpora.coco_name(number), number)
        for name, records in sources.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(records))
        recipe = {
            "name": "small",
            "images": {"photos": str(tmp_path / "photos")},
            "sources": {
                name: {"format": "llava", "files": str(tmp_path / f"{name}.json"), "images": "photos"}
                for name in sources
            },
            "blend": [{"name": f"entry_{name}", "from": name} for name in sources],
            "split": {"eval": 0},
            **keys,
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        return load_recipe(tmp_path / "recipe.yaml", list(overrides))

    return write


def lost(num_records, num_lost):
    """Make records of which some show a picture that is not in the store."""
    return [record(number if number >= num_lost else 100 + number) for number in range(num_records)]


def test_a_source_may_lose_more_or_less_than_the_others(recipe_of, tmp_path):
    sources = {"llava": lost(19, 1), "other": lost(10, 2)}
    allowed = recipe_of(sources, "limits.dropped=10%", "sources.other.dropped=20%")
    assert make_plan(allowed, tmp_path).refusal is None
    assert allowed.hash() == recipe_of(sources).hash(), "it changes no sample"
    with pytest.raises(LossError) as caught:
        make_plan(recipe_of(sources, "limits.dropped=50%", "sources.other.dropped=10%"), tmp_path)
    sentence = "source other loses 2 of 10 records (20.0%) to faults, and sources.other.dropped allows 10%"
    assert sentence in caught.value.message
    assert "--set sources.other.dropped=100%" in caught.value.hint


def test_more_faults_than_allowed_refuse_the_blend_before_a_byte_is_written(recipe_of, tmp_path):
    recipe = recipe_of({"llava": lost(19, 1)})
    with pytest.raises(LossError) as caught:
        write_blend(recipe, tmp_path / "out", workers=1)
    message = caught.value.message
    assert (
        "source llava loses 1 of 19 records (5.3%) to faults, and limits.dropped allows 5%: 1 × image_missing"
        in message
    )
    assert "such as llava.json/000000000100: 000000000100.jpg is not in image store photos" in message
    assert "limits.dropped=100%" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("allowed", ["6%", "0.06", "100%"])
def test_as_many_faults_as_allowed_are_left_out(recipe_of, allowed, tmp_path):
    plan = make_plan(recipe_of({"llava": lost(19, 1)}, f"limits.dropped={allowed}"), tmp_path)
    assert plan.samples.height == 18
    assert [(loss.reason, loss.records, loss.fault) for loss in plan.losses] == [("image_missing", 1, True)]


def test_a_share_that_is_just_reached_is_allowed(recipe_of, tmp_path):
    assert make_plan(recipe_of({"llava": lost(20, 1)}), tmp_path).samples.height == 19


def test_every_source_is_judged_by_itself(recipe_of, tmp_path):
    with pytest.raises(LossError, match="source few loses 1 of 2 records") as caught:
        make_plan(recipe_of({"many": lost(20, 0) * 5, "few": lost(2, 1)}), tmp_path)
    assert "source many" not in caught.value.message


def test_what_the_reader_could_not_use_is_a_fault_too(recipe_of, tmp_path):
    broken = [record(number, conversations=record(number)["conversations"][:1]) for number in range(3)]
    with pytest.raises(LossError, match=r"source llava loses 3 of 10 records \(30.0%\).*3 × odd_turns"):
        make_plan(recipe_of({"llava": [*broken, *lost(7, 0)]}), tmp_path)


def test_reasons_that_nobody_knows_are_faults():
    assert is_fault("unread_media")
    assert not is_fault("too_many_tokens")


def test_what_the_recipe_asks_to_leave_out_is_no_fault(recipe_of, tmp_path):
    long = [corpora.llava(number, "word " * 100) for number in range(10)]
    recipe = recipe_of({"llava": [*long, *lost(20, 0)]}, "limits.characters=200", "split.eval=0.3")
    plan = make_plan(recipe, tmp_path)
    assert {loss.reason: loss.fault for loss in plan.losses}["too_many_characters"] is False
    assert plan.refusal is None


def test_a_source_with_a_store_that_shows_not_one_image_is_told(recipe_of, tmp_path):
    with pytest.raises(LossError) as caught:
        make_plan(recipe_of({"llava": [{**text(number), "asset": 7} for number in range(4)]}), tmp_path)
    assert caught.value.message == (
        "recipe small: source llava names image store photos, and none of its 4 records shows an image"
    )
    assert "leave `images` out" in caught.value.hint


def test_a_source_of_texts_without_a_store_is_fine(recipe_of, tmp_path):
    recipe = recipe_of({"llava": list(map(text, range(4)))}, "sources.llava.images=null")
    assert make_plan(recipe, tmp_path).samples.height == 4


def test_a_source_that_lost_all_its_images_is_told_however_much_may_be_dropped(recipe_of, tmp_path):
    recipe = recipe_of({"llava": [*map(text, range(4)), *lost(3, 3)]}, "limits.dropped=100%")
    with pytest.raises(LossError, match="source llava: all 3 conversations with images are lost: 3 × image_missing"):
        make_plan(recipe, tmp_path)


def test_an_entry_whose_records_are_all_lost_is_named_with_the_reasons(recipe_of, tmp_path):
    recipe = recipe_of({"good": lost(5, 0), "bad": lost(3, 3)}, "limits.dropped=100%")
    with pytest.raises(LossError) as caught:
        make_plan(recipe, tmp_path)
    assert "blend entry entry_bad: none of its 3 records is left: 3 × image_missing" in caught.value.message
    assert "entry_good" not in caught.value.message


def test_an_entry_that_limits_empty_is_named_too(recipe_of, tmp_path):
    long = [corpora.llava(number, "word " * 100) for number in range(3)]
    with pytest.raises(
        LossError, match="blend entry entry_long: none of its 3 records is left: 3 × too_many_characters"
    ):
        make_plan(recipe_of({"good": lost(5, 0), "long": long}, "limits.characters=200"), tmp_path)


def test_an_image_match_without_a_match_is_named(recipe_of, tmp_path):
    two = [{**record(number), "image": [corpora.coco_name(number), corpora.coco_name(number + 1)]} for number in (0, 2)]
    for each in two:
        each["conversations"][0]["value"] = "<image>\n<image>\nCompare."
    blend = [{"name": "matched", "image_match": {"base": "two", "with": ["one"]}}, {"name": "one", "from": "one"}]
    with pytest.raises(LossError, match="blend entry matched: none of its 2 conversations is left: 2 × no_match"):
        make_plan(recipe_of({"two": two, "one": [record(9), record(10)]}, blend=blend), tmp_path)


def test_an_entry_of_which_the_recipe_takes_next_to_nothing_is_a_warning(recipe_of, tmp_path):
    recipe = recipe_of({"good": lost(5, 0), "spared": lost(3, 0)}, "blend.entry_spared.repeat=0.1")
    plan = make_plan(recipe, tmp_path)
    assert "blend entry entry_spared gives no sample" in plan.warnings


def test_a_plan_that_is_refused_can_still_be_looked_at(recipe_of, tmp_path):
    plan = make_plan(recipe_of({"llava": lost(4, 4)}), tmp_path, refuse=False)
    summary = summarise(plan)
    assert "nothing is left to blend (4 × image_missing)" in summary.refusal
    assert (summary.num_samples, summary.dropped) == (0, {"image_missing": 4})
    assert [(loss.source, loss.records, loss.share) for loss in summary.losses] == [("llava", 4, 1.0)]


def test_a_refusal_crosses_processes_whole(recipe_of, tmp_path):
    refusal = make_plan(recipe_of({"llava": lost(4, 4)}), tmp_path, refuse=False).refusal
    again = pickle.loads(pickle.dumps(refusal))
    assert (again.message, again.hint, again.losses) == (refusal.message, refusal.hint, refusal.losses)


def test_how_much_may_be_dropped_changes_no_byte(recipe_of, tmp_path):
    plans = [make_plan(recipe_of({"llava": lost(20, 1)}, f"limits.dropped={share}"), tmp_path) for share in (0.05, 1)]
    assert plans[0].fingerprint == plans[1].fingerprint


def test_a_store_of_which_most_images_lie_a_folder_deeper_is_told_with_the_folder(recipe_of, tmp_path):
    recipe = recipe_of({"llava": lost(8, 0)}, f"images.photos={tmp_path}")
    with pytest.raises(LossError) as caught:
        make_plan(recipe, tmp_path)
    assert f"--set images.photos={tmp_path / 'photos'}" in caught.value.hint


@pytest.mark.parametrize("name", ["000000000003.png", "COCO_train2014_000000000003.jpg"])
def test_the_ledger_says_what_a_missing_name_may_have_meant(recipe_of, tmp_path, name):
    plan = make_plan(recipe_of({"llava": [*lost(5, 0), record(3, image=name)]}), tmp_path, refuse=False)
    (detail,) = plan.ledger()["detail"].drop_nulls()
    assert f"{name} is not in image store photos" in detail
    assert "did you mean 000000000003.jpg" in detail


def test_names_that_mean_a_picture_of_the_store_are_found(recipe_of, tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    corpora.draw(tmp_path / "photos" / "sub" / "été.jpg", 50)
    names = [
        f"{tmp_path}/photos/{corpora.coco_name(1)}",
        "sub\\e\u0301te\u0301.jpg",
        f"{corpora.coco_name(3)} ",
        f".\\{corpora.coco_name(4)}",
    ]
    plan = make_plan(recipe_of({"llava": [record(1, image=name) for name in names]}), tmp_path)
    assert plan.samples.height == len(names)
