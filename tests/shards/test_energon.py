"""Megatron-Energon opens a blend that `energon prepare` never saw."""

import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing

import numpy as np
import pytest
import yaml
from PIL import Image

from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.core.errors import FolderError
from blender.shards.energon import write_energon
from tests import corpora

OF_SHARDS = (".info.json", "index.sqlite", "index.uuid", "split.yaml")
CHOICES = ("dataset.yaml", "crude.yaml", "sample_loader.py")


@pytest.fixture(scope="module")
def indexed(written, tmp_path_factory):
    """A blend with Energon's files that no test changes."""
    folder = shutil.copytree(written, tmp_path_factory.mktemp("indexed") / "blend")
    write_energon(open_blend(folder))
    return open_blend(folder)


def energon(*arguments, answer=""):
    command = [sys.executable, "-m", "megatron.energon.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=answer)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(database):
    with closing(sqlite3.connect(database)) as opened:
        return [opened.execute(f"SELECT * FROM {table}").fetchall() for table in ("samples", "sample_parts")]


def problems(folder):
    return [problem for verdict in verify_blend(folder, workers=1) for problem in verdict.problems]


def cooker():
    from megatron.energon import Cooker, DefaultTaskEncoder, Sample, basic_sample_keys, edataclass, stateless

    @edataclass
    class Stored(Sample):
        members: dict

    @stateless
    def cook(raw):
        members = {name: value for name, value in raw.items() if not name.startswith("__")}
        return Stored(**basic_sample_keys(raw), members=members)

    class Encoder(DefaultTaskEncoder):
        decoder = None
        cookers = [Cooker(cook)]

    return Encoder()


def crude(blend, rank=0, world_size=1):
    """Read an epoch of train as one rank does."""
    from megatron.energon import WorkerConfig, get_loader, get_train_dataset

    dataset = get_train_dataset(
        blend.path,
        dataset_config="crude.yaml",
        task_encoder=cooker(),
        worker_config=WorkerConfig(rank=rank, world_size=world_size, num_workers=0),
        batch_size=None,
        shuffle_buffer_size=20,
        max_samples_per_sequence=5,
        repeat=False,
    )
    return list(get_loader(dataset))


def test_the_same_blend_gives_the_same_files(own_blend):
    before = corpora.contents(own_blend)
    written = write_energon(open_blend(own_blend))
    first = corpora.contents(own_blend)
    assert set(first) - set(before) == set(written)
    assert {path: first[path] for path in before} == before
    again = write_energon(open_blend(own_blend))
    assert corpora.contents(own_blend) == first
    assert set(written) - set(again) == {f".nv-meta/{name}" for name in CHOICES}


def test_a_users_own_way_of_reading_stays(own_blend):
    (own_blend / ".nv-meta").mkdir()
    (own_blend / ".nv-meta" / "dataset.yaml").write_text("mine")
    (own_blend / ".nv-meta" / "split.yaml").write_text("of another time")
    written = write_energon(open_blend(own_blend))
    assert (own_blend / ".nv-meta" / "dataset.yaml").read_text() == "mine"
    assert ".nv-meta/dataset.yaml" not in written
    assert "train/train-000000.tar" in (own_blend / ".nv-meta" / "split.yaml").read_text()


def test_the_splits_are_ours(indexed):
    parts = yaml.safe_load((indexed.path / ".nv-meta" / "split.yaml").read_text())["split_parts"]
    assert parts["train"] == [shard.path for shard in indexed.manifest.shards if shard.split == "train"]
    assert parts["val"] == [shard.path for shard in indexed.manifest.shards if shard.split == "eval"]
    assert parts["test"] == []


def test_the_database_points_at_members(indexed):
    counts = json.loads((indexed.path / ".nv-meta" / ".info.json").read_text())["shard_counts"]
    samples, parts = rows(indexed.path / ".nv-meta" / "index.sqlite")
    assert [key for _, key, *_ in samples] == sorted(indexed.index["key"].to_list())
    keys = {(shard, place): key for shard, key, place, *_ in samples}
    found = Counter()
    for shard, place, part, offset, size in parts:
        stored = indexed[keys[shard, place]]
        content = (indexed.path / list(counts)[shard]).read_bytes()[offset : offset + size]
        if part == "json":
            assert json.loads(content)["key"] == stored.sample.key
        else:
            number = int(part.removeprefix("image").partition(".")[0])
            assert content == stored.images[number - 1]
        found[stored.sample.key] += 1
    assert found == {key: 1 + count for key, count in indexed.index.select("key", "num_images").iter_rows()}


def test_verify_knows_the_files_and_tells_when_they_do_not_fit(own_blend):
    write_energon(open_blend(own_blend))
    (own_blend / "train" / "lengths-0123456789abcdef.npy").write_bytes(b"")
    assert not problems(own_blend)
    first, second, third = sorted((own_blend / "train").glob("*.idx"))[:3]
    content = bytearray(first.read_bytes())
    content[8] ^= 1
    first.write_bytes(content)
    second.unlink()
    third.rename(third.with_name("other.tar.idx"))
    counts = json.loads((own_blend / ".nv-meta" / ".info.json").read_text())
    counts["shard_counts"]["eval/eval-000000.tar"] += 1
    (own_blend / ".nv-meta" / ".info.json").write_text(json.dumps(counts))
    told = problems(own_blend)
    assert len(told) == 5
    assert told[0] == "train/other.tar.idx does not belong to the blend"
    assert told[1].startswith(".nv-meta/.info.json does not fit the blend")
    assert told[2].startswith("train/train-000000.tar.idx does not fit the blend")
    assert told[3].startswith("train/train-000001.tar.idx is missing")
    assert told[4].startswith("train/train-000002.tar.idx is missing")
    write_energon(open_blend(own_blend))
    assert problems(own_blend) == [told[0]]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"shard_counts": {"train/train-000000.tar": "3"}}', "\udcff"])
def test_verify_survives_a_strange_info(own_blend, content):
    write_energon(open_blend(own_blend))
    (own_blend / ".nv-meta" / ".info.json").write_bytes(content.encode(errors="surrogateescape"))
    assert len(problems(own_blend)) == 1


def test_what_tells_of_the_shards_goes_with_them(own_blend, corpus):
    write_energon(open_blend(own_blend))
    (own_blend / ".nv-meta" / "mine.yaml").write_text("mine")
    recipe = load_recipe(corpora.write_recipe(corpus), ["seed=8"])
    write_blend(recipe, own_blend, workers=1, overwrite=True)
    left = {path.name for path in (own_blend / ".nv-meta").iterdir()}
    assert left == {*CHOICES, "mine.yaml"}
    assert not list(own_blend.rglob("*.idx"))
    assert not problems(own_blend)


def test_a_blend_without_eval_has_an_empty_val(own_corpus, tmp_path):
    def change(recipe):
        recipe["split"] = {"eval": 0}

    write_blend(load_recipe(corpora.write_recipe(own_corpus, change)), tmp_path / "blend", workers=1)
    write_energon(open_blend(tmp_path / "blend"))
    parts = yaml.safe_load((tmp_path / "blend" / ".nv-meta" / "split.yaml").read_text())["split_parts"]
    assert parts["val"] == []


def test_a_folder_that_cannot_be_written_is_told(own_blend):
    (own_blend / ".nv-meta").write_text("in the way")
    with pytest.raises(FolderError, match="cannot write to"):
        write_energon(open_blend(own_blend))


@pytest.mark.slow
def test_energon_itself_would_have_written_the_same(own_blend, indexed):
    pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    parts = ("--split-parts", "train:train/.*", "--split-parts", "val:eval/.*")
    energon("prepare", own_blend, "--non-interactive", *parts, "--sample-type", "CrudeWebdataset", "--num-workers", 1)
    theirs, ours = own_blend / ".nv-meta", indexed.path / ".nv-meta"
    for file in own_blend.rglob("*.idx"):
        assert file.read_bytes() == (indexed.path / file.relative_to(own_blend)).read_bytes()
    assert rows(theirs / "index.sqlite") == rows(ours / "index.sqlite")
    counts = [json.loads((side / ".info.json").read_text())["shard_counts"] for side in (theirs, ours)]
    assert list(counts[0].items()) == list(counts[1].items())
    assert yaml.safe_load((theirs / "dataset.yaml").read_text()) == yaml.safe_load((ours / "crude.yaml").read_text())
    assert not problems(own_blend)


@pytest.mark.slow
def test_energons_tools_open_it_without_questions(indexed):
    pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    told = energon("info", indexed.path)
    assert f"{len(indexed):,} samples" in told
    for theirs, ours in (("train", "train"), ("val", "eval")):
        shards = [shard for shard in indexed.manifest.shards if shard.split == ours]
        samples = sum(shard.num_samples for shard in shards)
        assert any(
            line.strip().startswith(f"* `{theirs}`") and f"{samples:,} samples in {len(shards)} shards" in line
            for line in told.splitlines()
        )
    assert "What is in it" in energon("preview", indexed.path, answer="y\n" * len(indexed))
    energon("lint", indexed.path)


@pytest.mark.slow
def test_an_epoch_is_every_sample_once_with_our_bytes(indexed):
    pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    samples = [sample for rank in range(2) for sample in crude(indexed, rank, 2)]
    assert sorted(sample.__key__ for sample in samples) == indexed.index.filter(split="train")["key"].to_list()
    for sample in samples:
        stored = indexed[sample.__key__]
        names = ["json", *(f"image{number}.jpg" for number in range(1, len(stored.images) + 1))]
        assert list(sample.members) == names
        assert tuple(sample.members[name] for name in names[1:]) == stored.images
        assert json.loads(sample.members["json"])["spans"] == [
            {"text": span.text, "train": span.train} for span in stored.sample.spans
        ]


@pytest.mark.slow
def test_val_is_eval_in_order_as_texts_and_pictures(indexed):
    pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    from megatron.energon import WorkerConfig, get_loader, get_val_dataset

    alone = WorkerConfig(rank=0, world_size=1, num_workers=0)
    samples = list(get_loader(get_val_dataset(indexed.path, worker_config=alone, batch_size=None)))
    assert [sample.__key__ for sample in samples] == indexed.index.filter(split="eval")["key"].to_list()
    for sample in samples:
        stored = indexed[sample.__key__]
        text = "".join(item if isinstance(item, str) else "<image>" for item in sample.sequence)
        assert text == "".join(span.text for span in stored.sample.spans)
        pictures = [item for item in sample.sequence if not isinstance(item, str)]
        for picture, content in zip(pictures, stored.images, strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            assert np.array_equal((picture.permute(1, 2, 0) * 255).round().numpy().astype(np.uint8), pixels)


@pytest.mark.slow
def test_a_picture_is_shown_upright_whatever_its_format(own_corpus, tmp_path):
    pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    from megatron.energon import WorkerConfig, get_loader, get_train_dataset

    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (40, 30), "red").save(own_corpus / "sparkles" / "100.jpg", exif=turned)
    Image.new("LA", (20, 10)).save(own_corpus / "sparkles" / "101.png")
    (own_corpus / "sparkles" / "101.jpg").unlink()
    Image.new("P", (12, 8)).save(own_corpus / "sparkles" / "102.webp")
    (own_corpus / "sparkles" / "102.jpg").unlink()
    pair = json.dumps([corpora.sparkles(["100.jpg", "101.png", "102.webp"])])
    (own_corpus / "sparkles.json").write_text(pair)

    def change(recipe):
        recipe["sources"] = {"sparkles": recipe["sources"]["sparkles"]}
        recipe["blend"] = recipe["blend"][-1:]
        recipe["split"] = {"eval": 0}

    write_blend(load_recipe(corpora.write_recipe(own_corpus, change)), tmp_path / "blend", workers=1)
    blend = open_blend(tmp_path / "blend")
    write_energon(blend)
    dataset = get_train_dataset(
        blend.path,
        worker_config=WorkerConfig(rank=0, world_size=1, num_workers=0),
        batch_size=None,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        repeat=False,
    )
    (sample,) = get_loader(dataset)
    shapes = [tuple(item.shape) for item in sample.sequence if not isinstance(item, str)]
    assert shapes == [(3, 40, 30), (3, 10, 20), (3, 8, 12)]
