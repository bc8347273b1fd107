import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.inspect.differences import compare_blends
from blender.recipe import recipe_from
from blender.shards.blend import write_blend
from blender.shards.reader import open_blend
from tests import corpora


def record(number, answer="It is a pattern."):
    return corpora.llava(number) | {
        "conversations": [
            {"from": "human", "value": f"What is {number}?\n<image>"},
            {"from": "gpt", "value": answer},
        ]
    }


@pytest.fixture
def blended(tmp_path):
    """Write a blend of records about pictures 0 to 9, with changes of the recipe."""
    for number in range(10):
        corpora.draw(tmp_path / "coco" / corpora.coco_name(number), number)

    def write(name, records, **changes):
        (tmp_path / "llava.json").write_text(json.dumps(records))
        data = {
            "name": name,
            "images": {"coco": str(tmp_path / "coco")},
            "sources": {"llava": {"format": "llava", "files": str(tmp_path / "llava.json"), "images": "coco"}},
            "blend": [{"name": "one", "from": "llava"}],
            "split": {"eval": 0},
        }
        write_blend(recipe_from(data | changes), tmp_path / name, workers=1)
        return open_blend(tmp_path / name)

    return write


def sums(found):
    return found.same, found.elsewhere, found.moved, found.altered, found.added, found.gone


RECORDS = [record(number) for number in range(8)]


def test_a_blend_is_the_same_as_its_copy(blended, tmp_path):
    blend = blended("before", RECORDS)
    shutil.copytree(tmp_path / "before", tmp_path / "copy")
    found = compare_blends(blend, open_blend(tmp_path / "copy"))
    assert found.are_same
    assert sums(found) == (8, 0, 0, 0, 0, 0)
    assert not (found.recipe or found.files or found.other or found.counts or found.examples)


def test_another_order_is_told_though_every_sample_is_the_same(blended):
    found = compare_blends(blended("before", RECORDS), blended("after", RECORDS, seed=5))
    assert found.same == 8
    assert found.elsewhere > 0
    assert not found.are_same
    assert [(change.path, change.before, change.after) for change in found.recipe] == [
        ("name", "before", "after"),
        ("seed", 0, 5),
    ]


def test_samples_come_and_go(blended):
    found = compare_blends(blended("before", RECORDS), blended("after", [*RECORDS[2:], record(8)]))
    assert (found.same, found.added, found.gone, found.altered) == (6, 1, 2, 0)
    assert [(example.kind, example.sources) for example in found.examples if example.kind == "added"] == [
        ("added", ["llava/llava.json/000000000008"])
    ]
    assert [(change.path, change.before != change.after) for change in found.files] == [("llava/llava.json", True)]
    (count,) = found.counts
    assert (count.dataset, count.samples, count.images) == ("one", (8, 7), (8, 7))


def test_another_answer_alters_its_sample_and_the_line_is_shown(blended):
    changed = [*RECORDS[:3], record(3, "It is a cat."), *RECORDS[4:]]
    found = compare_blends(blended("before", RECORDS), blended("after", changed))
    assert (found.same, found.altered, found.added, found.gone) == (7, 1, 0, 0)
    (example,) = found.examples
    assert example.aspects == ["text"]
    assert example.lines == ["- ### Answer: It is a pattern.", "+ ### Answer: It is a cat."]
    assert found.aspects == {"text": 1, "turns": 0, "template": 0, "images": 0, "rendering": 0}


def test_another_template_alters_all(blended):
    found = compare_blends(blended("before", RECORDS), blended("after", RECORDS, template="plain"))
    assert found.altered == 8
    assert found.aspects["template"] == 8
    assert found.aspects["text"] == found.aspects["rendering"] == 0


def test_another_picture_under_the_same_name_alters_its_samples(blended, tmp_path):
    before = blended("before", RECORDS)
    corpora.draw(tmp_path / "coco" / corpora.coco_name(2), 77, (50, 32))
    found = compare_blends(before, blended("after", RECORDS))
    assert (found.altered, found.aspects["images"]) == (1, 1)


def test_another_split_or_dataset_moves(blended):
    before = blended("before", RECORDS)
    found = compare_blends(before, blended("after", RECORDS, split={"eval": 0.25}))
    assert (found.same, found.moved) == (6, 2)
    assert {example.split_after for example in found.examples} == {"eval"}
    found = compare_blends(before, blended("renamed", RECORDS, blend=[{"name": "two", "from": "llava"}]))
    assert (found.same, found.moved) == (0, 8)
    paths = {change.path for change in found.recipe}
    assert paths == {"name", "blend.one.name", "blend.one.from", "blend.two.name", "blend.two.from"}


def test_repeated_samples_are_counted_one_by_one(blended):
    twice = [{"name": "one", "from": "llava", "repeat": 2}]
    found = compare_blends(blended("before", RECORDS), blended("after", RECORDS, blend=twice))
    assert (found.same, found.added, found.gone) == (8, 8, 0)
    back = compare_blends(blended("twice", RECORDS, blend=twice), blended("once", RECORDS))
    assert (back.same, back.added, back.gone) == (8, 0, 8)


def test_nobody_is_asked_for_more_examples_than_wanted(blended):
    before, after = blended("before", RECORDS[:4]), blended("after", RECORDS[4:])
    assert len(compare_blends(before, after, num_examples=1).examples) == 2
    assert compare_blends(before, after, num_examples=0).examples == []


CHANGES = st.lists(st.sampled_from(["keep", "alter", "drop"]), min_size=1, max_size=10)


@settings(max_examples=15)
@given(CHANGES)
def test_every_sample_of_both_is_accounted_for(tmp_path_factory, changes):
    root = tmp_path_factory.mktemp("pairs")
    for number in range(10):
        corpora.draw(root / "coco" / corpora.coco_name(number), number)

    def write(name, records):
        (root / "llava.json").write_text(json.dumps(records))
        source = {"format": "llava", "files": str(root / "llava.json"), "images": "coco"}
        data = {"name": name, "images": {"coco": str(root / "coco")}, "sources": {"llava": source}}
        write_blend(recipe_from({**data, "blend": [{"name": "one", "from": "llava"}]}), root / name, workers=1)
        return open_blend(root / name)

    answers = {"keep": "It is a pattern.", "alter": "Another one."}
    kept = [record(number, answers[change]) for number, change in enumerate(changes) if change != "drop"]
    found = compare_blends(
        write("before", [record(n) for n in range(len(changes))]), write("after", [*kept, record(9)])
    )
    assert found.same + found.moved + found.altered + found.gone == len(changes)
    assert found.same + found.moved + found.altered + found.added == len(kept) + 1
