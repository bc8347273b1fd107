"""The streams that are compared, each in a process of its own: ``python -m benchmarks.contestants NAME ROOT [SITE]``.

Reads commands from standard input, one a line: ``raw WORKERS`` or ``ready MODE``. Answers each with samples a second
and milliseconds of processor time a sample, all processes together; both from the first batch on, so that neither
imports nor the start of workers count. Everyone but us reads in stored order,
without a shuffle buffer: their fastest way. SITE is where packages lie that this Python lacks.
"""

import json
import multiprocessing
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import family
from benchmarks.peers import stand_in_for_torchvision
from benchmarks.ready import BATCH, Raw, functions, load

#: samples that cross between processes at once when they are not encoded
RAW_BATCH = 32
#: samples of a train-ready run
NUM_READY = 1_120

#: raw(root, workers): batches of raw samples; ready(root, mode): encoded batches
Batches = Iterable[Any]


def _shards(root: Path) -> list[str]:
    return sorted(map(str, (root / "blend" / "train").glob("*.tar")))


def _tarfile_raw(root: Path, workers: int) -> Batches:
    assert not workers
    for shard in _shards(root):
        with tarfile.open(shard) as tar:
            contents = (tar.extractfile(member).read() for member in tar)  # type: ignore[union-attr]
            for text, image in zip(contents, contents, strict=True):
                yield [(text, image)]


def _ours_raw(root: Path, workers: int) -> Batches:
    from blender.stream.loader import LoaderSettings
    from blender.stream.opening import open_mixture
    from blender.stream.stored import StoredLoader

    mixture = open_mixture(str(root / "blend"))
    if workers:
        return StoredLoader(mixture, LoaderSettings(RAW_BATCH, tail="pad", workers=workers))
    return _ours_one_by_one(mixture)


def _ours_one_by_one(mixture: Any) -> Iterator[Sequence[object]]:
    from blender.stream.reader import ShardReader
    from blender.stream.sampler import START, BatchSampler

    sampler = BatchSampler(mixture.mixture, 0, RAW_BATCH, "pad")
    with ShardReader(next(iter(mixture.blends.values()))) as reader:
        for reference in sampler.upcoming(START, sampler.num_batches()):
            yield [reader.read("train", reference.shard, reference.row)]


def _ours_ready(root: Path, mode: str) -> Batches:
    from blender.stream.loader import LoaderSettings, StreamLoader
    from blender.stream.opening import open_mixture

    encoder, collator = load(root, draft=mode == "draft")
    settings = LoaderSettings(BATCH, tail="pad", workers=2)
    return StreamLoader(open_mixture(str(root / "blend")), encoder, collator, settings)


def _bare_ready(root: Path, mode: str) -> Batches:
    """Two processes, each over half of the images and texts; nothing is sent anywhere."""
    records = [(text.encode(), str(path)) for text, path in json.loads((root / "pairs.json").read_text())]
    context = multiprocessing.get_context("fork")
    begin, done = context.Barrier(3), context.Barrier(3)
    halves = [records[:NUM_READY][turn::2] for turn in range(2)]
    workers = [context.Process(target=_bare_half, args=(root, mode, half, begin, done)) for half in halves]
    for worker in workers:
        worker.start()
    begin.wait()
    yield ()
    done.wait()
    yield range(NUM_READY)
    for worker in workers:
        worker.join()


def _bare_half(root: Path, mode: str, records: list[tuple[bytes, str]], begin: Any, done: Any) -> None:
    torch.set_num_threads(1)
    encode, collate = functions(root, mode)
    encode((records[0][0], Path(records[0][1]).read_bytes()))
    begin.wait()
    for start in range(0, len(records), BATCH):
        collate([encode((text, Path(path).read_bytes())) for text, path in records[start : start + BATCH]])
    done.wait()


def _webdataset_raw(root: Path, workers: int) -> Batches:
    made = _webdataset(root)
    return _web_loader(made.batched(RAW_BATCH, collation_fn=list), workers) if workers else _one_by_one(made)


def _webdataset_ready(root: Path, mode: str) -> Batches:
    encode, collate = functions(root, mode)
    return _web_loader(_webdataset(root).map(encode).batched(BATCH, collation_fn=collate), 2)


def _webdataset(root: Path) -> Any:
    import webdataset

    return webdataset.WebDataset(_shards(root), shardshuffle=False, empty_check=False).to_tuple("json", "image1.jpg")


def _web_loader(made: Any, workers: int) -> Batches:
    import webdataset

    return webdataset.WebLoader(made, batch_size=None, num_workers=workers)


def _energon_raw(root: Path, workers: int) -> Batches:
    return _energon(root, workers, RAW_BATCH if workers else 1, _as_it_is, list)


def _energon_ready(root: Path, mode: str) -> Batches:
    return _energon(root, 2, BATCH, *functions(root, mode))


def _as_it_is(raw: Raw) -> Raw:
    return raw


def _energon(
    root: Path, workers: int, size: int, encode: Callable[[Raw], Any], collate: Callable[[list[Any]], Any]
) -> Batches:
    from megatron import energon

    @energon.stateless
    def cook(sample: Any) -> Any:
        return sample

    class Task(energon.DefaultTaskEncoder):  # type: ignore[misc]
        decoder = None
        cookers = [energon.Cooker(cook)]

        @energon.stateless
        def encode_sample(self, sample: Any) -> Any:
            return encode((sample["json"], sample["image1.jpg"]))

        @energon.stateless
        def batch(self, samples: Any) -> Any:
            return collate(samples)

        @energon.stateless
        def encode_batch(self, batch: Any) -> Any:
            return batch

    dataset = energon.get_train_dataset(
        root / "blend",
        dataset_config="crude.yaml",
        worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=workers),
        task_encoder=Task(),
        batch_size=size,
        shuffle_buffer_size=None,
        max_samples_per_sequence=None,
        repeat=False,
    )
    return energon.get_loader(dataset)


def _one_by_one(samples: Iterable[Any]) -> Iterator[list[Any]]:
    return ([sample] for sample in samples)


def _mosaicml_raw(root: Path, workers: int) -> Batches:
    return _mosaicml(root, workers, RAW_BATCH if workers else 1, _as_it_is, list)


def _mosaicml_ready(root: Path, mode: str) -> Batches:
    return _mosaicml(root, 2, BATCH, *functions(root, mode))


def _mosaicml(root: Path, workers: int, size: int, encode: Callable[[Raw], Any], collate: Callable[[Any], Any]) -> Any:
    stand_in_for_torchvision()
    import streaming

    class Encoding(streaming.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: int) -> Any:
            sample = super().__getitem__(at)
            return encode((sample["sample"], sample["image"]))

    streaming.base.util.clean_stale_shared_memory()
    made = Encoding(local=str(root / "mds"), batch_size=size, shuffle=False)
    if not workers:
        return _one_by_one(made)
    # its own StreamingDataLoader wants batches that are dictionaries or lists
    return torch.utils.data.DataLoader(made, batch_size=size, num_workers=workers, collate_fn=collate)


def _litdata_raw(root: Path, workers: int) -> Batches:
    return _litdata(root, workers, RAW_BATCH, _as_it_is, list)


def _litdata_ready(root: Path, mode: str) -> Batches:
    return _litdata(root, 2, BATCH, *functions(root, mode))


def _litdata(root: Path, workers: int, size: int, encode: Callable[[Raw], Any], collate: Callable[[Any], Any]) -> Any:
    import litdata

    class Encoding(litdata.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: Any) -> Any:
            sample = super().__getitem__(at)
            return encode((sample["sample"], sample["image"]))

    made = Encoding(str(root / "lit"), shuffle=False, drop_last=False)
    if not workers:
        return _one_by_one(made)
    return litdata.StreamingDataLoader(made, batch_size=size, num_workers=workers, collate_fn=collate)


RAW: dict[str, Callable[[Path, int], Batches]] = {
    "tarfile": _tarfile_raw,
    "visualchat": _ours_raw,
    "webdataset": _webdataset_raw,
    "energon": _energon_raw,
    "mosaicml": _mosaicml_raw,
    "litdata": _litdata_raw,
}
READY: dict[str, Callable[[Path, str], Batches]] = {
    "bare": _bare_ready,
    "visualchat": _ours_ready,
    "webdataset": _webdataset_ready,
    "energon": _energon_ready,
    "mosaicml": _mosaicml_ready,
    "litdata": _litdata_ready,
}


def rate(batches: Batches, most: int | None = None) -> tuple[float, float]:
    """Take samples, at most so many.

    Returns:
        How many came a second after the first batch, and milliseconds of processor time for each.
    """
    made = iter(batches)
    next(made)
    begun, used, count = time.perf_counter(), _processor_seconds(), 0
    for batch in made:
        count += _size(batch)
        if most is not None and count >= most:
            break
    seconds, used = time.perf_counter() - begun, _processor_seconds() - used
    return count / seconds, 1e3 * used / count


def _processor_seconds() -> float:
    """Add up what this process, its descendants and those that ended have used."""
    ticks = 0
    for process in family(os.getpid()):
        with suppress(OSError):
            told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, told[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _size(batch: Any) -> int:
    rows = getattr(batch, "keys", None)
    return len(rows) if isinstance(rows, tuple) else len(batch)


def serve(name: str, root: Path) -> None:
    """Answer commands until there are no more."""
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        what, how = line.split()
        batches = RAW[name](root, int(how)) if what == "raw" else READY[name](root, how)
        found = rate(batches, None if what == "raw" else NUM_READY - 2 * BATCH)
        del batches
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    sys.path += sys.argv[3:]
    serve(sys.argv[1], Path(sys.argv[2]))
