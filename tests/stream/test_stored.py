"""Samples as they are stored: the bytes of the shards, in the order of the stream, from any number of workers."""

import json

import pytest

from blender import load_recipe, open_blend, write_blend
from blender.stream.loader import LoaderSettings
from blender.stream.source import open_source
from blender.stream.stored import StoredLoader
from tests import corpora


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = corpora.write_corpus(tmp_path_factory.mktemp("stored"), 40)
    write_blend(load_recipe(corpora.write_recipe(root)), root / "blend", workers=1)
    return str(root / "blend")


def loader(folder, rank=0, world=1, batch_size=5, **settings):
    return StoredLoader(open_source(folder), LoaderSettings(batch_size, tail="pad", **settings), rank, world)


def keys(batches):
    return [[stored.sample.key for stored in batch] for batch in batches]


def test_an_epoch_has_every_sample_as_it_is_stored(folder):
    blend = open_blend(folder)
    read = {stored.sample.key: stored for batch in loader(folder) for stored in batch}
    assert read == {key: blend[key] for key in blend.index.filter(split="train")["key"]}


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (1, 4), (2, 2), (3, 1)])
def test_workers_change_nothing_however_far_ahead_they_are(folder, workers, prefetch):
    alone, many = loader(folder), loader(folder, workers=workers, prefetch=prefetch)
    for _ in range(2):
        assert list(alone) == list(many)


@pytest.mark.slow
def test_an_iteration_that_is_given_up_leaves_nothing_behind(folder):
    alone, many = loader(folder), loader(folder, workers=2)
    for stop in (1, 3, 2):
        assert [batch for batch, _ in zip(many, range(stop), strict=False)] == [
            batch for batch, _ in zip(alone, range(stop), strict=False)
        ]
        many.load_state_dict(alone.state_dict())
    assert keys(many) == keys(alone)


@pytest.mark.slow
def test_started_anew_instead_of_forked_workers_send_the_same(folder):
    assert list(loader(folder, workers=1, start_method="spawn")) == list(loader(folder))


def test_ranks_together_see_what_one_sees_and_go_on_from_a_state(folder):
    whole = [key for batch in keys(loader(folder)) for key in batch]
    ranks = [loader(folder, rank, 2) for rank in range(2)]
    seen = []
    for _, *batches in zip(range(2), *ranks, strict=False):
        seen += [key for batch in keys(batches) for key in batch]
    resumed = loader(folder, batch_size=3)
    resumed.load_state_dict(json.loads(json.dumps(ranks[0].state_dict())))
    assert seen + [key for batch in keys(resumed) for key in batch] == whole


def test_every_sample_says_which_blend_it_is_of(folder):
    source = open_source({"a": folder, "b": folder})
    batch = next(iter(StoredLoader(source, LoaderSettings(6))))
    assert [tags["blend"] for tags in batch.tags].count("a") == 3


def test_what_has_no_length_is_not_packed(folder):
    with pytest.raises(ValueError, match="cannot be packed"):
        loader(folder, pack=True)
