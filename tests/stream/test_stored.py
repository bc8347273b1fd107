"""Samples as they are stored: the bytes of the shards, in the order of the stream, from any number of workers."""

import json
from pathlib import Path

import pytest

from blender import open_blend
from blender.stream.loader import LoaderSettings
from blender.stream.opening import open_mixture
from blender.stream.stored import StoredLoader


def loader(streamed, rank=0, world=1, batch_size=5, **settings):
    return StoredLoader(open_mixture(str(streamed)), LoaderSettings(batch_size, tail="pad", **settings), rank, world)


def keys(batches):
    return [[stored.sample.key for stored in batch] for batch in batches]


def test_an_epoch_has_every_sample_as_it_is_stored(streamed):
    blend = open_blend(streamed)
    read = {stored.sample.key: stored for batch in loader(streamed) for stored in batch}
    assert read == {key: blend[key] for key in blend.index.filter(split="train")["key"]}


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (1, 4), (2, 2), (3, 1)])
def test_workers_change_nothing_however_far_ahead_they_are(streamed, workers, prefetch):
    alone, many = loader(streamed), loader(streamed, workers=workers, prefetch=prefetch)
    for _ in range(2):
        assert list(alone) == list(many)


@pytest.mark.slow
def test_an_iteration_that_is_given_up_leaves_nothing_behind(streamed):
    alone, many = loader(streamed), loader(streamed, workers=2)
    for stop in (1, 3, 2):
        assert [batch for batch, _ in zip(many, range(stop), strict=False)] == [
            batch for batch, _ in zip(alone, range(stop), strict=False)
        ]
        many.load_state_dict(alone.state_dict())
    assert keys(many) == keys(alone)


@pytest.mark.slow
def test_started_anew_instead_of_forked_workers_send_the_same(streamed):
    assert list(loader(streamed, workers=1, start_method="spawn")) == list(loader(streamed))


def test_ranks_together_see_what_one_sees_and_go_on_from_a_state(streamed):
    whole = [key for batch in keys(loader(streamed)) for key in batch]
    ranks = [loader(streamed, rank, 2) for rank in range(2)]
    seen = []
    for _, *batches in zip(range(2), *ranks, strict=False):
        seen += [key for batch in keys(batches) for key in batch]
    resumed = loader(streamed, batch_size=3)
    resumed.load_state_dict(json.loads(json.dumps(ranks[0].state_dict())))
    assert seen + [key for batch in keys(resumed) for key in batch] == whole


def test_every_sample_says_which_blend_it_is_of(streamed):
    source = open_mixture({"a": str(streamed), "b": str(streamed)})
    batch = next(iter(StoredLoader(source, LoaderSettings(6))))
    assert [tags["blend"] for tags in batch.tags].count("a") == 3


def test_what_has_no_length_is_not_packed(streamed):
    with pytest.raises(ValueError, match="cannot be packed"):
        loader(streamed, pack=True)


def test_the_example_of_the_docs_runs(streamed, tmp_path, monkeypatch, capsys):
    (tmp_path / "blend").symlink_to(streamed)
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text(encoding="utf-8")
    exec(compile(text.split("```python\n")[1].split("```")[0], "docs/streaming.md", "exec"), {})
    assert capsys.readouterr().out.endswith("5 batches are left of the epoch\n")
