"""Whatever a file holds, every record of it comes out exactly once, in a conversation or as a skip."""

import tempfile
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from blender.records import Conversation
from blender.sources import read_file
from tests.sources.entries import Read, records

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


def read(format: str, content: bytes) -> list[Read]:
    """Read these bytes as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        path.write_bytes(content)
        return list(read_file(format, str(path)))


def assert_conserved(found: list[Read], num_records: int) -> None:
    """Check the claims that hold for every file of every format."""
    assert sorted(record.index for record in records(found)) == list(range(num_records))
    assert len({record.id for record in records(found)}) == num_records
    for each in found:
        if isinstance(each, Conversation):
            assert {turn.record for turn in each.turns} == set(range(len(each.records)))
            for turn in each.turns:
                assert turn.question == turn.question.strip() != ""
                assert turn.answer == turn.answer.strip() != ""
                assert "" not in turn.images


@given(st.lists(llava_entries, min_size=1, max_size=6))
def test_llava(entries: list[dict[str, object]]) -> None:
    found = read("llava", msgspec.json.encode(entries))
    assert_conserved(found, len(entries))
    for each, entry in zip(found, entries, strict=True):
        given_images = entry["image"] if isinstance(entry["image"], list) else [entry["image"] or None]
        if isinstance(each, Conversation):
            shown = [image for turn in each.turns for image in turn.images]
            assert shown == [image for image in given_images if image is not None]


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
            shown = [image for turn in each.turns for image in turn.images]
            assert shown and len(shown) == len(set(shown))
