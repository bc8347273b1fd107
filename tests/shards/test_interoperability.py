"""Other people's readers open the folder as it is."""

import shutil
import subprocess

import pytest

from blender import load_recipe, open_blend, write_blend
from tests import corpora

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def blend(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interoperable")
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    return open_blend(folder)


def first_keys(blend, split):
    return blend.index.filter(split=split)["key"].to_list()


def test_webdataset_reads_every_sample_in_order(blend):
    import webdataset

    shards = sorted(str(path) for path in (blend.path / "train").glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("pil"))
    assert [sample["__key__"] for sample in samples] == first_keys(blend, "train")
    stored = blend[samples[3]["__key__"]]
    assert samples[3]["json"]["turns"][0]["question"] == stored.sample.turns[0].question
    image = stored.sample.images[0]
    assert samples[3]["image1.jpg"].size == (image.width, image.height)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_samples_with_differing_numbers_of_images(blend, tmp_path, monkeypatch, streaming):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    loaded = datasets.load_dataset(str(blend.path), streaming=streaming, cache_dir=str(tmp_path / "cache"))
    for split in ("train", "eval"):
        rows = list(loaded[split])
        assert [row["__key__"] for row in rows] == first_keys(blend, split)
        for row in rows:
            stored = blend[row["__key__"]].sample
            assert row["json"]["spans"] == [{"text": span.text, "train": span.train} for span in stored.spans]
            shown = [name for name, value in row.items() if name.startswith("image") and value is not None]
            assert shown == [f"image{n}.jpg" for n in range(1, len(stored.images) + 1)]


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")
def test_tar_lists_the_shards(blend):
    for shard in blend.manifest.shards:
        listed = subprocess.run(["tar", "tf", blend.path / shard.path], capture_output=True, check=True, text=True)
        assert len(listed.stdout.splitlines()) == shard.num_samples + shard.num_images
        assert not listed.stderr


@pytest.mark.slow
def test_rays_workers_write_the_same_bytes(blend, corpus, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        recipe = load_recipe(corpora.write_recipe(corpus))
        write_blend(recipe, tmp_path / "blend", workers=2, executor="ray")
    finally:
        ray.shutdown()
    assert corpora.contents(tmp_path / "blend") == corpora.contents(blend.path)
