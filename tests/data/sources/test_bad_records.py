"""Records of the wrong shape: all of a file's are reported at once, or each is skipped by reason."""

from typing import Any

import msgspec
import pytest

from blender.core.errors import SourceError
from blender.data.records import Skip
from blender.data.sources import ReadOptions, read_file
from tests.data.sources.conftest import Save
from tests.data.sources.entries import Read, dialogue, instruction, llava, mimicit, records

GOOD = llava("What?", "A kite.", id="good")
SKIPPING = ReadOptions(on_bad_record="skip")


def as_file(format: str, bad: list[Any]) -> object:
    """Put records between good ones into a file of a format."""
    if format == "llava":
        return [GOOD, *bad, GOOD]
    if format == "sparkles":
        good = dialogue(([1], "IMAGE#1?", "Yes."))
        return [good, *bad, good]
    if format == "aokvqa":
        good = {"image_id": 1, "question": "What?", "choices": ["a"], "correct_choice_idx": 0, "rationales": []}
        return [good, *bad, good]
    if format == "mimicit":
        return mimicit(a=instruction(), **{f"b{n}": each for n, each in enumerate(bad)}, c=instruction())
    if format == "minigpt4":
        good = {"image_id": 1, "caption": "A dog."}
        return {"annotations": [good, *bad, good]}
    if format == "coco_caption":
        good = {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog."}]}
        return {"images": [good, *bad, good]}
    good = {"imageURL": "http://host/x.jpg", "questions": ["Who?"], "answers": ["Me"]}
    return {"1": good, **{f"b{n}": each for n, each in enumerate(bad)}, "2": good}


ANYTHING: list[Any] = [None, 3, "text", True, [], {}, {"id": "x"}, [GOOD]]
FORMATS = ["llava", "sparkles", "aokvqa", "mimicit", "minigpt4", "coco_caption", "ocr_vqa"]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_reports_all_its_bad_records_at_once(save: Save, format: str) -> None:
    with pytest.raises(SourceError) as raised:
        list(read_file(format, save(as_file(format, ANYTHING))))
    first, *others = raised.value.message.splitlines()
    assert first.endswith("annotations.json: 8 of 10 records cannot be read:")
    assert len(others) == 8
    assert all(f"record {number + 2}" in line for number, line in enumerate(others))
    assert raised.value.hint and "on_bad_record: skip" in raised.value.hint


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_skips_its_bad_records_by_reason(save: Save, format: str) -> None:
    found = list(read_file(format, save(as_file(format, ANYTHING)), SKIPPING))
    assert sorted(record.index for record in records(found)) == list(range(10))
    skips = [each for each in found if isinstance(each, Skip)]
    assert [skip.reason for skip in skips] == ["bad_record"] * 8
    assert all("expected" in skip.detail for skip in skips)


@pytest.mark.parametrize(
    "bad",
    [
        llava("What?", None),  # type: ignore[arg-type]
        llava("What?", "It.", image=12),
        llava("What?", "It.", images=[None]),
        {"conversations": "[]"},
        {"conversations": None},
        {"conversations": [None]},
        {"id": True, "conversations": []},
        None,
        3,
    ],
)
def test_kinds_of_bad_llava_records(save: Save, bad: object) -> None:
    found = list(read_file("llava", save([GOOD, bad, GOOD]), SKIPPING))
    assert [isinstance(each, Skip) and each.reason for each in found] == [False, "bad_record", False]
    with pytest.raises(SourceError, match="record 2"):
        list(read_file("llava", save([GOOD, bad, GOOD])))


def test_twenty_are_described_and_all_are_counted(save: Save) -> None:
    path = save([GOOD] * 10_000 + [llava(None, "It.", id=f"n{n}") for n in range(2_000)])  # type: ignore[arg-type]
    found: list[Read] = []
    with pytest.raises(SourceError) as raised:
        found.extend(read_file("llava", path))
    first, *others = raised.value.message.splitlines()
    assert first == f"{path}: 2,000 of 12,000 records cannot be read; the first 20:"
    assert len(others) == 20
    assert "record 10,001 (id n0), at $[10000].conversations[0].value: expected a string, found null" in others[0]
    assert len(found) == 10_000


def test_a_broken_line_is_a_bad_record(save: Save) -> None:
    good = msgspec.json.encode(GOOD)
    lines = b"\n".join([good, b'{"conversations": [', b"oops", b"{'conversations': None}", b"", good])
    path = save(lines, "mix.jsonl")
    found = list(read_file("llava", path, SKIPPING))
    assert [isinstance(each, Skip) and each.reason for each in found] == [False, *["bad_record"] * 3, False]
    assert isinstance(found[3], Skip)
    assert "Python literal" in found[3].detail
    with pytest.raises(SourceError, match="3 of 5 records"):
        list(read_file("llava", path))


def test_no_hint_names_an_ending_that_the_file_has(save: Save) -> None:
    path = save(msgspec.json.encode(GOOD) + b'\n{"id": 4}\n', "mix.jsonl")
    with pytest.raises(SourceError) as raised:
        list(read_file("llava", path))
    assert raised.value.hint == "correct or remove this record, or skip such records with on_bad_record: skip"


def test_a_file_of_another_format_is_no_file_of_bad_records(save: Save) -> None:
    path = save([dialogue(([1], "IMAGE#1?", "Yes."))] * 3)
    with pytest.raises(SourceError, match="is not of format llava") as raised:
        list(read_file("llava", path, SKIPPING))
    assert raised.value.hint == "it looks like format sparkles"


def test_ids_of_bad_records_are_theirs(save: Save) -> None:
    path = save([{"id": "a"}, {"id": 7}, None, GOOD])
    assert [each.id for each in records(read_file("llava", path, SKIPPING))] == ["a", "7", "2", "good"]


def test_a_cover_whose_key_comes_again_is_kept(save: Save) -> None:
    cover = msgspec.json.encode({"imageURL": "http://host/x.jpg", "questions": ["Who?"], "answers": ["Me"]})
    found = list(read_file("ocr_vqa", save(b'{"1": ' + cover + b', "2": ' + cover + b', "1": ' + cover + b"}")))
    assert [record.id for record in records(found)] == ["1", "2", "1~2"]
    assert isinstance(found[2], Skip) and found[2].reason == "duplicate_id"


@pytest.mark.parametrize("name", ["<image>\n<image>", "a\r\n\tb", "x" * 5_000])
def test_an_id_of_several_lines_or_without_end_leaves_the_sentence_one(save: Save, name: str) -> None:
    path = save([GOOD, llava(None, "It.", id=name)])  # type: ignore[arg-type]
    with pytest.raises(SourceError) as raised:
        list(read_file("llava", path))
    assert len(raised.value.message.splitlines()) == 1
    assert len(raised.value.message) < len(path) + 300
    assert "record 2 (id " in raised.value.message
