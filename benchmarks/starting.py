"""How long until the first batch: of an epoch, after a resume, and of ten million samples.

``python -m benchmarks.starting first ROOT ROUNDS`` and ``python -m benchmarks.starting open FOLDER pack|plain`` measure
in a process of their own and print JSON.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks import report
from benchmarks.measure import measure

_LARGE, _PER_SHARD, _GROUP, _SIZE = 10_000_000, 1_000, 250_000, 160_256
_MAX_TOKENS = 4096


def first_batches(root: Path, rounds: int) -> str:
    """Measure the first batch of an epoch and the first one after a resume, and return Markdown."""
    command = [sys.executable, "-m", "benchmarks.starting", "first", str(root), str(rounds)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(root / "hf")}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=environment)
    rows = [
        [name, *(f"{statistics.median(each):.2f}" for each in found), f"{_median_ratio(*found):.2f}"]
        for name, found in json.loads(done.stdout.splitlines()[-1]).items()
    ]
    head = ["", "of an epoch, s", "after resume at 90 %, s", "ratio"]
    return "First batch of 16, from opening the blend to tensors, in-process:\n\n" + report.table(head, rows)


def _median_ratio(fresh: list[float], resumed: list[float]) -> float:
    return statistics.median(after / before for before, after in zip(fresh, resumed, strict=True))


def _first_batches(root: Path, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    contestants = {"visualchat": _ours, "webdataset": _webdataset, "datasets, streaming": _datasets}
    starts = {name: contestant(root) for name, contestant in contestants.items()}
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in contestants}
    for turn in range(rounds + 1):
        for name, pair in starts.items():
            for each, start in zip(found[name], pair, strict=True):
                begun = time.perf_counter()
                start()
                if turn:  # the first turn imports
                    each.append(time.perf_counter() - begun)
    return found


#: make the first batch of an epoch; make the first one after a resume
_Starts = tuple[Callable[[], object], Callable[[], object]]


def _ours(root: Path) -> _Starts:
    from benchmarks.ready import BATCH, load
    from blender.stream.loader import LoaderSettings, StreamLoader
    from blender.stream.opening import open_mixture

    encoder, collator = load(root)

    def loader() -> StreamLoader:
        return StreamLoader(open_mixture(str(root / "blend")), encoder, collator, LoaderSettings(BATCH))

    before = loader()
    before.position = before.sampler.after(before.position, int(0.9 * len(before)))
    state = before.state_dict()

    def resumed() -> object:
        after = loader()
        after.load_state_dict(state)
        return next(iter(after))

    return lambda: next(iter(loader())), resumed


def _webdataset(root: Path) -> _Starts:
    import webdataset

    from benchmarks.ready import BATCH, functions

    encode, collate = functions(root, "own")
    shards = sorted(map(str, (root / "blend" / "train").glob("*.tar")))
    seen = int(0.9 * _num_samples(root))

    def first(skipped: int) -> object:
        stored = webdataset.WebDataset(shards, shardshuffle=False).to_tuple("json", "image1.jpg")
        return next(iter(stored.slice(skipped, None).map(encode).batched(BATCH, collation_fn=collate)))

    return lambda: first(0), lambda: first(seen)


def _datasets(root: Path) -> _Starts:
    import datasets

    from benchmarks.ready import BATCH, functions

    encode, collate = functions(root, "own")

    def opened() -> Any:
        made = datasets.load_dataset(str(root / "blend"), split="train", streaming=True, cache_dir=str(root / "hf"))
        return made.cast_column("image1.jpg", datasets.Image(decode=False))

    def batch(rows: Iterator[Any]) -> object:
        raw = ((msgspec.json.encode(row["json"]), row["image1.jpg"]["bytes"]) for row in islice(rows, BATCH))
        return collate([encode(sample) for sample in raw])

    before = opened()
    for _ in islice(before, int(0.9 * _num_samples(root))):
        pass
    state = before.state_dict()

    def resumed() -> object:
        after = opened()
        after.load_state_dict(state)
        return batch(iter(after))

    return lambda: batch(iter(opened())), resumed


def _num_samples(root: Path) -> int:
    return int(pq.ParquetFile(root / "blend" / "train" / "index.parquet").metadata.num_rows)


def ten_million(root: Path) -> str:
    """Measure opening a synthetic index of ten million samples, and return Markdown."""
    folder = root / "large"
    _write_large(root / "blend", folder)
    rows = []
    for how in ("plain", "pack"):
        taken = measure([sys.executable, "-m", "benchmarks.starting", "open", folder, how])
        told = json.loads(taken.output)
        seconds = [f"{told[name]:.2f}" for name in ("opened", "first", "resumed")]
        rows.append([how, *seconds, f"{taken.seconds:.1f}", f"{taken.peak_bytes / 1e6:,.0f}"])
    shutil.rmtree(folder)
    head = ["", "open, s", "rows of a first batch, s", "after resume at 90 %, s", "whole command, s", "peak MB"]
    return "Ten million samples in 10,000 shards (target: open in 5 s and 1 GB):\n\n" + report.table(head, rows)


def _open(folder: str, how: str) -> dict[str, float]:
    from blender.stream.opening import open_mixture
    from blender.stream.sampler import START, BatchSampler, PackedBatchSampler

    begun = time.perf_counter()
    mixture = open_mixture(folder)
    opened = time.perf_counter() - begun
    # as they would be read from the file beside the index
    lengths = np.random.default_rng(0).integers(300, 1100, _LARGE, dtype=np.int32) if how == "pack" else None

    def make() -> Any:
        if lengths is None:
            return BatchSampler(mixture.mixture, 0, 64)
        return PackedBatchSampler(mixture.mixture, 0, 64, {next(iter(mixture.blends)): lengths}, _MAX_TOKENS)

    begun = time.perf_counter()
    sampler = make()
    sampler.rows(START, 0, 8)
    first = time.perf_counter() - begun
    state = sampler.state_dict(sampler.after(START, int(0.9 * sampler.num_batches())))
    del sampler
    begun = time.perf_counter()
    sampler = make()
    sampler.rows(sampler.load_state_dict(state), 0, 8)
    return {"opened": opened, "first": first, "resumed": time.perf_counter() - begun}


def _write_large(blend: Path, folder: Path) -> None:
    """Write index and manifest of a blend without shards; what does not matter repeats from group to group."""
    from blender.shards.index import SCHEMA

    (folder / "train").mkdir(parents=True)
    row = pl.col("row")
    rows = pl.DataFrame({"row": range(_GROUP)}).select(
        key=pl.format("train-{}", row.cast(pl.String).str.zfill(9)),
        shard=pl.format("train-{}.tar", (row // _PER_SHARD).cast(pl.String).str.zfill(6)),
        dataset=pl.lit("llava"),
        offset=row % _PER_SHARD * _SIZE,
        size=pl.lit(_SIZE),
        members=pl.concat_list(
            pl.struct(name=pl.format("{}.{}", row, pl.lit(name)), offset=row * _SIZE, size=pl.lit(80_000))
            for name in ("json", "image1.jpg", "image2.jpg")
        ),
        num_images=pl.lit(2),
        num_turns=pl.lit(3),
        num_sources=pl.lit(1),
        question_characters=pl.lit(100),
        answer_characters=pl.lit(200),
    )
    table = rows.cast(SCHEMA).to_arrow()
    with pq.ParquetWriter(folder / "train" / "index.parquet", table.schema, compression="lz4") as writer:
        for _ in range(_LARGE // _GROUP):
            writer.write_table(table)
    manifest = json.loads((blend / "manifest.json").read_text())
    shard = {"split": "train", "num_samples": _PER_SHARD, "num_images": 1, "num_bytes": _PER_SHARD * _SIZE + 1024}
    manifest["shards"] = [
        {"path": f"train/train-{number:06d}.tar", "sha256": f"{number:064x}", **shard}
        for number in range(_LARGE // _PER_SHARD)
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))


if __name__ == "__main__":
    made = _first_batches(Path(sys.argv[2]), int(sys.argv[3])) if sys.argv[1] == "first" else _open(*sys.argv[2:4])
    print(json.dumps(made))
