"""Texts of characters that nobody sees count as empty, in every format."""

import json

import pytest

from blender.data.records import Skip
from blender.data.sources import read_file

NOTHING = ["", " ", "\u200b\ufeff", "\u2800", "\0", "\u3164"]


def llava(question, answer):
    return [{"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}]


def mimicit(question, answer):
    return {"data": {"A": {"instruction": question, "answer": answer, "image_ids": ["a"], "rel_ins_ids": []}}}


def sparkles(question, answer):
    asked = {"role": "user", "content": question, "images": [{"image_id": 1}]}
    return [{"dialogue": [asked, {"role": "assistant", "content": answer}]}]


def aokvqa(question, answer):
    return [{"image_id": 1, "question": question, "choices": [answer], "correct_choice_idx": 0, "rationales": []}]


@pytest.mark.parametrize("form", [llava, mimicit, sparkles, aokvqa])
@pytest.mark.parametrize("nothing", NOTHING)
def test_what_shows_nothing_is_empty(tmp_path, form, nothing):
    for pair in ((nothing, "A dog."), ("What is it?", nothing)):
        (tmp_path / "a.json").write_text(json.dumps(form(*pair)))
        (read,) = read_file(form.__name__, str(tmp_path / "a.json"))
        assert isinstance(read, Skip)
        assert read.reason == "empty_text"


@pytest.mark.parametrize("form", [llava, mimicit, sparkles, aokvqa])
def test_what_begins_with_something_invisible_is_not(tmp_path, form):
    (tmp_path / "a.json").write_text(json.dumps(form("\u200bWhat?", "\ufeff是")))
    (read,) = read_file(form.__name__, str(tmp_path / "a.json"))
    assert not isinstance(read, Skip)
