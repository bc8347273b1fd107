"""The stream where torchdata's loader, or any other that keeps states, wants a stateful dataset."""

import json

import pytest

from blender.core.errors import StreamError
from blender.stream.collate import Collator
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.opening import open_mixture
from tests.stream.samples import tiny_encoder
from tests.stream.tiny_tokenizers import tiny_tokenizer

stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")


def stream(streamed, rank=0, world=1, batch_size=4, **settings):
    encoder = tiny_encoder("gpt2", max_tokens=600)
    collator = Collator(tiny_tokenizer("gpt2").eos_token_id, encoder.pixels.shape)
    settings = LoaderSettings(batch_size, tail="pad", **settings)
    return StreamLoader(open_mixture(str(streamed)), encoder, collator, settings, rank, world)


def keys(batches):
    return [key for batch in batches for row in batch.keys for key in row]


def test_a_stream_has_the_protocol_of_stateful_loaders(streamed):
    assert isinstance(stream(streamed), stateful.Stateful)


@pytest.mark.parametrize("pack", [False, True])
def test_a_state_kept_by_torchdatas_loader_goes_on_exactly(streamed, pack):
    whole = keys(stream(streamed, pack=pack))
    loader = stateful.StatefulDataLoader(stream(streamed, pack=pack), batch_size=None)
    batches = iter(loader)
    seen = keys([next(batches) for _ in range(2)])
    state = loader.state_dict()
    again = stateful.StatefulDataLoader(stream(streamed, pack=pack), batch_size=None)
    again.load_state_dict({**state, "dataset_state": json.loads(json.dumps(state["dataset_state"]))})
    assert seen + keys(again) == whole


@pytest.mark.slow
def test_torchdatas_loader_may_drive_a_stream_with_workers_of_its_own(streamed):
    loader = stateful.StatefulDataLoader(stream(streamed, workers=2), batch_size=None)
    assert keys(loader) == keys(stream(streamed))


@pytest.mark.slow
def test_a_stream_in_another_loaders_worker_is_refused(streamed):
    loader = stateful.StatefulDataLoader(stream(streamed), batch_size=None, num_workers=1)
    with pytest.raises(StreamError, match="in a worker of another loader"):
        next(iter(loader))
