"""The search index of a blend: its texts, to be searched, and the images that its samples show, to be counted.

It is made once per blend, on all cores, as two Parquet files in the user's cache folder: the blend's own folder may be
read-only. The index is named by the hash of the blend's manifest, which holds the hashes of all shards. A search scans
the texts in pieces: it takes a fifth of a second for 200,000 samples, and memory that does not grow with the blend.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from blender.core.errors import InspectionError
from blender.core.pool import map_unordered
from blender.inspect.views import search_text
from blender.shards.manifest import MANIFEST_NAME
from blender.shards.reader import Blend, ByteRange, read_texts

Rows = npt.NDArray[np.uint32]

#: part of every search index's name: raise it when what is gathered changes
_VERSION = 1
_CHUNK = 1_000
#: search indexes that are kept; those not used for longest go first
_KEPT = 8
_TEXTS = pa.schema([("row", pa.uint32()), ("text", pa.large_string())])
_IMAGES = pa.schema(
    [
        ("row", pa.uint32()),
        ("store", pa.string()),
        ("name", pa.string()),
        ("width", pa.uint32()),
        ("height", pa.uint32()),
    ]
)
#: words, and phrases between quotation marks
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class SearchIndex:
    """The search index of a blend; rows are those of :attr:`Blend.rows <blender.shards.reader.Blend.rows>`."""

    folder: Path

    def search(self, query: str) -> Rows:
        """Find the samples that hold every word, and every phrase between quotation marks, of a query.

        Case does not matter. Examined at are questions, answers, names of images, and records.
        """
        terms = [(phrase or word).lower() for phrase, word in _TERM.findall(query)]
        matches = [pl.col("text").str.contains(term, literal=True) for term in terms]
        found = pl.scan_parquet(self.folder / "texts.parquet", glob=False).filter(*matches).select("row")
        return found.collect(engine="streaming")["row"].sort().to_numpy()

    def images(self) -> pl.LazyFrame:
        """Return the images shown: row, store, name, width, height; one that is shown twice stands twice."""
        return pl.scan_parquet(self.folder / "images.parquet", glob=False)


def default_cache() -> Path:
    """Return the folder for search indexes: ``visualchat`` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visualchat" / "search-indexes"


def open_search_index(
    blend: Blend,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
    cache: Path | None = None,
) -> SearchIndex:
    """Open the search index of a blend; gather it first where it is not in the cache.

    Args:
        blend: The blend.
        workers: Number of processes.
        on_progress: Called with (samples done, samples in all).
        cache: Where search indexes are kept.

    Raises:
        InspectionError: The cache folder cannot be written.
        ShardError: A sample cannot be read.
    """
    cache = cache or default_cache()
    digest = hashlib.sha256((blend.path / MANIFEST_NAME).read_bytes()).hexdigest()
    folder = cache / f"{digest[:40]}-{_VERSION}"
    try:
        if folder.is_dir():
            os.utime(folder)
        else:
            cache.mkdir(parents=True, exist_ok=True)
            _gather_into(folder, blend, workers, on_progress)
            _forget(cache)
    except OSError as error:
        raise InspectionError(
            f"cannot write to the cache folder {cache}: {error.strerror or error}",
            "name a folder that you may write to in the variable XDG_CACHE_HOME",
        ) from error
    return SearchIndex(folder)


def _gather_into(folder: Path, blend: Blend, workers: int, on_progress: Callable[[int, int], None] | None) -> None:
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as partial:
        aside = Path(partial) / "whole"
        aside.mkdir()
        with (
            pq.ParquetWriter(aside / "texts.parquet", _TEXTS, compression="lz4") as texts,
            pq.ParquetWriter(aside / "images.parquet", _IMAGES, compression="lz4") as images,
        ):
            done = 0
            workers = workers if len(blend) > 4 * _CHUNK else 1
            for of_texts, of_images in map_unordered(_gather, _tasks(blend), workers):
                texts.write_table(of_texts)
                images.write_table(of_images)
                done += of_texts.num_rows
                if on_progress:
                    on_progress(done, len(blend))
        if not folder.is_dir():
            # another process may have been faster: then this one's is as good as its own
            aside.rename(folder)


@dataclass(frozen=True)
class _IndexTask:
    """Some samples in a row."""

    first: int
    keys: list[str]
    texts: list[ByteRange]


def _tasks(blend: Blend) -> Iterator[_IndexTask]:
    for first in range(0, len(blend), _CHUNK):
        keys = blend.rows["key"].slice(first, _CHUNK).to_list()
        yield _IndexTask(first, keys, blend.text_ranges(first, _CHUNK))


def _gather(task: _IndexTask) -> tuple[pa.Table, pa.Table]:
    texts, images = [], []
    for row, sample in enumerate(read_texts(task.keys, task.texts), task.first):
        texts.append({"row": row, "text": search_text(sample)})
        images += [
            {"row": row, "store": image.store, "name": image.name, "width": image.width, "height": image.height}
            for image in sample.images
        ]
    return pa.Table.from_pylist(texts, _TEXTS), pa.Table.from_pylist(images, _IMAGES)


def _forget(cache: Path) -> None:
    """Delete the search indexes that were not used for longest, beyond those that are kept."""
    folders = [folder for folder in cache.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    for folder in sorted(folders, key=lambda folder: -folder.stat().st_mtime)[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
