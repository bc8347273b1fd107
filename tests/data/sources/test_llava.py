"""LLaVA: images find their turns, tags leave the text, words stay as they are."""

import pytest

from blender.data.records import Record
from blender.data.sources import read_file
from tests.data.sources.conftest import Save
from tests.data.sources.entries import llava, only_conversation, only_skip, records, shown_and_asked


def test_the_published_form_is_read(save: Save) -> None:
    path = save([llava("What is it?\n<image>", "A kite.", "Whose?", "A boy's.", image="0442.jpg", id="0442", model="")])
    conversation = only_conversation(read_file("llava", path))
    assert conversation.records == (Record(0, "0442"),)
    assert conversation.ordered
    assert shown_and_asked(conversation) == [(("0442.jpg",), "What is it?"), ((), "Whose?")]
    assert [turn.answer for turn in conversation.turns] == ["A kite.", "A boy's."]


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("<image>\nWhat is it?", "What is it?"),
        ("What is it?\n<image>", "What is it?"),
        ("  <image> \n\n What is it? ", "What is it?"),
        ("<image>What is it?", "What is it?"),
        ("First line.\nSecond  line, NASA's.\n<image>", "First line.\nSecond  line, NASA's."),
    ],
)
def test_a_tag_at_an_edge_goes_with_its_white_space_and_nothing_else(save: Save, question: str, kept: str) -> None:
    conversation = only_conversation(read_file("llava", save([llava(question, "A kite.", image="a.jpg")])))
    assert shown_and_asked(conversation) == [(("a.jpg",), kept)]


@pytest.mark.parametrize(
    ("question", "images", "written"),
    [
        ("What is in <image> here?", "a.jpg", "What is in image 1 here?"),
        ("Does <image> look older than <image>?", ["a.jpg", "b.jpg"], "Does image 1 look older than image 2?"),
        ("What tells <image> from <image>", ["a.jpg", "b.jpg"], "What tells image 1 from image 2"),
        ("<image> and <image>: same place?", ["a.jpg", "b.jpg"], "Image 1 and image 2: same place?"),
        ("<image>\nLook. <image> is it?", ["a.jpg", "b.jpg"], "Look. Image 2 is it?"),
        ("Compare<image>and<image>now", ["a.jpg", "b.jpg"], "Compare image 1 and image 2 now"),
        ("A: <image><image> B", ["a.jpg", "b.jpg"], "A: image 1 image 2 B"),
    ],
)
def test_a_tag_among_words_becomes_a_reference(save: Save, question: str, images: object, written: str) -> None:
    conversation = only_conversation(read_file("llava", save([llava(question, "Yes.", image=images)])))
    shown = (images,) if isinstance(images, str) else tuple(images)  # type: ignore[arg-type, call-overload]
    assert shown_and_asked(conversation) == [(shown, written)]


def test_several_images_are_dealt_out_in_the_order_of_their_tags(save: Save) -> None:
    entry = llava("<image>\n<image>\nWhich?", "The second.", "And this?\n<image>", "No.", image=["a", "b", "c"])
    conversation = only_conversation(read_file("llava", save([entry])))
    assert shown_and_asked(conversation) == [(("a", "b"), "Which?"), (("c",), "And this?")]


def test_numbers_of_references_count_the_images_of_earlier_turns(save: Save) -> None:
    entry = llava("<image>\nWhat?", "A cat.", "Is <image> the same?", "No.", image=["a", "b"])
    conversation = only_conversation(read_file("llava", save([entry])))
    assert shown_and_asked(conversation) == [(("a",), "What?"), (("b",), "Is image 2 the same?")]


def test_images_without_any_tag_are_shown_first(save: Save) -> None:
    entry = llava("Which?", "The second.", "Why?", "Size.", image=["x/a.jpg", "x/b.jpg"])
    conversation = only_conversation(read_file("llava", save([entry])))
    assert shown_and_asked(conversation) == [(("x/a.jpg", "x/b.jpg"), "Which?"), ((), "Why?")]


def test_a_tag_beside_those_of_the_images_is_text_and_so_is_any_tag_of_an_answer(save: Save) -> None:
    entries = [
        llava("<image>\nWhat does <image> mean in HTML?", "<image>\nis no tag. <image>", image="a.jpg"),
        llava("What does the tag mean in HTML?", "<image> is no tag.", "Is ### Answer: one?", "No.\n<image>"),
    ]
    with_image, without = read_file("llava", save(entries))
    assert [turn.question for turn in with_image.turns] == ["What does <image> mean in HTML?"]  # type: ignore[union-attr]
    assert [turn.answer for turn in with_image.turns] == ["<image>\nis no tag. <image>"]  # type: ignore[union-attr]
    assert [turn.answer for turn in without.turns] == ["<image> is no tag.", "No.\n<image>"]  # type: ignore[union-attr]
    assert [turn.images for turn in without.turns] == [[], []]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (llava(), "no_turns"),
        (llava("What?"), "odd_turns"),
        (llava("What?", "It.", "And?"), "odd_turns"),
        (llava("", "It."), "empty_text"),
        (llava("What?", " \n"), "empty_text"),
        (llava("<image>", "A kite.", image="a.jpg"), "empty_text"),
        (llava("<image>\n<image>", "Kites.", image=["a.jpg", "b.jpg"]), "empty_text"),
        (llava("What?\n<image>", "It."), "image_tags"),
        (llava("<image>\nWhat?", "It.", image=["a.jpg", "b.jpg"]), "image_tags"),
        (llava("<image>\n<image>\nWhat?", "It.", image="a.jpg"), "image_tags"),
        (llava("Is <image> like <image> or <image>?", "No.", image=["a.jpg", "b.jpg"]), "image_tags"),
        (llava("What?", "It.", image=["a.jpg", ""]), "image_name"),
        ({"conversations": [{"from": "gpt", "value": "Hello."}]}, "roles_out_of_order"),
        ({"conversations": [{"from": "human", "value": "A?"}, {"from": "human", "value": "B?"}]}, "roles_out_of_order"),
        ({"conversations": [{"from": "human", "value": "A?"}, {"from": "tool", "value": "B"}]}, "roles_out_of_order"),
        ({"conversations": [{"from": "system", "value": "Be kind."}]}, "system_turn"),
    ],
)
def test_what_is_no_conversation_is_named(save: Save, entry: object, reason: str) -> None:
    skip = only_skip(read_file("llava", save([entry])))
    assert skip.reason == reason
    assert len(skip.detail) > 10


def test_user_and_assistant_are_understood_too(save: Save) -> None:
    turns = [{"from": "user", "value": "What?"}, {"from": "assistant", "value": "It."}]
    assert only_conversation(read_file("llava", save([{"conversations": turns}]))).turns[0].answer == "It."


def test_ids_are_texts_and_unique(save: Save) -> None:
    names = ["a", 7, None, "7", "a", "a~2", "a", ""]
    path = save([llava("What?", "It.", id=name) for name in names])
    found = records(read_file("llava", path))
    assert [record.id for record in found] == ["a", "7", "2", "7~2", "a~2", "a~2~2", "a~3", "7~3"]
    assert [record.index for record in found] == list(range(len(names)))


def test_equal_records_are_all_kept(save: Save) -> None:
    path = save([llava("<image>\nWhat?", "It.", image="a.jpg", id="a")] * 3)
    assert [record.id for record in records(read_file("llava", path))] == ["a", "a~2", "a~3"]


def test_a_long_run_of_tags_or_white_space_takes_no_time(save: Save) -> None:
    path = save([llava("<image>" * 50_000, "It."), llava("x" + " " * 500_000 + "y <image>", "It.", image="a.jpg")])
    assert len(list(read_file("llava", path))) == 2
