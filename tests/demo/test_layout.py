"""What a picture is depends on the seed and its number, never on how many there are."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.demo.layout import BLOCK, block_slots, dialogues_before, num_dialogues


def slots(seed, num_images):
    return [slot for block in range(-(-num_images // BLOCK)) for slot in block_slots(seed, block, num_images)]


@given(st.integers(0, 1000), st.integers(8, 300), st.integers(8, 300))
def test_a_larger_corpus_begins_with_the_smaller_one(seed, few, many):
    few, many = sorted((few, many))
    assert slots(seed, many)[:few] == slots(seed, few)


def test_names_are_distinct_and_of_the_published_forms():
    drawn = slots(3, 8_000)
    assert len({(slot.store, slot.name) for slot in drawn}) == 8_000
    coco = [slot.name for slot in drawn if slot.store == "coco"]
    assert len(coco) == 6_000 and all(len(name) == 16 for name in coco)


@pytest.mark.parametrize("store", ["sparkles_cc", "sparkles_vg"])
def test_a_sparkles_id_is_often_the_beginning_of_another(store):
    names = [slot.name.removesuffix(".jpg") for slot in slots(0, 640) if slot.store == store]
    pairs = list(zip(names[0::2], names[1::2], strict=True))
    assert all(longer.startswith(shorter) for shorter, longer in pairs)


def test_a_copy_comes_after_its_original_and_both_are_coco():
    block = block_slots(0, 0, BLOCK)
    copies = [slot for slot in block if slot.original is not None]
    assert len(copies) == 12
    for slot in copies:
        original = block[slot.original]
        assert original.index < slot.index and original.store == slot.store == "coco"
    assert max(Counter(slot.original for slot in copies).values()) <= 2


def test_dialogues_are_numbered_through():
    blocks = [block_slots(0, block, 10 * BLOCK) for block in range(10)]
    for store in ("sparkles_cc", "sparkles_vg"):
        numbers = [num_dialogues(sum(slot.store == store for slot in block)) for block in blocks]
        assert [dialogues_before(store, block) for block in range(10)] == [sum(numbers[:block]) for block in range(10)]
