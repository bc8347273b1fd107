"""Rows of samples, padded or packed, lose nothing and mix nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.stream.collate import IGNORED, Collator
from blender.stream.encode import encode_sample
from tests.stream.samples import SPEC, number_painted, stored_sample, tiny_encoder

COLLATE = Collator(pad_id=0, image_shape=SPEC.shape)

#: samples as (number of images in each turn)
conversations = st.lists(st.integers(0, 2), min_size=1, max_size=3)


def encoded(shown, number=0):
    """Encode a sample whose images are painted from ten times its number on."""
    turns = [(count, f"Question {number}?", f"Answer {turn} of {number}.") for turn, count in enumerate(shown)]
    stored = stored_sample(turns, key=f"train-{number:09d}", first=number * 6, dataset=f"set{number % 2}")
    return encode_sample(stored, tiny_encoder(), tags={"blend": str(number)})


@st.composite
def packed(draw):
    number, rows = 0, []
    for size in draw(st.lists(st.integers(0, 2), min_size=1, max_size=2)):
        row = []
        for _ in range(size):
            row.append(encoded(draw(conversations), number))
            number += 1
        rows.append(row)
    return rows


@settings(deadline=None, max_examples=60)
@given(rows=packed())
def test_every_sample_stands_whole_in_its_segment(rows):
    batch = COLLATE(rows)
    for number, row in enumerate(rows):
        for segment, sample in enumerate(row, start=1):
            here = batch.segment_ids[number] == segment
            assert batch.input_ids[number, here].tolist() == sample.text.input_ids.tolist()
            assert batch.position_ids[number, here].tolist() == list(range(sample.num_tokens))
            labels = np.where(sample.text.loss_mask, sample.text.input_ids, IGNORED)
            labels[0] = IGNORED
            assert batch.labels[number, here].tolist() == labels.tolist()
            assert batch.keys[number][segment - 1] == sample.key
            assert batch.datasets[number][segment - 1] == sample.dataset
            assert batch.tags[number][segment - 1] == sample.tags
        assert [len(names) for names in (batch.keys[number], batch.datasets[number], batch.tags[number])] == [
            len(row)
        ] * 3


@settings(deadline=None, max_examples=60)
@given(rows=packed())
def test_every_image_stands_in_its_own_sample(rows):
    batch = COLLATE(rows)
    assert batch.pixels.shape == (sum(len(sample.pixels) for row in rows for sample in row), *SPEC.shape)
    for image, (row, segment) in enumerate(batch.image_owner.tolist()):
        places = (batch.image_index == image).nonzero()
        assert set(places[:, 0].tolist()) == {row}
        assert set(batch.segment_ids[row, places[:, 1]].tolist()) == {segment}
        sample = rows[row][segment - 1]
        first = batch.image_owner.tolist().index([row, segment])
        assert torch.equal(batch.pixels[image], sample.pixels[image - first])
        assert number_painted(batch.pixels[image]) == int(sample.key[-1]) * 6 + image - first
        assert len(places) == int((sample.text.image_index == image - first).sum())
    assert int((batch.image_index >= 0).sum()) == sum(int((s.text.image_index >= 0).sum()) for row in rows for s in row)


@settings(deadline=None, max_examples=60)
@given(rows=packed(), multiple=st.sampled_from([1, 8, 64]))
def test_padding_is_least_and_counted(rows, multiple):
    batch = Collator(7, SPEC.shape, multiple=multiple)(rows)
    longest = max(sum(sample.num_tokens for sample in row) for row in rows)
    length = batch.input_ids.shape[1]
    assert length % multiple == 0
    assert longest <= length
    assert length - longest < multiple or longest == 0
    padding = batch.segment_ids == 0
    assert set(batch.input_ids[padding].tolist()) <= {7}
    assert set(batch.labels[padding].tolist()) <= {IGNORED}
    assert set(batch.image_index[padding].tolist()) <= {-1}
    assert batch.padding_share == pytest.approx(padding.float().mean().item())
    assert batch.num_tokens == sum(sample.num_tokens for row in rows for sample in row)


def test_no_loss_is_taken_across_a_seam():
    sample = encoded([0])
    eager = replace(sample, text=replace(sample.text, loss_mask=np.ones_like(sample.text.loss_mask)))
    labels = COLLATE([[sample, eager]]).labels[0]
    first = sample.num_tokens
    assert labels[first] == IGNORED
    assert labels[first + 1] == sample.text.input_ids[1]


def test_rows_of_one_length():
    batch = Collator(0, SPEC.shape, length=100)([[encoded([1])], [encoded([0])]])
    assert batch.input_ids.shape == (2, 100)


def test_a_batch_without_images_has_room_for_none():
    batch = COLLATE([[encoded([0])]])
    assert batch.pixels.shape == (0, *SPEC.shape)
    assert batch.pixels.dtype == torch.uint8
    assert batch.image_owner.shape == (0, 2)


def test_a_row_whose_samples_were_all_dropped_is_padding():
    batch = COLLATE([[], [encoded([1])]])
    assert (batch.segment_ids[0] == 0).all()
    assert batch.keys == ((), ("train-000000000",))
    assert COLLATE([[]]).input_ids.shape == (1, 8)


def test_batches_move_as_one():
    batch = COLLATE([[encoded([1])]]).to("meta")
    assert batch.pixels.is_meta
    assert batch.input_ids.is_meta
    assert batch.keys == (("train-000000000",),)
