"""Answers about drawn pictures, right or wrong by what was drawn."""

import re
from pathlib import Path

import pytest

from blender.demo import draw_corpus
from blender.evaluate.drawn_checks import DrawnCheck, DrawnQuestion, find_questions, read_questions
from blender.evaluate.read import read_data


def check(ask, value, *, numbers=(1, 2, 3), kind="k", **query):
    images = tuple(f"{number}.jpg" for number in numbers)
    return DrawnCheck(DrawnQuestion("f", "r", 0, kind, images, "", {"ask": ask, **query}, value), tuple(numbers))


@pytest.mark.parametrize(
    ("checked", "right", "wrong"),
    [
        (check("count", 3), ["There are three red stars.", "3", "Three: one here, two there."], ["two", "", "many"]),
        (check("count", 0), ["There are no stars.", "None.", "0 stars"], ["one", "I see stars."]),
        (check("total", 5), ["Image 1 has two, image 3 three, which makes five."], ["Image 5 has two."]),
        (check("counts", [2, 0]), ["Two in the first, none in the second."], ["None, and two.", "two"]),
        (check("counts", [2, 2]), ["Both show two.", "two and two"], ["two", "both show three"]),
        (check("exist", "yes"), ["Yes, there is one.", "yes"], ["No, there is none.", "No. Yes.", "There is."]),
        (check("attribute", "red", attribute="colour"), ["It is red.", "red, not blue"], ["blue or red", "Infrared"]),
        (check("attribute", "cross", attribute="shape"), ["a cross", "Two crosses."], ["a star", "across the way"]),
        (check("attribute", "top left", attribute="place"), ["In the top left."], ["top right", "top", "left"]),
        (check("attribute", "medium-sized", attribute="size"), ["It is medium-sized."], ["small", "medium-sizedish"]),
        (check("thing", "red star"), ["a large red star"], ["a red circle", "a blue star", "nothing"]),
        (check("thing", "nothing"), ["There is nothing there.", "None"], ["nothing but a star", "a star"]),
        (check("background", "grey wall"), ["a plain grey wall"], ["a beige wall", "a grey cloth", ""]),
        (check("which_more", "left", left={"shape": "star"}, right={"shape": "ring"}), ["More stars."], ["rings", ""]),
        (
            check("larger", "right", left={"shape": "star", "colour": "red"}, right={"shape": "ring", "colour": "red"}),
            ["The red ring is larger than the star."],
            ["The red star is larger than the ring.", "red"],
        ),
        (
            check("which_more", "equal", left={"shape": "star"}, right={"shape": "ring"}),
            ["Equally many.", "Neither"],
            ["stars", ""],
        ),
        (check("which", 2), ["Image 2 does.", "The second image.", "Only picture 2."], ["image 1, or image 2", "two"]),
        (check("which", 2, numbers=(4, 6)), ["Image 6 does.", "the sixth image"], ["image 2", "the second image"]),
        (check("most", 0), ["Neither: image 1 and image 2 show one.", "The same."], ["Image 1.", ""]),
        (check("most", 1), ["The first image."], ["Neither: the first image and the second show one."]),
    ],
)
def test_an_answer_is_judged_by_the_value_that_it_says(checked, right, wrong):
    assert [answer for answer in right if not checked.is_right(answer)] == []
    assert [answer for answer in wrong if checked.is_right(answer)] == []


def test_a_difference_is_told_when_every_change_is():
    star = {"shape": "star", "colour": "red", "size": "small", "place": "top left"}
    changes = [
        {"change": "recoloured", "before": star, "after": {**star, "colour": "blue"}},
        {"change": "removed", "before": {**star, "shape": "ring", "place": "centre"}, "after": None},
    ]
    checked = check("difference", changes)
    both = "The red star in the top left is blue now. The red ring in the centre is gone."
    assert checked.is_right(both)
    assert not checked.is_right(both.partition(". ")[0])
    assert not checked.is_right(both.replace("blue", "green"))
    assert not checked.is_right("red star top. left blue. ring centre")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    draw_corpus(folder, num_images=300, workers=1)
    return read_questions(folder / "questions.json")


def spoken(question):
    """Return the answer as a reader has it: images by their numbers."""
    text = question.answer
    for number, name in enumerate(question.images, start=1):
        text = re.sub(rf"IMAGE#{name.removesuffix('.jpg')}(?!\d)", f"image {number}", text)
    return text


def checks(questions):
    return [DrawnCheck(question, tuple(range(1, len(question.images) + 1))) for question in questions.values()]


def test_every_reference_is_right(questions):
    assert [each.record for each in checks(questions) if not each.is_right(spoken(each.record))] == []


def test_an_answer_to_another_question_of_the_kind_is_wrong(questions):
    """Answers with another value, asked of the same attribute; which sides are compared differs from case to case."""
    wrong = tried = 0
    by_ask = {}
    for each in checks(questions):
        query = each.record.query
        if query["ask"] not in ("which_more", "larger"):
            by_ask.setdefault((query["ask"], query.get("attribute")), []).append(each)
    for some in by_ask.values():
        for each, other in zip(some, some[1:] + some[:1], strict=True):
            if each.record.value != other.record.value:
                tried += 1
                wrong += not each.is_right(spoken(other.record))
    assert tried > 200
    assert wrong == tried


def test_no_answer_at_all_is_wrong(questions):
    assert not any(each.is_right(answer) for each in checks(questions) for answer in ("", "I cannot see the image."))


def test_references_of_a_blend_are_right_under_the_numbers_of_the_sample(drawn):
    for split in ("train", "eval"):
        for each in read_data(str(drawn / "blend"), split=split).conversations:
            for question in each.rounds:
                assert question.check is None or question.check.is_right(question.reference)


def test_the_list_of_a_corpus_is_found_from_its_annotation_files(drawn):
    corpus = drawn / "corpus"
    assert find_questions([str(corpus / "llava" / "detail_23k.json")]) == corpus / "questions.json"
    assert find_questions([str(corpus / "SparklesDialogueCC/annotations/x.json")]) == corpus / "questions.json"
    assert find_questions([str(Path("/nowhere/at/all.json")), str(drawn / "blend" / "manifest.json")]) is None
