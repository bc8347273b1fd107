"""The stream where torchdata's loader, or any other that keeps states, wants a stateful dataset."""

import json

import pytest

from blender import load_recipe, write_blend
from blender.core.errors import StreamError
from blender.stream.collate import Collator
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.source import open_source
from tests import corpora
from tests.stream.samples import tiny_encoder
from tests.stream.tiny_tokenizers import tiny_tokenizer

stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = corpora.write_corpus(tmp_path_factory.mktemp("stateful"), 40)
    write_blend(load_recipe(corpora.write_recipe(root)), root / "blend", workers=1)
    return str(root / "blend")


def stream(folder, rank=0, world=1, batch_size=4, **settings):
    encoder = tiny_encoder("gpt2", max_tokens=600)
    collator = Collator(tiny_tokenizer("gpt2").eos_token_id, encoder.pixels.shape)
    settings = LoaderSettings(batch_size, tail="pad", **settings)
    return StreamLoader(open_source(folder), encoder, collator, settings, rank, world)


def keys(batches):
    return [key for batch in batches for row in batch.keys for key in row]


def test_a_stream_has_the_protocol_of_stateful_loaders(folder):
    assert isinstance(stream(folder), stateful.Stateful)


@pytest.mark.parametrize("pack", [False, True])
def test_a_state_kept_by_torchdatas_loader_goes_on_exactly(folder, pack):
    whole = keys(stream(folder, pack=pack))
    loader = stateful.StatefulDataLoader(stream(folder, pack=pack), batch_size=None)
    batches = iter(loader)
    seen = keys([next(batches) for _ in range(2)])
    state = loader.state_dict()
    again = stateful.StatefulDataLoader(stream(folder, pack=pack), batch_size=None)
    again.load_state_dict({**state, "dataset_state": json.loads(json.dumps(state["dataset_state"]))})
    assert seen + keys(again) == whole


@pytest.mark.slow
def test_torchdatas_loader_may_drive_a_stream_with_workers_of_its_own(folder):
    loader = stateful.StatefulDataLoader(stream(folder, workers=2), batch_size=None)
    assert keys(loader) == keys(stream(folder))


@pytest.mark.slow
def test_a_stream_in_another_loaders_worker_is_refused(folder):
    loader = stateful.StatefulDataLoader(stream(folder), batch_size=None, num_workers=1)
    with pytest.raises(StreamError, match="in a worker of another loader"):
        next(iter(loader))
