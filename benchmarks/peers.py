"""Other people's writers, each fed the same images and texts: ``python peers.py WRITER RECORDS IMAGES OUT``.

Runs in an environment of its own, where these packages are. Prints the seconds of the writing alone. Writers whose
names end in ``-pairs`` make what the benchmark of streams reads; their RECORDS are (text, path of an image).
"""

import importlib.machinery
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path


def main(writer: str, records: Path, images: Path, out: Path) -> None:
    """Write all samples with one writer and print the seconds it took."""
    samples = json.loads(records.read_text())
    out.mkdir(parents=True, exist_ok=True)
    print(WRITERS[writer](samples, images, out))


def stand_in_for_torchvision() -> None:
    """Let MosaicML's package be imported without torchvision, whose data sets of images are not used here."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in ("torchvision", "torchvision.datasets", "torchvision.transforms"):
            module = types.ModuleType(name)
            module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
            module.__path__ = []
            module.__getattr__ = lambda wanted: type(wanted, (), {})  # type: ignore[method-assign]
            sys.modules[name] = module


def _webdataset(samples: list, images: Path, out: Path) -> float:
    import webdataset

    begun = time.perf_counter()
    with webdataset.ShardWriter(str(out / "%06d.tar"), maxcount=500, verbose=0) as sink:
        for sample in samples:
            content = (images / sample["image"]).read_bytes()
            sink.write({"__key__": sample["id"], "json": sample, "image1.jpg": content})
    return time.perf_counter() - begun


def _mosaicml(samples: list, images: Path, out: Path) -> float:
    stand_in_for_torchvision()
    from streaming import MDSWriter

    begun = time.perf_counter()
    with MDSWriter(out=str(out / "mds"), columns={"sample": "json", "image": "bytes"}, hashes=["sha1"]) as sink:
        for sample in samples:
            sink.write({"sample": sample, "image": (images / sample["image"]).read_bytes()})
    return time.perf_counter() - begun


def _read(item: tuple) -> dict:
    sample, path = item
    return {"sample": json.dumps(sample), "image": Path(path).read_bytes()}


def _litdata(samples: list, images: Path, out: Path) -> float:
    import litdata

    items = [(sample, str(images / sample["image"])) for sample in samples]
    begun = time.perf_counter()
    litdata.optimize(_read, items, str(out / "lit"), chunk_bytes="80MB", num_workers=2, verbose=False)
    return time.perf_counter() - begun


def _datasets(samples: list, images: Path, out: Path) -> float:
    import datasets

    def rows() -> object:
        for sample in samples:
            yield {"sample": json.dumps(sample), "image": (images / sample["image"]).read_bytes()}

    begun = time.perf_counter()
    made = datasets.Dataset.from_generator(rows, cache_dir=str(out / "cache"))
    made.to_parquet(str(out / "rows.parquet"))
    return time.perf_counter() - begun


def _mosaicml_pairs(pairs: list, images: Path, out: Path) -> float:
    stand_in_for_torchvision()
    from streaming import MDSWriter

    begun = time.perf_counter()
    columns = {"sample": "bytes", "image": "bytes"}
    with MDSWriter(out=str(out / "mds"), columns=columns, size_limit=80 << 20) as sink:
        for pair in pairs:
            sink.write(_read_pair(pair))
    return time.perf_counter() - begun


def _litdata_pairs(pairs: list, images: Path, out: Path) -> float:
    import litdata

    begun = time.perf_counter()
    litdata.optimize(_read_pair, pairs, str(out / "lit"), chunk_bytes="80MB", num_workers=2, verbose=False)
    return time.perf_counter() - begun


def _read_pair(pair: tuple) -> dict:
    text, path = pair
    return {"sample": text.encode(), "image": Path(path).read_bytes()}


WRITERS: dict[str, Callable[[list, Path, Path], float]] = {
    "webdataset": _webdataset,
    "mosaicml": _mosaicml,
    "litdata": _litdata,
    "datasets": _datasets,
    "mosaicml-pairs": _mosaicml_pairs,
    "litdata-pairs": _litdata_pairs,
}

if __name__ == "__main__":
    # the folder of this script, whose ``streaming`` is not MosaicML's
    sys.path.pop(0)
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
