"""System messages and leading answers: skipped, read without them, or the text stays before its question."""

from typing import Any

import pytest

from blender.data.records import Conversation, Skip
from blender.data.sources import ReadOptions, read_file
from tests.data.sources.conftest import Save

HUMAN, GPT = {"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}
SYSTEM = {"from": "system", "value": "Be kind."}


def said(*messages: dict[str, Any], **more: object) -> dict[str, Any]:
    """Return a LLaVA record of messages."""
    return {"conversations": list(messages), **more}


def only(save: Save, record: dict[str, Any], format: str = "llava", **options: Any) -> Conversation | Skip:
    """Read one record."""
    (each,) = read_file(format, save([record]), ReadOptions(**options))
    return each


def systems(each: Conversation | Skip) -> list[tuple[str, str]]:
    """Return each turn's system text and question."""
    assert isinstance(each, Conversation), each
    return [(turn.system, turn.question) for turn in each.turns]


def test_by_default_such_records_are_skipped_by_reason(save: Save) -> None:
    for record, reason in ((said(SYSTEM, HUMAN, GPT), "system_turn"), (said(GPT, HUMAN, GPT), "roles_out_of_order")):
        skip = only(save, record)
        assert isinstance(skip, Skip) and skip.reason == reason


def test_a_system_text_is_kept_before_its_question(save: Save) -> None:
    assert systems(only(save, said(SYSTEM, HUMAN, GPT, HUMAN, GPT), system="keep")) == [("Be kind.", "Q?"), ("", "Q?")]
    assert systems(only(save, said(HUMAN, GPT, SYSTEM, HUMAN, GPT), system="keep")) == [("", "Q?"), ("Be kind.", "Q?")]
    twice = said(SYSTEM, {"from": "system", "value": " Be brief.\n"}, HUMAN, GPT)
    assert systems(only(save, twice, system="keep")) == [("Be kind.\n\nBe brief.", "Q?")]
    assert systems(only(save, said({**SYSTEM, "value": " "}, HUMAN, GPT), system="keep")) == [("", "Q?")]


def test_a_system_text_is_dropped_wherever_it_is(save: Save) -> None:
    for record in (said(SYSTEM, HUMAN, GPT), said(HUMAN, SYSTEM, GPT), said(HUMAN, GPT, SYSTEM)):
        assert systems(only(save, record, system="drop")) == [("", "Q?")]


@pytest.mark.parametrize("record", [said(HUMAN, SYSTEM, GPT), said(HUMAN, GPT, SYSTEM)])
def test_a_system_text_that_stands_before_no_question_cannot_be_kept(save: Save, record: dict[str, Any]) -> None:
    skip = only(save, record, system="keep")
    assert isinstance(skip, Skip) and skip.reason == "roles_out_of_order"
    assert "system message" in skip.detail


def test_a_record_that_is_nothing_but_a_system_text_has_no_turns(save: Save) -> None:
    for way in ("keep", "drop"):
        skip = only(save, said(SYSTEM), system=way)
        assert isinstance(skip, Skip) and skip.reason == "no_turns"


@pytest.mark.parametrize("mark", ["<image>", "<video>", "<|image|>"])
def test_a_system_text_that_stays_holds_no_mark_of_media(save: Save, mark: str) -> None:
    record = said({"from": "system", "value": f"See {mark}."}, HUMAN, GPT)
    skip = only(save, record, system="keep")
    assert isinstance(skip, Skip) and skip.reason == "unread_media"
    assert isinstance(only(save, record, system="drop"), Conversation)


def test_a_field_with_the_system_text_is_kept_like_a_message(save: Save) -> None:
    assert systems(only(save, said(HUMAN, GPT, system="Be kind."), system="keep")) == [("Be kind.", "Q?")]
    assert systems(only(save, said(HUMAN, GPT, system=None), system="keep")) == [("", "Q?")]
    assert systems(only(save, said(HUMAN, GPT, system={"a": 1}))) == [("", "Q?")]
    skip = only(save, said(HUMAN, GPT, system={"a": 1}), system="keep")
    assert isinstance(skip, Skip) and skip.reason == "system_turn"


def test_a_leading_answer_is_dropped_and_only_that(save: Save) -> None:
    assert systems(only(save, said(GPT, HUMAN, GPT), leading_answer="drop")) == [("", "Q?")]
    kept = only(save, said(SYSTEM, GPT, SYSTEM, HUMAN, GPT), leading_answer="drop", system="keep")
    assert systems(kept) == [("Be kind.\n\nBe kind.", "Q?")]
    for record, reason in ((said(GPT, GPT, HUMAN), "roles_out_of_order"), (said(GPT), "no_turns")):
        skip = only(save, record, leading_answer="drop")
        assert isinstance(skip, Skip) and skip.reason == reason


def test_images_stay_with_their_questions(save: Save) -> None:
    record = said(SYSTEM, GPT, {"from": "human", "value": "<image>\nQ?"}, GPT, image="a.jpg")
    each = only(save, record, system="keep", leading_answer="drop")
    assert systems(each) == [("Be kind.", "Q?")]
    assert isinstance(each, Conversation) and each.images == ("a.jpg",)


def test_sparkles_has_system_messages_too(save: Save) -> None:
    first = {"role": "user", "content": "IMAGE#7?", "images": [{"image_id": 7}]}
    record = {
        "dialogue": [
            {"role": "assistant", "content": "Hello."},
            {"role": "system", "content": "Look at IMAGE#7."},
            first,
            {"role": "assistant", "content": "Yes."},
        ]
    }
    kept = only(save, record, "sparkles", system="keep", leading_answer="drop")
    assert systems(kept) == [("Look at image 1.", "Image 1?")]
    assert isinstance(only(save, record, "sparkles"), Skip)
