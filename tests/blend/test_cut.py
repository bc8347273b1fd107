"""Long conversations, cut at a turn boundary, over small corpora on disk."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender import load_recipe, make_plan, open_blend, summarise, write_blend
from blender.blend.ledger import totals
from tests import corpora


def rounds(number, lengths, images=None):
    """Make a LLaVA record of turns with so many characters each; turn n shows images[n] pictures."""
    shown = images or [1, *[0] * (len(lengths) - 1)]
    names = [corpora.coco_name(number + place) for place in range(sum(shown))]
    turns = []
    for length, count in zip(lengths, shown, strict=True):
        turns.append({"from": "human", "value": "<image>\n" * count + "q" * 10})
        turns.append({"from": "gpt", "value": "a" * (length - 10)})
    return {"id": f"r{number}", "image": names, "conversations": turns}


def related(lengths, number=0):
    """Make a MIMIC-IT file of one conversation of instructions with so many characters each."""
    ids = [f"CGD_INS_{place:06d}" for place in range(len(lengths))]
    return {
        "data": {
            name: {
                "instruction": "q" * 10,
                "answer": "a" * (length - 10),
                "image_ids": [f"CGD_IMG_{number:012d}", f"CGD_IMG_{number + 1:012d}"],
                "rel_ins_ids": [other for other in ids if other != name],
            }
            for name, length in zip(ids, lengths, strict=True)
        }
    }


@pytest.fixture
def recipe_of(tmp_path):
    """Write a source, with pictures 0 to 19 in the store; return the recipe."""

    def write(content, *overrides, format="llava", **entry):
        for number in range(20):
            corpora.draw(tmp_path / "photos" / corpora.coco_name(number), number)
        (tmp_path / "a.json").write_text(json.dumps(content))
        recipe = {
            "name": "small",
            "images": {"photos": str(tmp_path / "photos")},
            "sources": {"a": {"format": format, "files": str(tmp_path / "a.json"), "images": "photos"}},
            "blend": [{"name": "a", "from": "a", **entry}],
            "limits": {"characters": 250},
            "split": {"eval": 0},
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        return load_recipe(tmp_path / "recipe.yaml", list(overrides))

    return write


def lengths_of(plan):
    """Return the characters of the turns of each sample."""
    characters = plan.tables.turns["characters"]
    return sorted(characters.gather(turns).to_list() for turns in plan.samples["turns"].to_list())


def test_a_long_conversation_keeps_its_first_turns(recipe_of, tmp_path):
    plan = make_plan(recipe_of([rounds(0, [100, 100, 100, 40]), rounds(1, [100, 150])]), tmp_path)
    assert lengths_of(plan) == [[100, 100], [100, 150]]
    assert plan.ledger().select("turns_cut", "num_samples").rows() == [(2, 1), (0, 1)]
    assert summarise(plan).turns_cut == 2


def test_a_short_turn_behind_a_long_one_goes_too(recipe_of, tmp_path):
    assert lengths_of(make_plan(recipe_of([rounds(0, [100, 200, 12])]), tmp_path)) == [[100]]


def test_without_cutting_it_is_left_out_whole(recipe_of, tmp_path):
    plan = make_plan(recipe_of([rounds(0, [100, 100, 100]), rounds(1, [100])], "limits.cut=false"), tmp_path)
    assert lengths_of(plan) == [[100]]
    assert totals(plan.ledger())["dropped"] == {"too_many_characters": 1}


def test_a_conversation_of_which_no_turn_fits_is_dropped_with_its_reason(recipe_of, tmp_path):
    plan = make_plan(recipe_of([rounds(0, [300, 12]), rounds(1, [100])]), tmp_path)
    assert totals(plan.ledger())["dropped"] == {"too_many_characters": 1}
    assert plan.ledger()["turns_cut"].to_list() == [0, 0]
    assert plan.ledger()["detail"][0] == "312 characters; the limit is 250"


def test_images_that_only_cut_turns_show_are_gone_and_the_numbers_stay_true(recipe_of, tmp_path):
    recipe = recipe_of([rounds(0, [100, 100, 100], images=[1, 1, 2]), rounds(8, [100])])
    write_blend(recipe, tmp_path / "out", workers=1)
    samples = {stored.sample.sources[0]: stored.sample for stored in open_blend(tmp_path / "out")}
    cut = samples["a/a.json/r0"]
    assert [image.name for image in cut.images] == [corpora.coco_name(0), corpora.coco_name(1)]
    assert [turn.images for turn in cut.turns] == [[1], [2]]
    assert open_blend(tmp_path / "out").manifest.ledger["turns_cut"] == 1


def test_a_missing_image_that_only_a_cut_turn_shows_does_no_harm(recipe_of, tmp_path):
    plan = make_plan(recipe_of([rounds(19, [100, 100, 100], images=[1, 0, 1])]), tmp_path)
    assert plan.samples["images"].list.len().to_list() == [1]


def test_too_many_images_are_counted_after_the_cut(recipe_of, tmp_path):
    plan = make_plan(recipe_of([rounds(0, [100, 100, 100], images=[1, 0, 8])]), tmp_path)
    assert lengths_of(plan) == [[100, 100]]


def test_turns_in_any_order_are_kept_as_far_as_they_fit_in_the_order_of_the_file(recipe_of, tmp_path):
    plan = make_plan(
        recipe_of(related([300, 100, 120, 80, 30]), "limits.dropped=100%", format="mimicit", repeat=3), tmp_path
    )
    assert [sorted(lengths) for lengths in lengths_of(plan)] == [[30, 100, 120]] * 3
    assert plan.samples["images"].list.len().to_list() == [2, 2, 2]
    ledger = plan.ledger()
    assert ledger["reason"].to_list() == ["cut", None, None, "cut", None]
    assert ledger["turns_cut"].to_list() == [1, 0, 0, 1, 0]
    assert totals(ledger)["dropped"] == {"cut": 2}
    assert plan.refusal is None


def test_what_is_cut_is_concatenated_like_any_other(recipe_of, tmp_path):
    records = [rounds(0, [100, 100, 100]), rounds(1, [50, 150]), *[rounds(number, [60]) for number in range(2, 8)]]
    plan = make_plan(recipe_of(records, concatenate=[3, 3]), tmp_path)
    assert all(sum(lengths) <= 250 for lengths in lengths_of(plan))
    assert sum(map(len, lengths_of(plan))) == 2 + 2 + 6
    assert totals(plan.ledger())["emitted"] == len(records)


def test_what_is_cut_is_matched_by_its_images_like_any_other(own_corpus, tmp_path):
    whole = make_plan(load_recipe(corpora.write_recipe(own_corpus)), tmp_path)
    (tmp_path / "cut").mkdir()
    recipe = load_recipe(corpora.write_recipe(own_corpus), ["limits.characters=230"])
    plan = make_plan(recipe, tmp_path / "cut", refuse=False)
    characters = plan.tables.turns["characters"]
    matched = plan.samples.filter(dataset="llava_otter_blend")
    assert matched.height == whole.samples.filter(dataset="llava_otter_blend").height
    assert max(sum(characters.gather(turns)) for turns in plan.samples["turns"].to_list()) <= 230


def test_tokens_count_the_images_shown_by_then(recipe_of, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    limits = ["limits.tokens=25", f"limits.tokenizer={tmp_path}", "limits.image_tokens=10", "limits.characters=null"]
    # two tokens a turn: 12, 14, 26
    plan = make_plan(recipe_of([rounds(0, [100, 100, 100], images=[1, 0, 1])], *limits), tmp_path)
    assert plan.samples.select("turns", "images").rows() == [([0, 1], [0])]
    assert plan.ledger()["turns_cut"].to_list() == [1]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(11, 300), st.integers(0, 2)), min_size=1, max_size=5), min_size=1, max_size=5
    ),
    st.integers(20, 400),
)
def test_turns_are_emitted_cut_or_dropped_with_their_record(recipe_of_once, conversations, limit):
    recipe, folder = recipe_of_once(conversations, limit)
    plan = make_plan(recipe, folder, look=False, refuse=False)
    emitted = {turn for turns in plan.samples["turns"].to_list() for turn in turns}
    used = plan.ledger().filter(pl.col("num_samples") > 0)
    turns_read = sum(len(conversations[index]) for index in used["index"])
    assert len(emitted) + int(used["turns_cut"].sum()) == turns_read
    for turns, images in plan.samples.select("turns", "images").iter_rows():
        assert sum(plan.tables.turns["characters"].gather(turns)) <= limit
        assert len(images) == plan.tables.turns["shown"][turns[-1]], "the images of the turns kept, and no others"


@pytest.fixture(scope="module")
def recipe_of_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("cut")
    (root / "photos").mkdir()
    (root / "texts").mkdir()

    def write(conversations, limit):
        records = [
            rounds(20 * place, [length for length, _ in turns], [count for _, count in turns])
            for place, turns in enumerate(conversations)
        ]
        (root / "a.json").write_text(json.dumps(records))
        recipe = {
            "name": "small",
            "images": {"photos": str(root / "nowhere")},
            "sources": {"a": {"format": "llava", "files": str(root / "a.json"), "images": "photos"}},
            "blend": [{"name": "a", "from": "a"}],
            "limits": {"characters": limit, "images": 100},
            "split": {"eval": 0},
        }
        (root / "recipe.yaml").write_text(json.dumps(recipe))
        return load_recipe(root / "recipe.yaml"), root / "texts"

    return write
