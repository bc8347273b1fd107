"""Whatever a file holds, every record of it comes out exactly once, in a conversation or as a skip."""

import json
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import SourceError
from blender.data.records import Conversation, Skip
from blender.data.sources import ReadOptions, read_file
from blender.data.sources.options import DEFAULTS
from tests.data.sources.entries import Read, dialogue, instruction, llava, records

texts = st.one_of(
    st.sampled_from(
        ["", " ", "<image>", "Is <image> it?", "What?\n<image>", "IMAGE#1", "IMAGE#12 and IMAGE#3.", "A dog."]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
)
names = st.one_of(st.none(), st.integers(0, 5), st.sampled_from(["", "a", "b", "a~2", "5"]))
images = st.sampled_from(["", "x.jpg", "y/z.jpg", "CGD_IMG_000000000009", "CGD_IMG_0000000000000009"])

llava_entries = st.fixed_dictionaries(
    {
        "conversations": st.lists(
            st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system"]), "value": texts}), max_size=5
        ),
        "image": st.one_of(st.none(), images, st.lists(images, max_size=3)),
        "id": names,
    }
)
keys = st.sampled_from(["a", "b", "c", "d", "e", "a~2"])
mimicit_entries = st.fixed_dictionaries(
    {
        "instruction": texts,
        "answer": texts,
        "image_ids": st.lists(images, max_size=2),
        "rel_ins_ids": st.lists(keys, max_size=3),
    }
)
sparkles_entries = st.fixed_dictionaries(
    {
        "dialogue": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["user", "assistant"]),
                    "content": texts,
                    "images": st.lists(st.fixed_dictionaries({"image_id": st.sampled_from([1, 12, "3"])}), max_size=2),
                }
            ),
            max_size=4,
        )
    }
)


def read(format: str, content: bytes, options: ReadOptions = DEFAULTS, name: str = "annotations.json") -> list[Read]:
    """Read these bytes as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return list(read_file(format, str(path), options))


def assert_conserved(found: list[Read], num_records: int) -> None:
    """Check the claims that hold for every file of every format."""
    assert sorted(record.index for record in records(found)) == list(range(num_records))
    assert len({record.id for record in records(found)}) == num_records
    for each in found:
        if isinstance(each, Conversation):
            assert {turn.source for turn in each.turns} == set(range(len(each.records)))
            assert "" not in each.images
            numbers = [number for turn in each.turns for number in turn.images]
            assert numbers == list(range(1, len(each.images) + 1))
            for turn in each.turns:
                assert turn.question == turn.question.strip() != ""
                assert turn.answer == turn.answer.strip() != ""


@given(st.lists(llava_entries, min_size=1, max_size=6))
def test_llava(entries: list[dict[str, object]]) -> None:
    found = read("llava", msgspec.json.encode(entries))
    assert_conserved(found, len(entries))
    for each, entry in zip(found, entries, strict=True):
        given_images = entry["image"] if isinstance(entry["image"], list) else [entry["image"] or None]
        if isinstance(each, Conversation):
            assert list(each.images) == [image for image in given_images if image is not None]


@given(st.lists(st.tuples(keys, mimicit_entries), min_size=1, max_size=8))
def test_mimicit_with_keys_that_come_again(entries: list[tuple[str, dict[str, object]]]) -> None:
    data = b",".join(msgspec.json.encode(key) + b":" + msgspec.json.encode(entry) for key, entry in entries)
    found = read("mimicit", b'{"data":{' + data + b"}}")
    assert_conserved(found, len(entries))
    for each in found:
        if isinstance(each, Conversation):
            assert each.turns[0].images
            assert not any(turn.images for turn in each.turns[1:])


@given(st.lists(sparkles_entries, min_size=1, max_size=5))
def test_sparkles(entries: list[dict[str, object]]) -> None:
    found = read("sparkles", msgspec.json.encode(entries))
    assert_conserved(found, len(entries))
    for each in found:
        if isinstance(each, Conversation):
            assert each.images and len(each.images) == len(set(each.images))


RECORDS: dict[str, dict[str, object]] = {
    "llava": llava("<image>\nWhat?", "A dog.", image="a.jpg", id="a"),
    "mimicit": instruction(),
    "sparkles": dialogue(([1], "IMAGE#1?", "Yes."), ([], "And IMAGE#1?", "No.")),
    "minigpt4": {"image_id": 1, "caption": "A dog."},
    "aokvqa": {"image_id": 1, "question": "What?", "choices": ["a"], "correct_choice_idx": 0, "rationales": ["b"]},
    "coco_caption": {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "A dog.", "sentid": 3}]},
    "ocr_vqa": {"imageURL": "http://host/x.jpg", "questions": ["Who?"], "answers": ["Me"]},
}
odd_values = st.sampled_from(
    [
        None,
        True,
        0,
        1.5,
        "",
        "<image>",
        "<video>",
        "a.mp4",
        [],
        {},
        [None],
        [[]],
        {"path": "a.jpg"},
        float("nan"),
        "\ud83d",
    ]
)
odd_keys = st.sampled_from(["image", "images", "video", "Image_Path", "frames", "from", "role", "id", "x", ""])


def mutated(draw: st.DrawFn, value: object) -> object:
    """Change a value somewhere inside: put another one there, leave one out, or add one."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.booleans()):
            return {**value, key: mutated(draw, value[key])}
        left = {name: inner for name, inner in value.items() if name != key or draw(st.booleans())}
        return {**left, draw(odd_keys): draw(odd_values)}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], mutated(draw, value[place]), *value[place + draw(st.integers(0, 1)) :]]
    return draw(odd_values)


@st.composite
def mutated_files(draw: st.DrawFn) -> tuple[str, list[object]]:
    """Draw a format and records of which some are not as they should be."""
    format = draw(st.sampled_from(sorted(RECORDS)))
    record = RECORDS[format]
    return format, [record if draw(st.booleans()) else mutated(draw, record) for _ in range(draw(st.integers(1, 5)))]


def written(format: str, entries: list[object]) -> bytes:
    """Write records as Python does into a file of a format."""
    if format in ("mimicit", "ocr_vqa"):
        by_key = {f"k{number}": entry for number, entry in enumerate(entries)}
        return json.dumps({"data": by_key} if format == "mimicit" else by_key).encode()
    top = {"minigpt4": "annotations", "coco_caption": "images"}.get(format)
    return json.dumps({top: entries} if top else entries).encode()


@given(mutated_files())
def test_records_of_any_shape_come_out_once_or_stop_the_reading(drawn: tuple[str, list[object]]) -> None:
    format, entries = drawn
    content = written(format, entries)
    try:
        found = read(format, content, ReadOptions(on_bad_record="skip"))
    except SourceError as error:
        assert "is not of format" in error.message
        return
    captions = [entry.get("sentences") or [0] for entry in entries if isinstance(entry, dict)]
    several = sum(len(each) - 1 for each in captions if isinstance(each, list)) if format == "coco_caption" else 0
    bad = [each for each in found if isinstance(each, Skip) and each.reason in ("bad_record", "unread_media")]
    assert_conserved(found, len(found))
    assert len(entries) <= len(found) <= len(entries) + several
    assert all(bad_one.detail for bad_one in bad)
    is_bad = any(each.reason == "bad_record" for each in bad)
    try:
        assert read(format, content) == found
        assert not is_bad
    except SourceError:
        assert is_bad


@given(
    st.sampled_from(sorted(RECORDS)),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1, max_size=3),
    st.booleans(),
)
def test_bytes_of_any_kind_are_read_or_refused(format: str, changes: list[tuple[int, bytes]], lines: bool) -> None:
    content = written(format, [RECORDS[format]] * 2)
    if lines:
        content = b"\n".join(json.dumps(RECORDS[format]).encode() for _ in range(2))
    for place, piece in changes:
        content = content[:place] + piece + content[place + len(piece) :]
    for options in (ReadOptions(), ReadOptions(on_bad_record="skip")):
        try:
            found = read(format, content, options, "a.jsonl" if lines else "a.json")
        except SourceError as error:
            assert error.message
        else:
            assert_conserved(found, len(records(found)))
