"""The formats that are no conversations by themselves: captions, choices, book covers."""

from blender.data.records import Conversation, Skip
from blender.data.sources import read_file
from tests.data.sources.conftest import Save
from tests.data.sources.entries import only_conversation, records, shown_and_asked


def test_minigpt4_asks_for_a_description(save: Save) -> None:
    path = save({"annotations": [{"image_id": "2", "caption": " A dog runs. "}, {"image_id": 3, "caption": ""}]})
    conversation, skip = read_file("minigpt4", path)
    assert isinstance(conversation, Conversation) and isinstance(skip, Skip)
    (turn,) = conversation.turns
    assert (conversation.images, turn.images, turn.answer) == (("2.jpg",), [1], "A dog runs.")
    assert turn.question
    assert (skip.record.id, skip.reason) == ("3", "empty_text")


def test_a_file_is_asked_the_same_questions_every_time(save: Save) -> None:
    path = save({"annotations": [{"image_id": n, "caption": "A dog."} for n in range(20)]})
    read = list(read_file("minigpt4", path))
    assert read == list(read_file("minigpt4", path))
    assert len({each.turns[0].question for each in read if isinstance(each, Conversation)}) > 1


def test_aokvqa_offers_the_choices_and_gives_a_reason(save: Save) -> None:
    entry = {
        "image_id": 299207,
        "question": "What is in the boxes?",
        "choices": ["bananas", "dogs"],
        "question_id": "22",
    }
    path = save(
        [
            {**entry, "correct_choice_idx": 0, "rationales": ["", "They are yellow.", "Seen often."]},
            {**entry, "correct_choice_idx": 1},
            {**entry, "correct_choice_idx": 2},
            entry,
        ]
    )
    first, second, *skips = read_file("aokvqa", path)
    assert isinstance(first, Conversation) and isinstance(second, Conversation)
    question = "What is in the boxes?\nChoose from: bananas; dogs."
    assert shown_and_asked(first) == [(("000000299207.jpg",), question)]
    assert first.turns[0].answer == "bananas. They are yellow."
    assert second.turns[0].answer == "dogs."
    assert [skip.reason for skip in skips if isinstance(skip, Skip)] == ["no_answer", "no_answer"]
    assert [record.id for record in records([first, second, *skips])] == ["22", "22~2", "22~3", "22~4"]


def test_every_coco_caption_is_a_record(save: Save) -> None:
    def image(name: str, part: str, *captions: str) -> dict[str, object]:
        return {"filename": name, "filepath": "x", "split": part, "sentences": [{"raw": text} for text in captions]}

    path = save({"images": [image("a", "train", "One. ", "Two."), image("b", "test", "No."), image("c", "restval")]})
    read = list(read_file("coco_caption", path))
    assert [record.id for record in records(read)] == ["a", "a~2", "b", "c"]
    assert [each.turns[0].answer for each in read if isinstance(each, Conversation)] == ["One.", "Two."]
    assert [each.reason for each in read if isinstance(each, Skip)] == ["other_split", "no_turns"]


def test_the_questions_about_a_book_cover_stand_beside_each_other(save: Save) -> None:
    cover = {
        "imageURL": "http://host/images/I/51.jpg?x=1.png",
        "questions": ["Who?", "What?"],
        "answers": ["Me", "A book"],
    }
    path = save({"0761": {**cover, "split": 1}})
    conversation = only_conversation(read_file("ocr_vqa", path))
    assert not conversation.ordered
    assert shown_and_asked(conversation) == [(("0761.jpg",), "Who?"), ((), "What?")]


def test_book_covers_that_cannot_be_used_are_named(save: Save) -> None:
    cover = {"imageURL": "http://host/51.jpg", "questions": ["Who?"], "answers": ["Me"]}
    path = save(
        {"a": {**cover, "split": 3}, "b": {**cover, "answers": []}, "c": {**cover, "questions": [], "answers": []}}
    )
    assert [each.reason for each in read_file("ocr_vqa", path) if isinstance(each, Skip)] == [
        "other_split",
        "odd_turns",
        "no_turns",
    ]
