"""Batches that come from workers through shared memory are the ones that were made."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from blender.stream import loader as loading
from blender.stream.collate import Batch, Collator
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.opening import open_mixture
from blender.stream.shared_buffers import SharedBuffers
from tests.stream.samples import tiny_encoder

pytestmark = pytest.mark.slow


def stream(streamed, **settings):
    encoder = tiny_encoder("gpt2", max_tokens=600)
    collator = Collator(0, encoder.pixels.shape)
    return StreamLoader(open_mixture(str(streamed)), encoder, collator, LoaderSettings(6, tail="pad", **settings), 0, 1)


def expect_same(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        for field in fields(Batch):
            mine, theirs = getattr(batch, field.name), getattr(other, field.name)
            assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs


@pytest.mark.parametrize("options", [{}, {"pack": True}, {"start_method": "spawn"}, {"prefetch": 1}])
def test_what_arrives_is_what_was_collated(streamed, options):
    pack = options.get("pack", False)
    workers, alone = stream(streamed, workers=2, **options), stream(streamed, pack=pack)
    for _ in range(2):
        # kept until the end: later batches in the same buffer must not change earlier ones
        expect_same(list(workers), alone)


def test_a_batch_that_is_too_large_for_a_buffer_arrives_too(streamed, monkeypatch):
    monkeypatch.setattr(loading, "_buffer_bytes", lambda encoder, num_rows: 60_000)
    expected = list(stream(streamed))
    sizes = [sum(getattr(batch, f.name).nbytes for f in fields(Batch)[:7]) for batch in expected]
    assert min(sizes) < 50_000 < 70_000 < max(sizes)
    expect_same(stream(streamed, workers=2, start_method="fork"), expected)


class Numbers(IterableDataset):
    """Sends a number in a buffer, again and again, in two pieces, the second in two parts."""

    def __init__(self, buffers):
        self.buffers = buffers

    def __iter__(self):
        for number in range(20):
            part = np.full(50, number, np.uint8)
            assert self.buffers.fits([50, 100])
            assert not self.buffers.fits([50, 400])
            yield self.buffers.send([self.buffers.write(part), self.buffers.write(part, part)], _numbers)


def _numbers(pieces):
    assert [len(piece) for piece in pieces] == [50, 100]
    return {number for piece in pieces for number in piece.tolist()}


def test_buffers_are_filled_in_turn_and_an_overtaken_one_is_noticed():
    one_more = SharedBuffers(300, workers=1, per_worker=3)
    loader = DataLoader(Numbers(one_more), batch_size=None, num_workers=1, prefetch_factor=2)
    assert [sent.open() for sent in loader] == [{number} for number in range(20)]
    too_few = SharedBuffers(300, workers=1, per_worker=1)
    loader = DataLoader(Numbers(too_few), batch_size=None, num_workers=1, prefetch_factor=2)
    with pytest.raises(AssertionError, match="farther ahead"):
        [sent.open() for sent in list(loader)]
