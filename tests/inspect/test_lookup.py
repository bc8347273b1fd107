import json

import pytest

from blender.core.errors import InspectionError
from blender.inspect.lookup import find_texts, ledger_records, ledger_sums, matches
from blender.recipe import load_recipe
from blender.shards.blend import write_blend
from blender.shards.reader import open_blend
from tests import corpora


def test_samples_are_found_by_words_and_phrases(blend, cache):
    for query in ("differ SECOND", '"not the first image"', "cgd_ins_000000", "100.jpg"):
        rows = find_texts(blend, query, cache=cache)
        words = [query.strip('"')] if '"' in query else query.split()
        holding = []
        for row, stored in enumerate(blend):
            sample = stored.sample
            texts = [text for turn in sample.turns for text in (turn.question, turn.answer)]
            every = "\n".join([*texts, *(image.name for image in sample.images), *sample.sources]).lower()
            holding += [row] if all(word.lower() in every for word in words) else []
        assert rows == holding
        assert rows


def test_a_dataset_alone_can_be_searched(blend, cache):
    rows = find_texts(blend, "image", dataset="sparkles", cache=cache)
    assert rows
    assert {blend[row].sample.dataset for row in rows} == {"sparkles"}


def test_a_match_says_where(blend, cache):
    rows = find_texts(blend, '"not the first"', dataset="cgd", cache=cache)
    (match,) = matches(blend, rows[:1], '"not the first"')
    assert (match.where, match.key) == ("answer", blend[rows[0]].sample.key)
    assert "is not the first image" in match.excerpt
    (match,) = matches(blend, find_texts(blend, "CGD_INS_000000", dataset="cgd", cache=cache), "CGD_INS_000000")
    assert (match.where, match.turn) == ("record", 0)


def test_nothing_is_not_searched_for(blend, cache):
    with pytest.raises(InspectionError, match="nothing to look for"):
        find_texts(blend, "  ", cache=cache)


@pytest.fixture(scope="module")
def lossy(tmp_path_factory):
    """A blend that lost records: two pictures are missing, and of one no other source speaks."""
    root = corpora.write_corpus(tmp_path_factory.mktemp("lossy"))
    for name in ("detail", "complex", "conversation"):
        records = json.loads((root / f"{name}.json").read_text())
        (root / f"{name}.json").write_text(json.dumps([one for one in records if one["image"] != corpora.coco_name(8)]))
    for number in (1, 3):
        (root / "coco" / corpora.coco_name(number)).unlink()
    recipe = load_recipe(corpora.write_recipe(root), ["limits.dropped=100%"])
    write_blend(recipe, root / "blend", workers=1)
    return open_blend(root / "blend")


def test_the_sums_of_a_ledger_add_up(lossy):
    sums = ledger_sums(lossy)
    assert sums["records"].sum() == lossy.manifest.ledger["read"]
    assert sums["uses"].sum() == lossy.manifest.ledger["uses"]
    assert sums["source"].to_list() == sorted(
        sums["source"].to_list(), key=list(lossy.manifest.recipe["sources"]).index
    )


def test_dropped_records_are_listed_with_the_reason(lossy):
    found = ledger_records(lossy, "image_missing")
    assert found.height == lossy.manifest.ledger["dropped"]["image_missing"]
    assert found.filter(source="llava")["record"].to_list() == ["000000000001", "000000000003"]
    assert "is not in image store coco" in found["detail"][0]


def test_an_unknown_reason_is_a_fault_with_a_suggestion(lossy):
    with pytest.raises(InspectionError, match="did you mean 'image_missing'"):
        ledger_records(lossy, "image_mising")


def test_records_that_one_dataset_could_not_use_are_listed_with_it(lossy):
    (reason,) = {row["reason"] for rows in lossy.ledger["left_out"].drop_nulls() for row in rows}
    found = ledger_records(lossy, reason)
    assert found.select("record", "dataset").rows() == [
        ("CGD_INS_000004", "llava_otter_blend"),
        ("CGD_INS_000005", "llava_otter_blend"),
    ]
    assert lossy.ledger.filter(record="CGD_INS_000004")["num_samples"].item() > 0, "another dataset uses it"
