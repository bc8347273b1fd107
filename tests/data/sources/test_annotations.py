"""Every way in which a file can be wrong is told in one sentence that says where."""

import gzip
import json
from pathlib import Path

import fsspec
import msgspec
import pytest

from blender.core.errors import SourceError
from blender.data.sources import SOURCES, read_file
from tests.data.sources.conftest import Save
from tests.data.sources.entries import dialogue, instruction, llava, mimicit, only_conversation

GOOD = llava("What is it?\n<image>", "A kite.", image="a.jpg", id="a")


def fault(format: str, path: str) -> SourceError:
    """Read everything and return what was raised."""
    with pytest.raises(SourceError) as raised:
        list(read_file(format, path))
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_wrong_type_deep_inside_is_found_by_number_id_and_path(save: Save) -> None:
    bad = llava("What?", "It.", id="000000442786")
    bad["conversations"][1]["value"] = 3
    path = save([GOOD] * 29_998 + [bad] + [GOOD] * 2)
    error = fault("llava", path)
    assert error.message == (
        f"{path}, record 29,999 (id 000000442786), at $[29998].conversations[1].value: "
        "expected a string, found a whole number"
    )


@pytest.mark.parametrize(
    ("format", "content", "sentence"),
    [
        ("llava", [GOOD, 7], "record 2, at $[1]: expected an object, found a whole number"),
        (
            "llava",
            [{"id": True, "conversations": []}],
            "at $[0].id: expected a whole number or a string or null, found",
        ),
        ("llava", [{"id": 5}], 'record 1 (id 5), at $[0]: expected a field "conversations", found none'),
        (
            "llava",
            [{"conversations": [{"value": "x"}]}],
            'at $[0].conversations[0]: expected a field "from", found none',
        ),
        (
            "mimicit",
            mimicit(a=instruction(), b={**instruction(), "image_ids": [4]}),
            'record 2 (id b), at $.data["b"].image_ids[0]: expected a string, found a whole number',
        ),
        ("mimicit", {"data": []}, "is not of format mimicit, at $.data: expected an object, found an array"),
        (
            "sparkles",
            [{"dialogue": [{"role": "user", "content": None}]}],
            "record 1, at $[0].dialogue[0].content: expected a string, found null",
        ),
    ],
)
def test_the_sentence_names_place_expected_and_found(save: Save, format: str, content: object, sentence: str) -> None:
    path = save(content)
    message = fault(format, path).message
    assert message.startswith(path)
    assert sentence in message


@pytest.mark.parametrize("cut", [1, 40, 90, -1, -30])
def test_a_file_that_ends_early_is_told_with_its_size(save: Save, cut: int) -> None:
    whole = msgspec.json.encode([GOOD] * 3)[:cut]
    path = save(whole)
    error = fault("llava", path)
    assert error.message == f"{path} ends early: its JSON breaks off at byte {len(whole):,}"
    assert error.hint == "download it again"


def test_broken_json_is_told_with_byte_and_line(save: Save) -> None:
    path = save(b'[{"conversations": []},\n {"conversations": oops}]')
    assert fault("llava", path).message == f"{path} is not valid JSON: invalid character at byte 43 (line 2)"


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        (b"", "is empty", "download"),
        (b" \n\t ", "is empty", "download"),
        (b"[]", "holds no records", "download"),
        (b" [ ] ", "holds no records", "download"),
        (b"<!DOCTYPE html><html></html>", "web page", "download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer", "git lfs pull"),
        (json.dumps([GOOD]).encode("utf-16"), "not UTF-8", "convert"),
        (json.dumps([{**GOOD, "id": "é"}], ensure_ascii=False).encode("latin-1"), "not UTF-8 text", None),
        (b"[" * 100_000 + b"]" * 100_000, "too deeply", None),
        (b'[{"conversations": ' + b"[" * 900 + b"]" * 900 + b"}]", "expected an object, found an array", None),
        (b"PK\x03\x04rest", "zip archive", "unpack"),
    ],
)
def test_what_is_no_annotation_file_is_recognised(save: Save, content: bytes, words: str, hint: str | None) -> None:
    error = fault("llava", save(content))
    assert words in error.message
    if hint:
        assert error.hint and hint in error.hint


def test_an_empty_object_holds_no_records(save: Save) -> None:
    assert "holds no records" in fault("mimicit", save({"data": {}})).message
    assert "holds no records" in fault("ocr_vqa", save({})).message


FILES = {
    "llava": [GOOD],
    "mimicit": mimicit(a=instruction()),
    "sparkles": [dialogue(([1], "IMAGE#1?", "Yes."))],
    "minigpt4": {"annotations": [{"image_id": "2", "caption": "A dog."}]},
    "aokvqa": [{"image_id": 1, "question": "What?", "choices": ["a"], "correct_choice_idx": 0, "rationales": []}],
    "coco_caption": {"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog."}]}]},
    "ocr_vqa": {"1": {"imageURL": "http://host/x.jpg", "questions": ["Who?"], "answers": ["Me"]}},
}


@pytest.mark.parametrize("format", SOURCES)
@pytest.mark.parametrize("actual", FILES)
def test_a_file_of_another_format_is_recognised(save: Save, format: str, actual: str) -> None:
    path = save(FILES[actual])
    if format == actual:
        assert len(list(read_file(format, path))) == 1
    else:
        assert fault(format, path).hint == f"it looks like format {actual}"


def test_json_lines_are_read_by_their_name(save: Save) -> None:
    lines = b"\n".join(msgspec.json.encode(each) for each in [GOOD, GOOD]) + b"\r\n\n"
    for name in ("mix.jsonl", "mix.ndjson"):
        assert [each.records[0].id for each in read_file("llava", save(lines, name))] == ["a", "a~2"]  # type: ignore[union-attr]
    assert fault("llava", save(lines, "mix.json")).hint == "it looks like JSON Lines: give its name the ending .jsonl"
    assert len(list(read_file("llava", save([GOOD], "array.jsonl")))) == 1


def test_a_broken_line_is_told_by_its_record(save: Save) -> None:
    path = save(msgspec.json.encode(GOOD) + b'\n{"conversations": [', "mix.jsonl")
    assert fault("llava", path).message == f"{path}, record 2, at $[1]: not valid JSON (input data was truncated)"


def test_gzip_is_unpacked(save: Save) -> None:
    packed = gzip.compress(msgspec.json.encode([GOOD]))
    assert only_conversation(read_file("llava", save(packed, "a.json.gz"))).turns[0].answer == "A kite."
    lines = gzip.compress(msgspec.json.encode(GOOD) + b"\n")
    assert only_conversation(read_file("llava", save(lines, "a.jsonl.gz"))).turns[0].answer == "A kite."
    assert "its gzip data breaks off" in fault("llava", save(packed[:-12], "cut.json.gz")).message
    damaged = packed[:20] + b"\xff\xff\xff\xff" + packed[24:]
    assert "damaged gzip data" in fault("llava", save(damaged, "bad.json.gz")).message


def test_a_byte_order_mark_is_no_fault(save: Save) -> None:
    assert only_conversation(read_file("llava", save(b"\xef\xbb\xbf" + msgspec.json.encode([GOOD]))))


def test_remote_files_are_read() -> None:
    with fsspec.open("memory://bucket/llava.json", "wb") as file:
        file.write(msgspec.json.encode([GOOD]))
    assert only_conversation(read_file("llava", "memory://bucket/llava.json")).images == ("a.jpg",)
    assert "does not exist" in fault("llava", "memory://bucket/other.json").message
    assert "cannot be read" in fault("llava", "nosuch://bucket/other.json").message


def test_a_missing_file_is_told_before_iterating_and_the_nearest_is_named(save: Save, tmp_path: Path) -> None:
    save([GOOD], "conversation_58k.json")
    with pytest.raises(SourceError, match="does not exist") as raised:
        read_file("llava", str(tmp_path / "conversation_58.json"))
    assert raised.value.hint == "did you mean conversation_58k.json?"
    assert "no folder" in str(fault("llava", str(tmp_path / "llava" / "a.json")))
    assert "is a folder" in fault("llava", str(tmp_path)).message


def test_an_unknown_format_is_told_with_the_nearest(save: Save) -> None:
    assert fault("lava", save([GOOD])).hint == "did you mean llava?"
    assert "known formats: llava" in str(fault("xyz", save([GOOD])))


MESSAGES = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A kite."}]
AS_MESSAGES = (
    'its records have "messages" of "role" and "content"; format llava has "conversations" of "from" and "value"'
)


@pytest.mark.parametrize(
    ("content", "name", "hint"),
    [
        (
            {"data": [GOOD]},
            "a.json",
            'it keeps its records, which look like format llava, under "data": write that array alone into a file',
        ),
        (
            {"version": 2, "records": [{"messages": MESSAGES}]},
            "a.json",
            f'it keeps its records under "records": write that array alone into a file; {AS_MESSAGES}',
        ),
        ([{"messages": MESSAGES, "images": ["a.jpg"]}], "a.json", AS_MESSAGES),
        (msgspec.json.encode({"messages": MESSAGES}) + b"\n", "a.jsonl", AS_MESSAGES),
        ({"messages": MESSAGES}, "a.json", AS_MESSAGES),
        (
            [{**GOOD, "image": {"path": "a.jpg", "bytes": None}}],
            "a.json",
            'images are given by their names alone: write "image": "a.jpg"',
        ),
        (
            [{**GOOD, "images": [{"path": "a.jpg"}]}],
            "a.json",
            'images are given by their names alone: write "images": ["a.jpg"]',
        ),
        (
            [{**GOOD, "image": {"bytes": "/9j/4AAQ"}}],
            "a.json",
            'images inside of records are not read: put them into an image store, and their names into "image"',
        ),
    ],
)
def test_records_that_are_arranged_in_another_known_way_are_told(
    save: Save, content: object, name: str, hint: str
) -> None:
    assert fault("llava", save(content, name)).hint == hint
