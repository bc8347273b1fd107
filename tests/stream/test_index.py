import json
import pickle
import shutil
import subprocess
import sys

import fsspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from blender import open_blend
from blender.core.errors import ShardError, StoreError, StreamError
from blender.shards.index import SCHEMA
from blender.stream.index import open_stream_blend
from blender.stream.remote import Retries
from tests.servers import address, bucket, serving, upload

QUICK = Retries(num_tries=3, first_pause=0.01)


def expect_what_the_blend_is(stream, folder):
    blend = open_blend(folder)
    assert stream.manifest.fingerprint == blend.manifest.fingerprint
    assert list(stream.splits) == ["train", "eval"]
    for name, split in stream.splits.items():
        rows = blend.index.filter(split=name)
        assert [split.key(row) for row in range(split.num_samples)] == rows["key"].to_list()
        assert split.offsets.tolist() == rows["offset"].to_list()
        assert split.sizes.tolist() == rows["size"].to_list()
        counts = rows.group_by("shard", maintain_order=True).len()
        assert stream.shard_sizes(name).tolist() == counts["len"].to_list()
        assert [shard.path for shard in split.shards] == [f"{name}/{shard}" for shard in counts["shard"]]
        assert split.first_rows.tolist() == [0, *np.cumsum(counts["len"].to_list())[:-1].tolist()]
        for shard, told in zip(split.shards, (s for s in blend.manifest.shards if s.split == name), strict=True):
            assert (shard.sha256, shard.num_bytes) == (told.sha256, told.num_bytes)


def test_a_folder_is_opened(written):
    expect_what_the_blend_is(open_stream_blend(str(written)), written)


def test_a_blend_travels_to_other_processes(written):
    expect_what_the_blend_is(pickle.loads(pickle.dumps(open_stream_blend(str(written)))), written)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blend_on_the_web_is_opened_without_a_look_at_its_shards(written, ranges):
    with serving(written, ranges) as server:
        expect_what_the_blend_is(open_stream_blend(address(server), QUICK), written)
        assert {name for name, _ in server.asked} == {"manifest.json", "index.parquet"}


def test_a_large_index_on_the_web_is_read_in_parts(written, monkeypatch):
    monkeypatch.setattr("blender.stream.index._SMALL_INDEX", 0)
    with serving(written) as server:
        expect_what_the_blend_is(open_stream_blend(address(server), QUICK), written)
        assert all(span for name, span in server.asked if name == "index.parquet")


def test_a_blend_in_a_bucket_is_opened(written):
    with bucket() as client:
        expect_what_the_blend_is(open_stream_blend(upload(client, "some/blend", written), QUICK), written)


def test_a_blend_in_memory_is_opened(written):
    memory = fsspec.filesystem("memory")
    memory.put(str(written), "/blend", recursive=True)
    expect_what_the_blend_is(open_stream_blend("memory://blend", QUICK), written)
    memory.rm("/blend", recursive=True)


def test_a_server_that_fails_at_times_is_asked_again(written):
    with serving(written) as server:
        server.faults = {"manifest.json": [500, "cut"], "index.parquet": [503]}
        expect_what_the_blend_is(open_stream_blend(address(server), QUICK), written)


def test_a_server_that_fails_always_is_named(written):
    with serving(written) as server:
        server.faults = {"manifest.json": [500] * 3}
        with pytest.raises(StreamError, match=r"http://127.*/manifest.json cannot be read.*tried 3 times"):
            open_stream_blend(address(server), QUICK)


def test_a_missing_blend_is_told_at_once(written, tmp_path):
    patient = Retries(num_tries=5, first_pause=100)
    with serving(tmp_path) as server, pytest.raises(StreamError, match="no such file"):
        open_stream_blend(address(server), patient)
    with pytest.raises(StreamError, match="no such file"):
        open_stream_blend("memory://nowhere", patient)
    with pytest.raises(StoreError, match="nonsense"):
        open_stream_blend("nonsense://x", patient)
    with pytest.raises(ShardError, match="not a finished blend"):
        open_stream_blend(str(tmp_path), patient)


def test_an_unknown_split_is_named(written):
    with pytest.raises(StreamError, match="no samples in split test .*train, eval"):
        open_stream_blend(str(written)).shard_sizes("test")


def change_manifest(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("path", "train/../../secret.tar"),
        ("path", "/etc/passwd"),
        ("path", "eval/train-000000.tar"),
        ("sha256", "../../../../x"),
        ("num_samples", -1),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused(own_blend, what, value):
    change_manifest(own_blend, lambda manifest: manifest["shards"][0].update({what: value}))
    with pytest.raises(StreamError, match="cannot be"):
        open_stream_blend(str(own_blend))


def test_an_index_of_another_blend_is_refused(own_blend):
    def with_rows(change, words="other shards"):
        frame = pl.read_parquet(own_blend / "train" / "index.parquet")
        change(frame).cast(dict(frame.schema)).write_parquet(own_blend / "train" / "index.parquet")
        with pytest.raises(StreamError, match=words):
            open_stream_blend(str(own_blend))
        frame.write_parquet(own_blend / "train" / "index.parquet")

    open_stream_blend(str(own_blend))
    with_rows(lambda frame: frame[:-1], "split train has .* samples, manifest.json")
    with_rows(lambda frame: frame.with_columns(pl.col("offset") + 512))
    with_rows(lambda frame: frame.with_columns(size=pl.col("size") + 512))
    with_rows(lambda frame: frame.with_columns(pl.col("offset") + (1 << 32)), "a place that no shard has")
    first, last = pl.col("offset") == 0, pl.col("shard") != pl.col("shard").shift(-1)
    with_rows(lambda frame: frame.with_columns(size=pl.col("size") + last.fill_null(True) * 512))
    with_rows(
        lambda frame: frame.with_columns(offset=pl.col("offset") + first * 512, size=pl.col("size") - first * 512)
    )
    with_rows(lambda frame: frame.reverse())
    pl.read_parquet(own_blend / "train" / "index.parquet").drop("size").write_parquet(
        own_blend / "train" / "index.parquet"
    )
    with pytest.raises(StreamError, match=r"index\.parquet cannot be read.*size"):
        open_stream_blend(str(own_blend))
    (own_blend / "train" / "index.parquet").write_bytes(b"nothing")
    with pytest.raises(StreamError, match=r"index\.parquet cannot be read"):
        open_stream_blend(str(own_blend))


def write_large(folder, num_samples, per_shard=1000, batch=250_000):
    """Write index and manifest of a blend without shards; rows repeat after ``batch``, but for what matters."""
    size, num_images = 160_256, 2
    rows = pl.DataFrame({"row": range(batch)}).select(
        key=pl.format("train-{}", pl.col("row").cast(pl.String).str.zfill(9)),
        shard=pl.format("train-{}.tar", (pl.col("row") // per_shard).cast(pl.String).str.zfill(6)),
        dataset=pl.lit("llava"),
        offset=(pl.col("row") % per_shard * size).cast(pl.UInt64),
        size=pl.lit(size, pl.UInt64),
        members=pl.concat_list(
            pl.struct(
                name=pl.format("{}.image{}.jpg", pl.col("row"), pl.lit(number)),
                offset=(pl.col("row") * size + number).cast(pl.UInt64),
                size=pl.lit(80_000, pl.UInt64),
            )
            for number in range(num_images + 1)
        ),
        num_images=pl.lit(num_images, pl.UInt16),
        num_turns=pl.lit(3, pl.UInt16),
        num_sources=pl.lit(1, pl.UInt16),
        question_characters=pl.lit(100, pl.UInt32),
        answer_characters=pl.lit(200, pl.UInt32),
    )
    table = rows.cast(dict(SCHEMA)).to_arrow()
    (folder / "train").mkdir()
    cheap = {"compression": "lz4", "use_dictionary": ["shard", "dataset"], "write_statistics": False}
    with pq.ParquetWriter(folder / "train" / "index.parquet", table.schema, **cheap) as writer:
        for _ in range(num_samples // batch):
            writer.write_table(table)

    def enlarge(manifest):
        shard = {"split": "train", "num_samples": per_shard, "num_images": 1, "num_bytes": per_shard * size + 1024}
        manifest["shards"] = [
            {"path": f"train/train-{number:06d}.tar", "sha256": f"{number:064x}", **shard}
            for number in range(num_samples // per_shard)
        ]

    change_manifest(folder, enlarge)


MEASURE = """
import re, sys, time
from pathlib import Path
from blender.stream.index import open_stream_blend
from blender.stream.reader import ShardReader
reader = ShardReader(open_stream_blend(sys.argv[1]))
assert reader.blend.shard_sizes("train").sum() == int(sys.argv[2])
# not ru_maxrss: a program begins with that of the one that started it
most = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(time.process_time(), most * 1024)
"""


@pytest.mark.slow
def test_ten_million_samples_are_opened_in_seconds_and_little_memory(written, tmp_path):
    num_samples = 10_000_000
    shutil.copy(written / "manifest.json", tmp_path)
    write_large(tmp_path, num_samples)
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(num_samples)]
    seconds, num_bytes = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert seconds < 5
    assert num_bytes < 1e9
