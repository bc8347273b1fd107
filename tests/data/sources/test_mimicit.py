"""MIMIC-IT: related instructions become one conversation, COCO names come out, no key is lost."""

import json
from pathlib import Path

import msgspec
import pytest

from blender.data.records import Conversation, Record, Skip
from blender.data.sample import Turn
from blender.data.sources import read_file
from blender.data.sources.mimicit import coco_name
from tests.data.sources.conftest import Save
from tests.data.sources.entries import instruction, mimicit, only_conversation, only_skip, records


def test_related_instructions_are_one_conversation_in_any_order(save: Save) -> None:
    path = save(
        mimicit(
            SD_INS_0=instruction(related=["SD_INS_2"], instruction=" What differs? "),
            SD_INS_1=instruction(["SD_IMG_9"]),
            SD_INS_2=instruction(related=["SD_INS_0"], instruction="Who left?", answer="A man."),
        )
    )
    pair, single = read_file("mimicit", path)
    assert pair == Conversation(
        images=("SD_IMG_1", "SD_IMG_2"),
        turns=(
            Turn([1, 2], "What differs?", "The dog.", source=0),
            Turn([], "Who left?", "A man.", source=1),
        ),
        records=(Record(0, "SD_INS_0"), Record(2, "SD_INS_2")),
        ordered=False,
    )
    assert isinstance(single, Conversation) and single.images == ("SD_IMG_9",)


def test_being_named_is_enough_and_reaches_through_others(save: Save) -> None:
    path = save(
        mimicit(
            a=instruction(),
            b=instruction(related=["a", "not in this file"]),
            c=instruction(),
            d=instruction(related=["c", "b", "d"]),
            e=instruction(),
        )
    )
    first, second = read_file("mimicit", path)
    assert [[record.id for record in records([each])] for each in (first, second)] == [["a", "b", "c", "d"], ["e"]]


def test_related_instructions_about_other_images_are_other_conversations(save: Save) -> None:
    path = save(
        mimicit(
            a=instruction(["x", "y"], ["b", "c"]),
            b=instruction(["y", "x"], ["a"]),
            c=instruction(["x", "y"], ["a"]),
        )
    )
    read = list(read_file("mimicit", path))
    assert [[record.id for record in records([each])] for each in read] == [["a", "c"], ["b"]]


def test_an_unusable_instruction_still_ties_its_neighbours(save: Save) -> None:
    path = save(
        mimicit(a=instruction(related=["b"]), b=instruction(related=["c"], answer=" "), c=instruction(related=["b"]))
    )
    conversation, skip = read_file("mimicit", path)
    assert [record.id for record in records([conversation])] == ["a", "c"]
    assert isinstance(skip, Skip) and skip.reason == "empty_text"


def test_the_first_usable_instruction_shows_the_images(save: Save) -> None:
    path = save(mimicit(a=instruction(related=["b"], instruction=""), b=instruction(related=["a"])))
    skip, conversation = read_file("mimicit", path)
    assert isinstance(skip, Skip) and isinstance(conversation, Conversation)
    assert conversation.turns == (Turn([1, 2], "What differs?", "The dog.", 0),)
    assert conversation.images == ("SD_IMG_1", "SD_IMG_2")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("CGD_IMG_000000426538", "000000426538.jpg"),
        ("CGD_IMG_0000000000426538", "000000426538.jpg"),
        ("CGD_IMG_426538", "000000426538.jpg"),
        ("CGD_IMG_000000000000", "000000000000.jpg"),
        ("CGD_IMG_", "CGD_IMG_"),
        ("CGD_IMG_12a", "CGD_IMG_12a"),
        ("SD_IMG_00151_1", "SD_IMG_00151_1"),
        ("TVC_IMG_friends_s01", "TVC_IMG_friends_s01"),
        ("000000426538", "000000426538"),
    ],
)
def test_only_cgd_ids_become_coco_names(image: str, name: str) -> None:
    assert coco_name(image) == name


def test_both_paddings_are_the_same_image(save: Save) -> None:
    short, long = "CGD_IMG_000000426538", "CGD_IMG_0000000000426538"
    path = save(mimicit(a=instruction([short], ["b"]), b=instruction([long], ["a"])))
    assert len(only_conversation(read_file("mimicit", path)).turns) == 2


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (instruction(instruction="\n"), "empty_text"),
        (instruction(answer=""), "empty_text"),
        (instruction([]), "no_images"),
        ({"instruction": "What?", "answer": "It."}, "no_images"),
        (instruction(["x", ""]), "image_name"),
    ],
)
def test_what_cannot_be_used_is_named(save: Save, entry: dict[str, object], reason: str) -> None:
    assert only_skip(read_file("mimicit", save(mimicit(a=entry)))).reason == reason


def test_a_key_that_comes_again_is_a_skip_and_the_first_one_counts(tmp_path: Path) -> None:
    entries = [
        ("a", instruction(instruction="First?")),
        ("b", instruction(related=["c"])),
        ("a", instruction(instruction="Second?", related=["b", "c"])),
        ("c", instruction(["z"])),
        ("a", instruction(instruction="Third?")),
    ]
    data = ", ".join(f"{json.dumps(key)}: {msgspec.json.encode(entry).decode()}" for key, entry in entries)
    path = tmp_path / "CGD_instructions.json"
    path.write_text(f'{{"data": {{{data}}}}}')
    read = list(read_file("mimicit", str(path)))
    skips = [each for each in read if isinstance(each, Skip)]
    assert [(skip.record, skip.reason) for skip in skips] == [
        (Record(2, "a~2"), "duplicate_id"),
        (Record(4, "a~3"), "duplicate_id"),
    ]
    assert "record 1" in skips[0].detail
    first = read[0]
    assert isinstance(first, Conversation) and first.turns[0].question == "First?"
    assert len(records(read)) == len(entries)


def test_a_key_that_comes_again_ties_nothing_together(tmp_path: Path) -> None:
    entries = [("a", instruction()), ("b", instruction()), ("c", instruction()), ("a", instruction(related=["b", "c"]))]
    data = ", ".join(f"{json.dumps(key)}: {msgspec.json.encode(entry).decode()}" for key, entry in entries)
    path = tmp_path / "SD_instructions.json"
    path.write_text(f'{{"data": {{{data}}}}}')
    read = [each for each in read_file("mimicit", str(path)) if isinstance(each, Conversation)]
    assert [len(each.turns) for each in read] == [1, 1, 1]


def test_the_word_instruction_inside_a_text_is_no_key(save: Save) -> None:
    path = save(mimicit(a=instruction(instruction='Say "instruction"', answer='"instruction": "x"')))
    assert only_conversation(read_file("mimicit", path)).turns[0].question == 'Say "instruction"'


def test_a_chain_of_many_instructions_is_followed_to_its_end(save: Save) -> None:
    length = 20_000
    path = save(mimicit(**{f"i{n}": instruction(related=[f"i{n + 1}"]) for n in range(length)}))
    assert len(only_conversation(read_file("mimicit", path)).turns) == length
