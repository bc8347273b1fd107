"""What Python's ``json`` writes is read; what is no JSON is explained, with a hint that fits."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import SourceError
from blender.data.records import Conversation
from blender.data.sources import open_source_file, read_file
from blender.data.sources.repair import repaired
from tests.data.sources.conftest import Save
from tests.data.sources.entries import instruction, llava, mimicit, only_conversation

GOOD = llava("What?", "A kite.", id="a")


def refusal(format: str, path: str) -> SourceError:
    """Read everything and return what was raised."""
    with pytest.raises(SourceError) as raised:
        list(read_file(format, path))
    return raised.value


def test_not_a_number_and_infinity_are_null(save: Save) -> None:
    text = json.dumps([{**GOOD, "score": float("nan"), "image": float("nan")}, {**GOOD, "score": -float("inf")}])
    assert len([each for each in read_file("llava", save(text.encode())) if isinstance(each, Conversation)]) == 2
    lines = b"\n".join(json.dumps({**GOOD, "score": value}).encode() for value in (float("nan"), 1.0))
    assert len(list(read_file("llava", save(lines, "a.jsonl")))) == 2
    data = json.dumps(mimicit(a={**instruction(), "score": float("nan")})).encode()
    assert only_conversation(read_file("mimicit", save(data)))


def test_half_a_surrogate_pair_is_the_sign_for_what_cannot_be_shown(save: Save) -> None:
    text = json.dumps([llava("Half \ud83d of it, \U0001f600 whole?", "Yes \udc00.", id="\ud83d")])
    conversation = only_conversation(read_file("llava", save(text.encode())))
    assert conversation.turns[0].question == "Half \ufffd of it, \U0001f600 whole?"
    assert conversation.turns[0].answer == "Yes \ufffd."


def test_a_comma_before_a_closing_bracket_is_left_out(save: Save) -> None:
    text = json.dumps([GOOD, GOOD])[:-1] + " ,\n]"
    assert len(list(read_file("llava", save(text.encode())))) == 2
    text = json.dumps([GOOD]).replace('"a"}', '"a",}')
    assert len(list(read_file("llava", save(text.encode())))) == 1


def test_texts_that_look_like_such_faults_stay_as_they_are(save: Save) -> None:
    question = 'NaN, ] and "Infinity,}" \\ud83d \\'
    text = json.dumps([{**llava(question, "-Infinity"), "score": float("nan")}])
    turn = only_conversation(read_file("llava", save(text.encode()))).turns[0]
    assert (turn.question, turn.answer) == (question, "-Infinity")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=()))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def with_nulls(value: Any) -> Any:
    """Return what a value of Python is read as."""
    if isinstance(value, list):
        return [with_nulls(each) for each in value]
    if isinstance(value, dict):
        return {with_nulls(key): with_nulls(each) for key, each in value.items()}
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return None if isinstance(value, float) and value - value != 0 else value


@given(values)
def test_whatever_python_writes_is_read(value: Any) -> None:
    assert msgspec.json.decode(repaired(json.dumps(value).encode())) == with_nulls(value)


@pytest.mark.parametrize(
    ("content", "name", "words", "hint"),
    [
        (str([GOOD]).encode(), "a.json", "Python literal", "json.dump"),
        (b"[None]", "a.json", "Python literal", "json.dump"),
        (f"{GOOD}\n{GOOD}".encode(), "a.jsonl", "Python literals", "json.dump"),
        (json.dumps([GOOD]).encode() * 2, "a.json", "another JSON value behind the first, at byte 1", "one array"),
        (json.dumps(GOOD, indent=1).encode(), "a.jsonl", "no line of it is JSON", ".json"),
        (json.dumps(GOOD, indent=1).encode() * 2, "a.jsonl", "no line of it is JSON", "on a line of its own"),
        (json.dumps(GOOD, indent=1).encode() * 2, "a.json", "found an object", "several JSON values"),
        (json.dumps(GOOD).encode(), "a.json", "found an object", "one record alone"),
        (b'[{"id": "a\nb"}]', "a.json", "control character (0x0a)", "\\n"),
        (b'[{"id": 1} {"id": 2}]', "a.json", "at byte 11 (line 1)", "correct it there"),
        (b'[{"id": NaN} {"id": 2}]', "a.json", "at byte 13 (line 1)", "correct it there"),
        (b'[{"id": 01}]', "a.json", "invalid number", "correct it there"),
        (b" " * 100 + b"<html></html>", "a.json", "web page", "download"),
        (b"BZh91AY", "a.json", "bzip2", "unpack"),
    ],
)
def test_what_is_no_json_is_explained(save: Save, content: bytes, name: str, words: str, hint: str) -> None:
    error = refusal("llava", save(content, name))
    assert words in error.message
    assert error.hint and hint in error.hint


def test_an_array_under_a_key_is_not_taken_for_a_format_of_objects(save: Save) -> None:
    assert refusal("llava", save({"data": [GOOD]})).hint == (
        'it keeps its records, which look like format llava, under "data": write that array alone into a file'
    )


@pytest.mark.parametrize("format", ["mimicit", "minigpt4", "coco_caption", "ocr_vqa"])
def test_formats_that_are_objects_are_not_told_to_be_lines(save: Save, format: str) -> None:
    lines = b'{"a": 1}\n{"a": 2}\n'
    for name in ("a.json", "a.jsonl"):
        hint = refusal(format, save(lines, name)).hint
        assert hint is None or "ending .jsonl" not in hint and "download" not in hint


def test_what_unpacks_to_next_to_nothing_is_not_unpacked_whole(save: Save) -> None:
    blanks = gzip.compress(b" " * 1_000_000) * 800
    assert "hardly any data" in refusal("llava", save(blanks, "a.json.gz")).message


def test_a_gzip_of_several_members_is_read_whole(save: Save) -> None:
    text = msgspec.json.encode([GOOD, GOOD])
    packed = gzip.compress(text[:50]) + gzip.compress(text[50:]) + b"\0" * 10
    assert len(list(read_file("llava", save(packed, "a.json.gz")))) == 2


def test_zstd_is_unpacked(save: Save) -> None:
    packed = pa.compress(msgspec.json.encode(GOOD) + b"\n", codec="zstd", asbytes=True)
    assert only_conversation(read_file("llava", save(packed, "a.jsonl.zst")))
    assert "breaks off" in refusal("llava", save(packed[:-5], "a.jsonl.zst")).message


def test_the_hash_is_that_of_the_stored_bytes_which_are_read_once(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(msgspec.json.encode([GOOD]))
    with fsspec.open("memory://hashes/a.json.gz", "wb") as file:
        file.write(packed)
    opened: list[str] = []
    plain = fsspec.open
    monkeypatch.setattr(fsspec, "open", lambda path, *rest, **more: opened.append(path) or plain(path, *rest, **more))
    for path in ("memory://hashes/a.json.gz", save(packed, "a.json.gz")):
        annotations = open_source_file("llava", path)
        assert (annotations.sha256, annotations.num_bytes) == (hashlib.sha256(packed).hexdigest(), len(packed))
    assert opened == ["memory://hashes/a.json.gz"]


def test_a_file_that_changes_while_it_is_read_has_the_hash_of_what_was_read(save: Save) -> None:
    content = msgspec.json.encode([GOOD])
    path = save(content)
    annotations = open_source_file("llava", path)
    Path(path).write_bytes(b"[]")
    assert annotations.sha256 == hashlib.sha256(content).hexdigest()
    assert annotations.data == content
