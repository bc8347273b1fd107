"""Many records taken apart at a time are what they are one by one."""

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import SourceError
from blender.data.records import Conversation, Record, RecordBatch, Skip
from blender.data.sample import Turn
from blender.data.sources import open_source_file, read_batches, read_file
from tests.data.sources.conftest import Save
from tests.data.sources.entries import Read, instruction, llava, mimicit

words = st.sampled_from(
    ["A dog.", " A dog. ", "<image>\nWhat?", "What?\n<image>", "<image>", "Is <image> it?", "<image> <image>\nOr?", " "]
)
rounds = st.lists(st.tuples(words, words), min_size=1, max_size=3).map(
    lambda pairs: [text for pair in pairs for text in pair]
)
plain_rounds = st.sampled_from(
    [["What?", "A dog."], ["<image>\nWhat?", "A dog.", "Whose?", "Mine."], ["What?\n<image>", "<image>\nIs it?"]]
)
entries = st.lists(
    st.tuples(
        st.one_of(plain_rounds, rounds, rounds.map(lambda texts: texts[:-1])),
        st.sampled_from([None, "", "a.jpg", "b.jpg"]),
    ),
    min_size=1,
    max_size=12,
)


def read(format: str, content: object) -> list[Read]:
    """Read this as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.json"
        path.write_bytes(msgspec.json.encode(content))
        return list(read_file(format, str(path)))


@given(entries)
def test_a_name_and_a_list_of_this_name_alone_are_the_same(entries: list[tuple[list[str], str | None]]) -> None:
    """Entries with lists are read one by one."""
    as_names = [llava(*texts, image=image) for texts, image in entries]
    as_lists = [llava(*texts, image=[image] if image else []) for texts, image in entries]
    assert read("llava", as_names) == read("llava", as_lists)


def test_most_entries_are_read_many_at_a_time(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("one by one")

    monkeypatch.setattr("blender.data.sources.llava.converted", refuse)
    published = [
        llava("<image>\nWhat is it?", "A kite.", "Whose?", "A boy's.", image="a.jpg"),
        llava("What is it?\n<image>", "A kite with <image> on it.", image="b.jpg"),
        llava("What is it?", "A kite.", image="c.jpg"),
        llava("Who flew the first kite?", "Nobody knows."),
    ]
    first, second, third, fourth = read_file("llava", save(published))
    assert isinstance(first, Conversation)
    assert first.turns == (Turn([1], "What is it?", "A kite.", 0), Turn([], "Whose?", "A boy's.", 0))
    assert first.images == ("a.jpg",)
    assert isinstance(second, Conversation)
    assert second.turns == (Turn([1], "What is it?", "A kite with <image> on it.", 0),)
    assert second.images == ("b.jpg",)
    assert isinstance(third, Conversation)
    assert third.images == ("c.jpg",)
    assert isinstance(fourth, Conversation)
    assert fourth.images == ()


images = st.sampled_from(["SD_IMG_1", "CGD_IMG_000000000009", "CGD_IMG_0000000000000009", ""])
instructions = st.lists(
    st.fixed_dictionaries(
        {
            "instruction": st.sampled_from(["What?", " What? ", " "]),
            "answer": st.sampled_from(["A dog.", ""]),
            "image_ids": st.one_of(st.none(), st.lists(images, max_size=2)),
            "rel_ins_ids": st.one_of(st.none(), st.lists(st.sampled_from("abcdefghijx"), max_size=2)),
        }
    ),
    min_size=1,
    max_size=10,
)


def one_by_one(data: dict[str, dict[str, list[str] | None]]) -> list[tuple[bool, tuple[str, ...]]]:
    """Group instructions by walking from one to the next; return whether each group is usable, and its keys."""
    near = {key: set[str]() for key in data}
    for key, entry in data.items():
        for other in entry["rel_ins_ids"] or ():
            if other in data:
                near[key].add(other)
                near[other].add(key)

    def reached(key: str) -> set[str]:
        found, waiting = {key}, [key]
        while waiting:
            for other in near[waiting.pop()] - found:
                found.add(other)
                waiting.append(other)
        return found

    def images_of(key: str) -> list[str]:
        return [name.replace("IMG_0000", "IMG_") if len(name) == 24 else name for name in data[key]["image_ids"] or ()]

    usable = {
        key for key, entry in data.items() if str(entry["instruction"]).strip() and entry["answer"] and images_of(key)
    }
    usable -= {key for key in usable if "" in images_of(key)}
    found: list[tuple[bool, tuple[str, ...]]] = []
    for key in data:
        if key not in usable:
            found.append((False, (key,)))
        elif not any(key in group for _, group in found):
            group = reached(key) & usable
            found.append(
                (True, tuple(other for other in data if other in group and images_of(other) == images_of(key)))
            )
    return found


@given(instructions)
def test_instructions_are_grouped_as_by_walking_from_one_to_the_next(
    entries: list[dict[str, list[str] | None]],
) -> None:
    data = dict(zip("abcdefghij", entries, strict=False))
    read_ids = [
        (False, (each.record.id,)) if isinstance(each, Skip) else (True, tuple(each.id for each in each.records))
        for each in read("mimicit", mimicit(**data))
    ]
    assert read_ids == one_by_one(data)


def test_an_instruction_that_is_not_there_joins_nothing(save: Save) -> None:
    path = save(mimicit(a=instruction(["x"], ["gone"]), b=instruction(["x"]), c=instruction(["x"], ["gone"])))
    assert len(list(read_file("mimicit", path))) == 3


def conversation(turns: list[tuple[list[str], str, str, int]], records: list[Record], ordered: bool) -> Conversation:
    """Make a conversation of turns that hold the names of their images."""
    images, numbered = list[str](), list[Turn]()
    for names, *rest in turns:
        numbered.append(Turn([len(images) + number for number in range(1, len(names) + 1)], *rest))
        images += names
    return Conversation(tuple(images), tuple(numbered), tuple(records), ordered)


items = st.lists(
    st.one_of(
        st.builds(Skip, st.builds(Record, st.integers(0, 9), words), words, words),
        st.builds(
            conversation,
            st.lists(
                st.tuples(st.lists(words, max_size=2), words, words, st.integers(0, 2)),
                min_size=1,
                max_size=3,
            ),
            st.lists(st.builds(Record, st.integers(0, 9), words), min_size=1, max_size=3),
            st.booleans(),
        ),
    ),
    max_size=8,
)


@given(items)
def test_what_is_taken_apart_can_be_put_together(items: list[Read]) -> None:
    assert list(RecordBatch.of(items).items()) == items


@pytest.mark.parametrize("format", ["llava", "mimicit"])
def test_a_long_file_comes_in_several_batches_that_together_have_everything(save: Save, format: str) -> None:
    number = 20_000
    if format == "llava":
        content: object = [llava("What?", "A dog.", image=f"{index}.jpg", id=str(index)) for index in range(number)]
    else:
        data = {str(index): instruction([f"IMG_{index // 2}"], [str(index ^ 1)]) for index in range(number)}
        content = mimicit(**data)
    batches = list(read_batches(open_source_file(format, save(content))))
    assert len(batches) > 1
    assert [index for batch in batches for index in batch.indices] == list(range(number))
    assert [id for batch in batches for id in batch.ids] == list(map(str, range(number)))
    counts = {num_records for batch in batches for num_records in batch.num_records}
    assert counts == ({1} if format == "llava" else {2})


def test_what_comes_before_a_fault_is_read(save: Save) -> None:
    good = [llava("What?", "A dog.") for _ in range(10_000)]
    found: list[Read] = []
    with pytest.raises(SourceError, match="10,001"):
        found.extend(read_file("llava", save([*good, {"conversations": 5}])))
    assert len(found) == 10_000
