"""System texts of the sources travel into the samples, are rendered untrained, counted, and cost nothing elsewhere."""

import json

import msgspec
import pytest

from blender import load_recipe, make_plan, open_blend, write_blend
from blender.core.errors import RecipeError
from blender.data.sample import Turn


def said(*texts, system=None):
    roles = ("human", "gpt")
    turns = [{"from": roles[place % 2], "value": text} for place, text in enumerate(texts)]
    return {"conversations": [{"from": "system", "value": system}, *turns] if system else turns}


def recipe_of(root, records, entry=None, source=None, **more):
    (root / "data.json").write_text(json.dumps(records))
    recipe = {
        "name": "systems",
        "sources": {"chat": {"format": "llava", "files": str(root / "data.json"), "system": "keep", **(source or {})}},
        "blend": [{"name": "chat", "from": "chat", **(entry or {})}],
        "split": {"eval": 0},
        **more,
    }
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    return load_recipe(root / "recipe.yaml")


def blend_of(root, *given, **more):
    write_blend(recipe_of(root, *given, **more), root / "out", workers=1)
    return open_blend(root / "out")


def test_the_first_system_text_of_a_sample_stands_in_place_of_the_templates(tmp_path):
    (stored,) = blend_of(tmp_path, [said("Why?", "So.", system="Be kind.")])
    assert [turn.system for turn in stored.sample.turns] == ["Be kind."]
    assert [(span.text, span.train) for span in stored.sample.spans] == [
        ("Be kind.\n\n### Question: Why?\n### Answer: ", False),
        ("So.", True),
    ]


def test_later_ones_stand_before_their_turn_and_none_is_trained(tmp_path):
    records = [
        said("Why?", "So.", system="Be kind."),
        said("How?", "Thus.", "And?", "Ever.", system="Be ### Answer: it."),
    ]
    (stored,) = blend_of(tmp_path, records, {"concatenate": [2, 2]})
    sample = stored.sample
    assert sorted(turn.system for turn in sample.turns) == ["", "Be ### Answer: it.", "Be kind."]
    text = "".join(span.text for span in sample.spans)
    assert "You are a powerful" not in text
    first, later = (turn for turn in sample.turns if turn.system)
    assert text.startswith(
        "Be kind.\n\n### Question" if first.system == "Be kind." else "Be # ## Answer: it.\n\n### Question"
    )
    assert ("\n\nBe kind.\n\n### Question" in text) == (later.system == "Be kind.")
    assert not any("Be " in span.text for span in sample.spans if span.train)


def test_references_in_a_system_text_are_kept_true(tmp_path):
    from tests.data.images.pictures import picture

    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(picture())
    records = [
        {**said("<image>\nWhat?", "That.", system="Look at image 1 only."), "image": name}
        for name in ("a.jpg", "b.jpg")
    ]
    images = {"images": {"store": str(tmp_path / "images")}}
    (stored,) = blend_of(tmp_path, records, {"concatenate": [2, 2]}, {"images": "store"}, **images)
    assert [turn.system for turn in stored.sample.turns] == ["Look at image 1 only.", "Look at image 2 only."]


def test_limits_count_system_texts(tmp_path):
    records = [said("Why?", "So.", system="x" * 100), said("Why?", "So.")]
    blend = blend_of(tmp_path, records, limits={"characters": 50})
    assert blend.ledger["reason"].to_list() == ["too_many_characters", None]
    assert "107 characters" in blend.ledger["detail"][0]


def test_a_turn_without_a_system_text_is_stored_as_it_always_was():
    assert msgspec.json.encode(Turn([1], "Q", "A", 0)) == b'{"images":[1],"question":"Q","answer":"A","source":0}'


def test_how_a_source_is_read_decides_the_fingerprint_only_where_it_is_unusual(tmp_path):
    def fingerprint(**source):
        (tmp_path / "texts").mkdir(exist_ok=True)
        recipe = recipe_of(tmp_path, [said("Why?", "So.")], source=source)
        return make_plan(recipe, tmp_path / "texts").fingerprint, recipe.hash()

    usual = fingerprint(system=None)
    assert fingerprint(system="skip", leading_answer="skip", on_bad_record="skip") == usual
    assert len({usual, fingerprint(system="keep"), fingerprint(system="drop"), fingerprint(leading_answer="drop")}) == 4


@pytest.mark.parametrize("key", ["system", "leading_answer"])
def test_formats_without_roles_refuse_options_about_roles(tmp_path, key):
    with pytest.raises(RecipeError, match=f"sources.chat.{key}: {key} means nothing for format mimicit"):
        recipe_of(tmp_path, [], source={"format": "mimicit", "system": None, key: "drop"})
