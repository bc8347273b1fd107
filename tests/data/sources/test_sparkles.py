"""Sparkles: IMAGE#id becomes the image's number, signs go without a trace, nothing else changes."""

import pytest

from blender.data.sources import read_file
from blender.data.sources.sparkles import without_signs
from tests.data.sources.conftest import Save
from tests.data.sources.entries import dialogue, only_conversation, only_skip, shown_and_asked

SIGN = "<Img><ImageHere></Img>"


def test_references_become_numbers_in_the_order_shown(save: Save) -> None:
    path = save(
        [
            dialogue(
                (
                    [1342, "77"],
                    f"How does IMAGE#1342{SIGN} go with IMAGE#77{SIGN}?",
                    "IMAGE#77 is older. IMAGE#1342 is not.",
                ),
                ([5], f"And IMAGE#5{SIGN}?", "Like IMAGE#77, NASA says; (IMAGE#5) too."),
                ([], "Sure?", "Yes."),
            )
        ]
    )
    conversation = only_conversation(read_file("sparkles", path))
    assert shown_and_asked(conversation) == [
        (("1342.jpg", "77.jpg"), "How does image 1 go with image 2?"),
        (("5.jpg",), "And image 3?"),
        ((), "Sure?"),
    ]
    answers = [turn.answer for turn in conversation.turns]
    assert answers == ["Image 2 is older. Image 1 is not.", "Like image 2, NASA says; (image 3) too.", "Yes."]
    assert conversation.records[0].id == "0"


def test_an_id_never_touches_a_longer_one(save: Save) -> None:
    path = save([dialogue(([12, 123, 1], "IMAGE#123, IMAGE#12, IMAGE#1, IMAGE#123?", "IMAGE#12's"))])
    turn = only_conversation(read_file("sparkles", path)).turns[0]
    assert turn.question == "Image 2, image 1, image 3, image 2?"
    assert turn.answer == "Image 1's"


def test_of_two_ids_that_fit_the_longer_one_is_meant(save: Save) -> None:
    path = save([dialogue((["12", "12-b"], "IMAGE#12-b or IMAGE#12-a?", "IMAGE#12."))])
    assert only_conversation(read_file("sparkles", path)).turns[0].question == "Image 2 or image 1-a?"


@pytest.mark.parametrize("text", ["Is it IMAGE#1234?", "Is it IMAGE#1?", "IMAGE#12a", "IMAGE#12_3", "See image#99."])
def test_an_id_that_is_not_shown_is_named(save: Save, text: str) -> None:
    skip = only_skip(read_file("sparkles", save([dialogue(([12, 123], text, "No."))])))
    assert skip.reason == "unknown_reference"


def test_an_image_may_not_be_named_before_it_is_shown(save: Save) -> None:
    path = save([dialogue(([1], "What is IMAGE#1?", "Not IMAGE#2."), ([2], "And IMAGE#2?", "A dog."))])
    skip = only_skip(read_file("sparkles", path))
    assert (skip.reason, skip.detail) == ("unknown_reference", '"IMAGE#2." names no image shown so far')


def test_an_image_shown_again_keeps_its_first_number(save: Save) -> None:
    path = save([dialogue(([8, 8, 9], "IMAGE#8?", "Yes."), ([9, 7, "8"], "IMAGE#9 or IMAGE#7 or IMAGE#8?", "No."))])
    assert shown_and_asked(only_conversation(read_file("sparkles", path))) == [
        (("8.jpg", "9.jpg"), "Image 1?"),
        (("7.jpg",), "Image 2 or image 3 or image 1?"),
    ]


def test_references_that_touch_each_other_or_words_stay_apart(save: Save) -> None:
    path = save([dialogue(([1, 2], "inIMAGE#1IMAGE#2", f"IMAGE#1{SIGN}IMAGE#2{SIGN}and IMAGE#2{SIGN}."))])
    turn = only_conversation(read_file("sparkles", path)).turns[0]
    assert (turn.question, turn.answer) == ("in image 1 image 2", "Image 1 image 2 and image 2.")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (f"a{SIGN} b", "a b"),
        (f"a {SIGN} b", "a b"),
        (f"a {SIGN}b", "a b"),
        (f"a{SIGN}b", "a b"),
        (f"a {SIGN}.", "a."),
        (f"a{SIGN}, b", "a, b"),
        (f"a {SIGN}\n\nb", "a\n\nb"),
        (f"a\n{SIGN} b", "a\nb"),
        (f"{SIGN} a", "a"),
        (f"a {SIGN}", "a"),
        (f"a {SIGN} {SIGN} b", "a b"),
        (f"a{SIGN}{SIGN}b", "a b"),
        ("two  spaces stay", "two  spaces stay"),
    ],
)
def test_signs_leave_no_trace(text: str, plain: str) -> None:
    assert without_signs(text) == plain


def test_the_word_image_without_an_id_is_text(save: Save) -> None:
    path = save([dialogue(([1], "Is IMAGE# a sign, like IMAGE#?", "It is. IMAGES are not."))])
    turn = only_conversation(read_file("sparkles", path)).turns[0]
    assert (turn.question, turn.answer) == ("Is IMAGE# a sign, like IMAGE#?", "It is. IMAGES are not.")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"dialogue": []}, "no_turns"),
        ({"dialogue": dialogue(([1], "What?", "It."))["dialogue"][:1]}, "odd_turns"),
        ({"dialogue": dialogue(([1], "What?", "It."))["dialogue"][::-1]}, "roles_out_of_order"),
        (dialogue(([], "What?", "It.")), "no_images"),
        (dialogue(([1], SIGN, "It.")), "empty_text"),
        (dialogue(([1], "What?", "")), "empty_text"),
        (dialogue(([""], "What?", "It.")), "image_name"),
        (
            {
                "dialogue": [
                    {"role": "user", "content": "Draw."},
                    {"role": "assistant", "content": "Here.", "images": [{"image_id": 1}]},
                ]
            },
            "image_in_answer",
        ),
    ],
)
def test_what_cannot_be_used_is_named(save: Save, entry: object, reason: str) -> None:
    assert only_skip(read_file("sparkles", save([entry]))).reason == reason


def test_images_may_be_null_and_captions_too(save: Save) -> None:
    messages = [
        {"role": "user", "content": "IMAGE#1?", "images": [{"image_id": 1, "caption": None}]},
        {"role": "assistant", "content": "Yes.", "images": None},
    ]
    assert only_conversation(read_file("sparkles", save([{"dialogue": messages}]))).images == ("1.jpg",)
