"""Cutting a batch changes nothing but which rows go together."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blender.core.errors import TrainError
from blender.stream.collate import Collator
from blender.stream.encode import encode_sample
from blender.train.micro_batches import check_images, micro_batches, num_trained, take_rows
from tests.stream.samples import IMAGE_POSITIONS, SPEC, number_painted, stored_sample, tiny_encoder

#: images and rounds of each sample of each row
ROWS = st.lists(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), max_size=2), min_size=4, max_size=4)


def make_batch(rows):
    encoded, painted = [], 0
    for number, row in enumerate(rows):
        samples = []
        for place, counts in enumerate(row):
            turns = [(count, f"What is it, {number}?", "It " * (number + 1)) for count in counts]
            stored = stored_sample(turns, key=f"train-{number}{place}", first=painted % 16)
            painted += sum(counts)
            samples.append(encode_sample(stored, tiny_encoder(), {"blend": "mine"}))
        encoded.append(samples)
    return Collator(0, SPEC.shape)(encoded)


def said(batch):
    """Return what a batch says of each sample: its tokens, and the images at their positions."""
    found = {}
    for row, keys in enumerate(batch.keys):
        for segment, key in enumerate(keys, 1):
            here = batch.segment_ids[row] == segment
            images = batch.image_index[row][here].tolist()
            seen = [number_painted(batch.pixels[image]) if image >= 0 else None for image in images]
            names = ("input_ids", "labels", "position_ids")
            found[key] = ([getattr(batch, name)[row][here].tolist() for name in names], seen)
    return found


@given(ROWS, st.sampled_from([1, 2, 4]))
def test_micro_batches_together_say_what_the_batch_says(rows, size):
    batch = make_batch(rows)
    parts = micro_batches(batch, size)
    assert [len(part.keys) for part in parts] == [size] * (4 // size)
    together = {key: value for part in parts for key, value in said(part).items()}
    assert together == said(batch)
    assert sum(map(num_trained, parts)) == num_trained(batch)
    assert sum(len(part.pixels) for part in parts) == len(batch.pixels)
    for part in parts:
        check_images(part, IMAGE_POSITIONS)


def test_rows_of_like_length_share_a_micro_batch_without_spare_columns():
    batch = make_batch([[[0]], [[0, 2, 2]], [[0]], [[2, 2, 0]]])
    long, short = micro_batches(batch, 2)
    assert {key for row in long.keys for key in row} == {"train-10", "train-30"}
    assert short.input_ids.shape[1] < long.input_ids.shape[1] == batch.input_ids.shape[1]


def test_owners_are_those_of_the_new_rows():
    part = take_rows(make_batch([[[1]], [[2], [1]], [[0]], [[1]]]), torch.tensor([3, 1]))
    assert part.image_owner.tolist() == [[0, 1], [1, 1], [1, 1], [1, 2]]


def test_a_row_without_any_sample_is_cut_like_any_other():
    parts = micro_batches(make_batch([[], [], [[1]], []]), 1)
    assert [part.keys for part in parts] == [(("train-20",),), ((),), ((),), ((),)]
    assert parts[-1].pixels.shape == (0, *SPEC.shape)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda batch: replace(batch, pixels=batch.pixels[:1], image_owner=batch.image_owner[:1]), "more images than"),
        (lambda batch: replace(batch, image_index=batch.image_index.masked_fill(batch.image_index == 1, -1)), "0 pos"),
        (lambda batch: replace(batch, image_index=torch.where(batch.image_index == 1, 0, batch.image_index)), "pos"),
    ],
)
def test_text_and_pixels_that_disagree_are_refused_with_the_sample_named(spoil, words):
    batch = make_batch([[[1]], [[1]]])
    check_images(batch, IMAGE_POSITIONS)
    with pytest.raises(TrainError, match=r"sample train-[01]0 of mine") as caught:
        check_images(spoil(batch), IMAGE_POSITIONS)
    assert words in str(caught.value)


@pytest.mark.parametrize("rows", [[[[1]], [[1]]], [[[1], [1]]]], ids=["of another row", "of the same packed row"])
def test_an_image_of_another_sample_is_refused(rows):
    batch = make_batch(rows)
    check_images(batch, IMAGE_POSITIONS)
    swapped = torch.where(batch.image_index >= 0, 1 - batch.image_index, batch.image_index)
    with pytest.raises(TrainError, match="another sample"):
        check_images(replace(batch, image_index=swapped), IMAGE_POSITIONS)
