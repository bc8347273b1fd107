"""A record about media that its reader does not show is skipped and says so; it never becomes a text about nothing."""

from typing import Any

import pytest
from msgspec import Raw

from blender.data.records import Skip
from blender.data.sources import read_file
from blender.data.sources.media import foreign_mark, media_key, unread
from tests.data.sources.conftest import Save
from tests.data.sources.entries import (
    dialogue,
    instruction,
    llava,
    mimicit,
    only_conversation,
    only_skip,
    shown_and_asked,
)


def test_images_is_read_as_image(save: Save) -> None:
    path = save([llava("What is in <image> here?", "A dog.", images=["a.jpg"])])
    assert shown_and_asked(only_conversation(read_file("llava", path))) == [(("a.jpg",), "What is in image 1 here?")]
    path = save([llava("<image>\n<image>\nWhich?", "The first.", images=["a.jpg", "b.jpg"], image=[])])
    assert shown_and_asked(only_conversation(read_file("llava", path))) == [(("a.jpg", "b.jpg"), "Which?")]


def test_image_and_images_may_say_the_same_but_not_differ(save: Save) -> None:
    same = llava("<image>\nWhat?", "A dog.", image="a.jpg", images=["a.jpg"])
    assert only_conversation(read_file("llava", save([same]))).images == ("a.jpg",)
    differ = llava("<image>\nWhat?", "A dog.", image="a.jpg", images=["b.jpg"])
    assert only_skip(read_file("llava", save([differ]))).reason == "images_differ"


VALUES: dict[str, Any] = {
    "image_path": "a.jpg",
    "image_paths": ["a.jpg"],
    "imagePath": "a.jpg",
    "IMAGE": "a.jpg",
    "image_url": "http://host/a.jpg",
    "imageURL": {"url": "http://host/a.jpg"},
    "image_file": "a",
    "image1": "a",
    "left_image": "a",
    "img": "a",
    "Imgs": ["a"],
    "pictures": ["a"],
    "photo": {"bytes": "", "path": "a.jpg"},
    "video": "v/1.mp4",
    "videos": ["v/1.mp4"],
    "video_path": "v/1",
    "frames": ["f/1"],
    "num-frames of no use": None,
    "audio": "x",
    "audios": [{"path": "x"}],
    "pixel_values": [[0, 1]],
    "file_name": "a.JPG",
    "source": "https://host/a.png?size=2",
    "clip": ["a.mp4"],
    "content": "data:image/png;base64,iVBO",
}
HARMLESS: dict[str, Any] = {
    "image": "",
    "images": [],
    "video": None,
    "videos": [],
    "audio": "",
    "image_path": [""],
    "photo": {"bytes": None, "path": None},
    "num_images": 0,
    "has_image": True,
    "image_caption": "A dog.",
    "model": "gpt-4",
    "source": "wikipedia",
    "metadata": {"width": 3},
    "info": {"image": "", "video": False, "num_images": 2, "images": [], "photo": 0, "tags": [["dog"], {"a": None}]},
    "versions": [[[[1.5]]], "v1.0"],
}
INSIDE: dict[str, tuple[Any, str]] = {
    "metadata": ({"image_path": "a"}, '"metadata.image_path" names images, "a"; the format has its images under'),
    "info": ([{"width": 3}, {"images": ["a"]}], '"info.images" names images, ["a"]'),
    "data": ({"x": {"y": [{"video": "v"}]}}, '"data.x.y.video" names videos, "v"; videos are not read'),
    "origin": ({"url": "https://host/a.png"}, '"origin.url" names a file, "https://host/a.png"'),
    "objects": ([{"image_id": 12}], '"objects.image_id" names images, 12'),
    "parts": ([{"type": "image", "image": {"bytes": "abc"}}], '"parts.image" names images, {"bytes":"abc"}'),
}


@pytest.mark.parametrize("key", [key for key, value in VALUES.items() if value is not None])
def test_a_key_that_names_media_and_is_not_read_skips_the_record(save: Save, key: str) -> None:
    skip = only_skip(read_file("llava", save([llava("What?", "A dog.", id="a", **{key: VALUES[key]})])))
    assert (skip.reason, skip.record.id) == ("unread_media", "a")
    assert f'"{key}"' in skip.detail


@pytest.mark.parametrize("key", INSIDE)
def test_media_named_inside_a_value_skip_a_record_that_shows_no_image(save: Save, key: str) -> None:
    value, detail = INSIDE[key]
    skip = only_skip(read_file("llava", save([llava("What?", "A dog.", **{key: value})])))
    assert skip.reason == "unread_media"
    assert skip.detail.startswith(detail)
    assert only_conversation(read_file("llava", save([llava("What?", "A dog.", image="a.jpg", **{key: value})])))


@pytest.mark.parametrize("key", HARMLESS)
def test_an_empty_key_or_one_about_something_else_skips_nothing(save: Save, key: str) -> None:
    assert only_conversation(read_file("llava", save([llava("What?", "A dog.", **{key: HARMLESS[key]})])))


def test_another_name_of_the_images_that_are_shown_is_no_loss(save: Save) -> None:
    more = {"image_url": "http://host/7.jpg", "image_id": 7, "img": "x/a.jpg", "file_name": "b.jpg", "video_id": "v"}
    path = save([llava("<image>\nWhat?", "A dog.", image="a.jpg", **more)])
    assert only_conversation(read_file("llava", path)).images == ("a.jpg",)
    for key, value in {"image_paths": ["a.jpg", "b.jpg"], "img": "b.jpg", "image2": "b.jpg", "video": "v"}.items():
        path = save([llava("<image>\nWhat?", "A dog.", image="a.jpg", **{key: value})])
        assert only_skip(read_file("llava", path)).reason == "unread_media", key


def test_advice_names_the_key_of_the_format(save: Save) -> None:
    skip = only_skip(read_file("llava", save([llava("What?", "A dog.", image_path="a.jpg")])))
    assert skip.detail == '"image_path" names images, "a.jpg"; the format has its images under "image"'
    skip = only_skip(read_file("llava", save([llava("What?", "A dog.", video="v.mp4")])))
    assert skip.detail == '"video" names videos, "v.mp4"; videos are not read'


def with_first_message(record: dict[str, Any], messages: str, **more: object) -> dict[str, Any]:
    """Return a record whose first message has more keys."""
    first, *others = record[messages]
    return {**record, messages: [{**first, **more}, *others]}


SHOWS = dialogue(([1], "IMAGE#1 what?", "A dog."))
CAPTION = {"image_id": "2", "caption": "A dog."}
CHOICE = {"image_id": 1, "question": "What?", "choices": ["a"], "correct_choice_idx": 0, "rationales": []}
COVER = {"imageURL": "http://host/x.jpg", "questions": ["Who?"], "answers": ["Me"]}
PICTURE = {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog.", "sentid": 4}]}


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("llava", [with_first_message(llava("What?", "A dog."), "conversations", image="a.jpg")]),
        ("llava", [with_first_message(llava("What?", "A dog."), "conversations", videos=["v.mp4"])]),
        ("sparkles", [{**SHOWS, "video": "v.mp4"}]),
        ("sparkles", [with_first_message(SHOWS, "dialogue", audio="a.wav")]),
        ("mimicit", mimicit(a={**instruction(), "video": "v.mp4"})),
        ("minigpt4", {"annotations": [{**CAPTION, "video": "v.mp4"}]}),
        ("aokvqa", [{**CHOICE, "images": ["a.jpg", "b.jpg"]}]),
        ("ocr_vqa", {"1": {**COVER, "audio": "a.wav"}}),
        ("coco_caption", {"images": [{**PICTURE, "video": "v.mp4"}]}),
        ("mimicit", mimicit(a=instruction(instruction="<video> What?"))),
        ("aokvqa", [{**CHOICE, "question": "<video> What?"}]),
        ("ocr_vqa", {"1": {**COVER, "questions": ["<audio> Who?"]}}),
        ("sparkles", [dialogue(([1], "IMAGE#1 and <video> what?", "A dog."))]),
    ],
)
def test_every_reader_looks_for_media(save: Save, format: str, content: object) -> None:
    assert only_skip(read_file(format, save(content))).reason == "unread_media"


@pytest.mark.parametrize("content", [PICTURE, {**PICTURE, "imgid": 3, "cocoid": 4, "filepath": "train2014"}])
def test_published_keys_beside_an_image_are_no_loss(save: Save, content: object) -> None:
    assert only_conversation(read_file("coco_caption", save({"images": [content]})))


@pytest.mark.parametrize(
    "mark",
    [
        *("<video>", "<audio>", "<ImageHere>", "<IMAGE>", "<Image>", "<|image|>", "<|image_1|>", "<|image_pad|>"),
        *("<im_start>", "<im_patch>", "<img>", "</img>", "<image1>", "<image_placeholder>", "<|vision_start|>"),
        *("<start_of_image>", "<fake_token_around_image>", "<IMG_CONTEXT>", "[IMG]", "[IMG12]", "<speech>"),
        *(
            "<image/>",
            "<global-img>",
            "<frame_12>",
            "<visual_token_3>",
            "[IMG_END]",
            "<image_soft_token>",
            "<VideoHere>",
        ),
    ],
)
def test_a_mark_of_media_in_a_question_skips_the_record(save: Save, mark: str) -> None:
    path = save(
        [llava(f"{mark}\nWhat is it?", "A dog."), llava("<image>\nHi", "A", f"And {mark}?", "B", image="a.jpg")]
    )
    for skip in read_file("llava", path):
        assert isinstance(skip, Skip)
        assert skip.reason == "unread_media"
        assert mark in skip.detail


@pytest.mark.parametrize(
    "text",
    ["a < b", "<b>bold</b>", "[1]", "see [images] of", '<img src="a">', "<imagine>", "<|im_start|>", "x[img]", "<p>"],
)
def test_other_signs_are_no_marks_of_media(text: str) -> None:
    assert foreign_mark(text) is None or text == "x[img]"


@pytest.mark.parametrize(
    "text",
    [
        "What does `<video>` do?",
        "In HTML, what is the <video> element for?",
        "What is the tag <audio> for, and what are <img> tags?",
        "```html\n<video src=1.mp4></video>\n<picture>\n<img>\n```\nExplain this page.",
        "What does List<Image> mean in Java?",
        "Does HTML have <audio> and <video>, or are these from XML?",
        "Which attributes does `<image>` have in SVG?",
    ],
)
def test_a_text_about_tags_and_types_is_no_text_about_media(save: Save, text: str) -> None:
    assert shown_and_asked(only_conversation(read_file("llava", save([llava(text, "So.")])))) == [((), text)]


@pytest.mark.parametrize(
    "text",
    [
        "<video>\nWrite this page in HTML.",
        "Write this page in HTML.\n<video>",
        "Turn this into HTML:\n<Image>\nUse CSS.",
        "What is shown here<Image>",
        "What happens in <video> here?",
        "`x` <video> `y`",
    ],
)
def test_a_text_about_code_may_still_hold_a_mark_of_media(save: Save, text: str) -> None:
    assert only_skip(read_file("llava", save([llava(text, "So.")]))).reason == "unread_media"


def test_a_tag_without_any_image_skips_the_record(save: Save) -> None:
    for question in ("What is in <image> here?", "<image>\nWhat?", "What?\n<image>"):
        skip = only_skip(read_file("llava", save([llava(question, "A dog.")])))
        assert (skip.reason, skip.detail) == ("image_tags", "no image, but 1 <image> in the questions")


def test_a_sign_of_sparkles_without_an_image_skips_the_dialogue(save: Save) -> None:
    path = save(
        [dialogue(([1], "IMAGE#1<Img><ImageHere></Img> or <Img><ImageHere></Img>?", "Yes."), ([], "And?", "No."))]
    )
    assert only_conversation(read_file("sparkles", save([dialogue(([1], "<Img><ImageHere></Img> what?", "Yes."))])))
    assert only_conversation(read_file("sparkles", path))
    path = save([dialogue(([1], "IMAGE#1?", "Yes."), ([], "And <Img><ImageHere></Img>?", "No."))])
    assert only_skip(read_file("sparkles", path)).reason == "image_tags"


def test_a_file_of_hundreds_of_different_keys_is_looked_through_as_well(save: Save) -> None:
    entries = [llava("What?", "It.", **{f"key{number}": number, "video": "v" * (number % 2)}) for number in range(300)]
    found = list(read_file("llava", save(entries)))
    assert [isinstance(each, Skip) for each in found] == [bool(number % 2) for number in range(300)]


def test_keys_are_recognised_whatever_they_look_like() -> None:
    for key in ("", "\ud83d", "`", "a - at `$.x`"):
        assert media_key(key) is None
    assert media_key("image" * 100_000 + "x") is not None
    assert unread("x", Raw(b'"' + b"a" * 1_000_000 + b'.jpg"'), list) is not None
