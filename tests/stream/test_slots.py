"""Batches that cross from workers through slots of shared memory are the ones that were made."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from blender import load_recipe, write_blend
from blender.stream import loader as loading
from blender.stream.collate import Batch, Collator
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.slots import Slots
from blender.stream.source import open_source
from tests import corpora
from tests.stream.samples import tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = corpora.write_corpus(tmp_path_factory.mktemp("slots"), 40)
    write_blend(load_recipe(corpora.write_recipe(root)), root / "blend", workers=1)
    return str(root / "blend")


def stream(folder, **settings):
    encoder = tiny_encoder("gpt2", max_tokens=600)
    collator = Collator(0, encoder.pixels.shape)
    return StreamLoader(open_source(folder), encoder, collator, LoaderSettings(6, tail="pad", **settings), 0, 1)


def expect_same(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        for field in fields(Batch):
            mine, theirs = getattr(batch, field.name), getattr(other, field.name)
            assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs


@pytest.mark.parametrize("options", [{}, {"pack": True}, {"start_method": "spawn"}, {"prefetch": 1}])
def test_what_arrives_is_what_was_collated(folder, options):
    pack = options.get("pack", False)
    # kept until the end: later batches in the same slot must not change earlier ones
    expect_same(list(stream(folder, workers=2, **options)), stream(folder, pack=pack))


def test_a_batch_that_is_too_large_for_its_slot_arrives_too(folder, monkeypatch):
    monkeypatch.setattr(loading, "_most_bytes", lambda encoder, batch_size: 60_000)
    expected = list(stream(folder))
    sizes = [sum(getattr(batch, f.name).nbytes for f in fields(Batch)[:7]) for batch in expected]
    assert min(sizes) < 50_000 < 70_000 < max(sizes)
    expect_same(stream(folder, workers=2, start_method="fork"), expected)


class Numbers(IterableDataset):
    """Sends a number in a slot, again and again."""

    def __init__(self, slots):
        self.slots = slots

    def __iter__(self):
        for number in range(20):
            span = self.slots.write(np.full(100, number, np.uint8))
            yield self.slots.send(_numbers, span)


def _numbers(content, span):
    return set(content[slice(*span)].tolist())


def test_slots_are_filled_in_turn_and_an_overtaken_one_is_noticed():
    one_more = Slots(100, workers=1, per_worker=3)
    loader = DataLoader(Numbers(one_more), batch_size=None, num_workers=1, prefetch_factor=2)
    assert [sent.open() for sent in loader] == [{number} for number in range(20)]
    too_few = Slots(100, workers=1, per_worker=1)
    loader = DataLoader(Numbers(too_few), batch_size=None, num_workers=1, prefetch_factor=2)
    with pytest.raises(AssertionError, match="farther ahead"):
        [sent.open() for sent in list(loader)]
