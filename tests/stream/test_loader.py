"""The loader: what a training loop gets, on any number of ranks and workers, interrupted anywhere."""

import json
import multiprocessing
import shutil
import sys

import pytest
import torch

from blender import load_recipe, open_blend, write_blend
from blender.core.errors import StreamError, WorkerError
from blender.encoding.encoder import make_text_encoder
from blender.encoding.image_processor import read_pixel_spec
from blender.stream.collate import IGNORED, Collator
from blender.stream.encode import Encoder
from blender.stream.loader import LoaderSettings, StreamLoader
from blender.stream.opening import open_mixture
from blender.stream.pixels import stack_images
from tests import corpora
from tests.processes import kill_and_expect_no_worker
from tests.stream import tiny_tokenizers

KIND = "gpt2"
SIXTEEN = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "resample": 3,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


@pytest.fixture(scope="module")
def blends(tmp_path_factory):
    """Two blends of different size."""
    made = {}
    for name, num_images, seed in (("large", 60, 1), ("small", 20, 2)):
        root = corpora.write_corpus(tmp_path_factory.mktemp(name), num_images)
        recipe = load_recipe(corpora.write_recipe(root), [f"seed={seed}", f"name={name}"])
        write_blend(recipe, root / "blend", workers=1)
        made[name] = str(root / "blend")
    return made


@pytest.fixture(scope="module")
def encoder():
    tokenizer = tiny_tokenizers.tiny_tokenizer(KIND)
    return Encoder(make_text_encoder(tokenizer, image_positions=4), read_pixel_spec(SIXTEEN), max_tokens=600)


def loader(data, encoder, rank=0, world=1, **settings):
    mixture = open_mixture(data)
    collator = Collator(pad_id=0, image_shape=encoder.pixels.shape)
    settings = LoaderSettings(**{"batch_size": 6, **settings})
    return StreamLoader(mixture, encoder, collator, settings, rank, world)


def keys_of(batch):
    rows = zip(batch.keys, batch.tags, strict=True)
    return [(tags["blend"], key) for row, said in rows for key, tags in zip(row, said, strict=True)]


def sequence(loaders, num_batches=None):
    """Return the keys of the ranks' batches, put together batch by batch."""
    made = []
    for number, batches in enumerate(zip(*loaders, strict=True), 1):
        made.append([key for batch in batches for key in keys_of(batch)])
        if number == num_batches:
            break
    return made


@pytest.mark.parametrize("pack", [False, True])
def test_an_epoch_has_every_sample_once_and_the_next_one_another_order(blends, encoder, pack):
    stream = loader(blends["large"], encoder, tail="pad", pack=pack)
    first, second = ([key for keys in sequence([stream]) for key in keys] for _ in range(2))
    assert len(first) == len(set(first)) == open_mixture(blends["large"]).mixture.num_samples
    assert sorted(first) == sorted(second)
    assert first != second
    assert not stream.skipped


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_see_what_one_rank_sees(blends, encoder, world, pack):
    alone = sequence([loader(blends["large"], encoder, tail="pad", pack=pack)])
    ranks = [loader(blends["large"], encoder, rank, world, tail="pad", pack=pack) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    assert sequence(ranks) == alone


@pytest.mark.slow
def test_workers_change_nothing_over_epochs_and_resumes(blends, encoder):
    alone = loader(blends["large"], encoder)
    many = loader(blends["large"], encoder, workers=2)
    for _ in range(2):
        assert sequence([many]) == sequence([alone])
    many.load_state_dict(alone.state_dict())
    assert sequence([many], 2) == sequence([alone], 2)


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_state_goes_on_at_another_world_size_batch_size_and_number_of_workers(blends, encoder, stop, pack):
    whole = [key for keys in sequence([loader(blends["large"], encoder, tail="pad", pack=pack)]) for key in keys]
    stopped = [loader(blends["large"], encoder, rank, 2, tail="pad", pack=pack, batch_size=4) for rank in range(2)]
    before = [key for keys in sequence(stopped, stop) for key in keys]
    states = [json.dumps(stream.state_dict()) for stream in stopped]
    assert len(set(states)) == 1
    resumed = [loader(blends["large"], encoder, rank, 3, tail="pad", pack=pack, batch_size=6) for rank in range(3)]
    for stream in resumed:
        stream.load_state_dict(json.loads(states[0]))
    assert before + [key for keys in sequence(resumed) for key in keys] == whole


def test_batches_fetched_ahead_do_not_count(blends, encoder):
    stream = loader(blends["large"], encoder, workers=2)
    seen = sequence([stream], 1)
    fresh = loader(blends["large"], encoder)
    fresh.load_state_dict(stream.state_dict())
    assert seen + sequence([fresh]) == sequence([loader(blends["large"], encoder)])


def test_a_state_of_another_split_is_refused(blends, encoder):
    state = loader(blends["large"], encoder).state_dict()
    other = StreamLoader(
        open_mixture(blends["large"], "eval"),
        encoder,
        Collator(pad_id=0, image_shape=encoder.pixels.shape),
        LoaderSettings(batch_size=1, tail="pad"),
    )
    with pytest.raises(StreamError, match="made for another blend large: train .*, not eval"):
        other.load_state_dict(state)


def test_a_state_of_another_blend_is_refused(blends, encoder):
    state = loader(blends["small"], encoder).state_dict()
    with pytest.raises(StreamError, match="small"):
        loader(blends["large"], encoder).load_state_dict(state)
    with pytest.raises(StreamError, match="packing"):
        loader(blends["small"], encoder, pack=True).load_state_dict(state)


def test_shares_of_a_mixture_hold_in_every_stretch(blends, encoder):
    data = {"a": {"blend": blends["large"], "weight": 2}, "b": {"blend": blends["small"], "weight": 1}}
    keys = [path for batch in sequence([loader(data, encoder, batch_size=3)]) for path, _ in batch]
    for length in range(1, len(keys)):
        assert abs(keys[:length].count("b") - length / 3) <= 1


def test_a_mixture_that_makes_no_sense_is_told(blends):
    with pytest.raises(StreamError, match="weigth"):
        open_mixture({"a": {"blend": blends["large"], "weigth": 2}})


def test_images_come_at_the_place_where_the_text_shows_them(blends, encoder):
    blend = open_blend(blends["large"])
    for batch in loader(blends["large"], encoder):
        for row, keys in enumerate(batch.keys):
            stored = blend[keys[0]]
            order = [n for n in batch.image_index[row].unique_consecutive().tolist() if n >= 0]
            assert len(order) == len(stored.images)
            own = torch.stack([batch.pixels[n] for n in order])
            assert torch.equal(own, stack_images(stored.images, encoder.pixels))


def test_trained_tokens_are_the_answers(blends, encoder):
    blend, tokenizer = open_blend(blends["large"]), tiny_tokenizers.tiny_tokenizer(KIND)
    for batch in loader(blends["large"], encoder):
        for row, keys in enumerate(batch.keys):
            trained = batch.labels[row][batch.labels[row] != IGNORED].tolist()
            text = tokenizer.decode(trained).split(tokenizer.eos_token)
            answers = [turn.answer for turn in blend[keys[0]].sample.turns]
            assert [part.strip() for part in text] == [*answers, ""]


def test_a_damaged_sample_leaves_an_empty_place(blends, encoder, tmp_path):
    folder = tmp_path / "blend"
    shutil.copytree(blends["small"], folder)
    whole = sequence([loader(str(folder), encoder, tail="pad")])
    shard = folder / "train" / "train-000000.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 255
    shard.write_bytes(content)
    stream = loader(str(folder), encoder, tail="pad")
    damaged = sequence([stream])
    assert [[key for key in keys if key[1] != "train-000000000"] for keys in whole] == damaged
    assert stream.skipped == {"damaged": 1}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_vanishes_is_one_sentence_from_any_process(own_blend, encoder, workers):
    made = loader(str(own_blend), encoder, workers=workers)
    (own_blend / "train" / "train-000001.tar").unlink()
    with pytest.raises(
        StreamError, match=r"^shard train/train-000001\.tar of .* cannot be read: No such file"
    ) as caught:
        list(made)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)
    assert "write it again with `visualchat blend`" in caught.value.hint


# PyTorch's own error comes from a signal handler, wherever Python is at that moment
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_the_system_kills_is_one_sentence(blends, encoder):
    made = loader(blends["large"], encoder, workers=2)
    batches = iter(made)
    next(batches)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(WorkerError, match="^a worker process was killed .* probably because memory ran out"):
        for _ in batches:
            pass


def test_workers_end_with_a_loop_that_is_killed(written, tmp_path):
    """Only the loop's own process is killed; its workers are in the middle of a batch."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from blender.stream import BatchSampler, Loader, LoaderSettings, open_mixture\n"
        "def prepare(stored, tags):\n"
        "    open(os.path.join(sys.argv[2], str(os.getpid())), 'w').close()\n"
        "    time.sleep(600)\n"
        "mixture = open_mixture(sys.argv[1])\n"
        "settings = LoaderSettings(batch_size=2, workers=2)\n"
        "list(Loader(mixture, BatchSampler(mixture.mixture, 0, 2), prepare, list, settings, 0, 1))\n"
    )
    kill_and_expect_no_worker([sys.executable, script, written, tmp_path], tmp_path, 2, seconds=120)
