"""A report: one HTML file with a choice of a blend's samples, their pictures, and figures of the whole blend.

Each image gets one picture, however many samples show it. How large pictures are depends on how many there are, so that
the file stays one that a browser opens at once.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from blender.core.errors import InspectionError
from blender.core.files import write_whole
from blender.core.pool import map_unordered
from blender.core.randomness import generator
from blender.data.sample import Sample
from blender.inspect.overview import blend_overview
from blender.inspect.page import Facets, Setup, report_page
from blender.inspect.search_index import open_search_index
from blender.inspect.statistics import blend_figures, with_images
from blender.inspect.thumbnails import Size, Thumbnail, choose_size, make_thumbnail
from blender.inspect.views import SampleView, TokensView, view_of
from blender.shards.reader import Blend, ByteRange

#: bytes that the pictures of a report take at most, before they are written as text
_PICTURE_BYTES = 24_000_000
_PILOT = 48
_CHUNK = 16
#: samples of each dataset and split that are shown before the rest is drawn by size
_AT_LEAST = 20

#: how a page of this program is recognised by its first bytes; pages of version 0.1 have no generator
_OWN_PAGE = re.compile(
    rb"<meta name=\"generator\" content=\"visualchat\">|content=\"default-src 'none'; img-src data:; style-src 'sha256-"
)
_HEAD_BYTES = 2_048

#: called with a station's name, what is done, and what there is to do
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReportWritten:
    """What was written."""

    path: Path
    num_samples: int
    num_pictures: int
    num_bytes: int


def write_report(
    blend: Blend,
    out: Path,
    *,
    num_samples: int = 2_000,
    dataset: str | None = None,
    seed: int = 0,
    workers: int = 1,
    tell: Tell | None = None,
    count_tokens: Callable[[Sample], TokensView] | None = None,
    cache: Path | None = None,
) -> ReportWritten:
    """Write a report of a blend.

    Args:
        blend: The blend.
        out: The HTML file.
        num_samples: Samples to show at most; every dataset and split has some among them.
        dataset: Show only samples of this one.
        seed: Draws the samples.
        workers: Number of processes.
        tell: Called as it goes on.
        count_tokens: Makes a sample's tokens.
        cache: Where search indexes are kept.

    Raises:
        InspectionError: The file or the cache cannot be written, the file is somebody else's, or there is no such
            dataset.
        ShardError: A sample cannot be read.
    """
    require_replaceable(out)
    tell = tell or (lambda station, done, total: None)
    rows = pick_rows(blend.rows, num_samples, dataset, seed)
    index = open_search_index(blend, workers, partial(tell, "reading texts"), cache)
    figures = with_images(blend_figures(blend), index)
    samples = [blend.read_text(row) for row in rows]
    places, numbers = _number_pictures(blend, rows, samples)
    views = [
        view_of(
            sample, blend.rows["split"][row], blend.shard_of(row), own, count_tokens(sample) if count_tokens else None
        )
        for sample, row, own in zip(samples, rows, numbers, strict=True)
    ]
    notes = [] if len(rows) == len(blend) else [_shown(len(rows), len(blend), dataset, seed)]
    overview = blend_overview(blend.manifest, figures, notes)
    setup = Setup("overview", facets_of(views), overview, views)
    size = choose_size([place.read() for place in _spread(places)], len(places), _PICTURE_BYTES)
    pictures = _make_pictures(places, size, workers, partial(tell, "making pictures"))
    num_bytes = write_file(out, report_page(setup, pictures, f"{blend.manifest.name}: visualchat"))
    return ReportWritten(out, len(rows), len(places), num_bytes)


def pick_rows(rows: pl.DataFrame, num_samples: int, dataset: str | None, seed: int) -> list[int]:
    """Draw samples: some of every dataset and split, the rest in proportion.

    Args:
        rows: dataset and split of all samples.
        num_samples: How many.
        dataset: Draw only from this one.
        seed: Decides which.

    Raises:
        InspectionError: There is no such dataset.
    """
    numbered = rows.select(pl.col("dataset", "split").cast(pl.String)).with_row_index("row")
    if dataset is not None:
        names = numbered["dataset"].unique().sort().to_list()
        numbered = numbered.filter(pl.col("dataset") == dataset)
        if not numbered.height:
            raise InspectionError(f"there is no dataset {dataset}", f"there are {', '.join(names)}")
    drawn = numbered.with_columns(chance=pl.Series(generator(seed, "report").random(numbered.height)))
    rank = pl.col("chance").rank("ordinal").over("dataset", "split") - 1
    due = pl.when(rank < _AT_LEAST).then(rank / (_AT_LEAST * 1e6)).otherwise(rank / pl.len().over("dataset", "split"))
    return drawn.sort(due, "row").head(num_samples)["row"].sort().to_list()


def facets_of(views: Iterable[SampleView]) -> Facets:
    """Count what samples can be filtered by."""
    rows = [(view.dataset, view.split, len(view.images)) for view in views]
    return facets(
        pl.DataFrame(rows, schema={"dataset": pl.String, "split": pl.String, "num_images": pl.Int64}, orient="row")
    )


def facets(rows: pl.DataFrame) -> Facets:
    """Count what samples can be filtered by, given dataset, split and num_images of each."""
    counted = {
        name: rows[name].cast(kind).value_counts().sort(name).rows()
        for name, kind in (("dataset", pl.String), ("split", pl.String), ("num_images", pl.Int64))
    }
    return Facets(counted["dataset"], counted["split"][::-1], counted["num_images"])


def require_replaceable(out: Path) -> None:
    """Refuse an output that would replace anything but an earlier page of this program or an empty file.

    Raises:
        InspectionError: The path is a folder, a device or somebody else's file.
    """
    if not out.exists():
        return
    if not out.is_file():
        raise InspectionError(f"{out} is not a file", "name a file for the page")
    with out.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head and not _OWN_PAGE.search(head):
        raise InspectionError(
            f"{out} was not written by visualchat and is left as it is", "name another file, or delete this one first"
        )


def write_file(out: Path, pieces: Iterable[bytes]) -> int:
    """Write a page whole; return its bytes.

    Raises:
        InspectionError: It cannot be written, or would replace somebody else's file.
    """
    try:
        require_replaceable(out)
        return write_whole(out, pieces)
    except OSError as error:
        raise InspectionError(
            f"cannot write {out}: {error.strerror or error}", "name a file in a folder that you may write to"
        ) from error


def _shown(num_shown: int, num_all: int, dataset: str | None, seed: int) -> str:
    which = f" of dataset {dataset}" if dataset else ""
    return (
        f"Shown are {num_shown:,} of {num_all:,} samples{which}, drawn with seed {seed}; figures and charts are of the "
        "whole blend. To look at all of them: visualchat inspect DIR --serve"
    )


def _number_pictures(
    blend: Blend, rows: list[int], samples: list[Sample]
) -> tuple[list[ByteRange], list[list[int | None]]]:
    """Give each image one picture: where it lies, and the pictures of each sample."""
    known: dict[tuple[str, str], int] = {}
    places, numbers = list[ByteRange](), list[list[int | None]]()
    for row, sample in zip(rows, samples, strict=True):
        names = [(image.store, image.name) for image in sample.images]
        if any(name not in known for name in names):
            for name, place in zip(names, blend.image_ranges(row), strict=True):
                if name not in known:
                    known[name] = len(places)
                    places.append(place)
        numbers.append([known[name] for name in names])
    return places, numbers


def _spread(places: list[ByteRange]) -> list[ByteRange]:
    chosen = np.unique(np.linspace(0, len(places) - 1, _PILOT, dtype=np.int64)).tolist() if places else []
    return [places[number] for number in chosen]


def _make_pictures(
    places: list[ByteRange], size: Size, workers: int, tell: Callable[[int, int], None]
) -> Iterator[tuple[int, Thumbnail]]:
    chunks = [(first, places[first : first + _CHUNK], size) for first in range(0, len(places), _CHUNK)]
    waiting: dict[int, list[tuple[int, Thumbnail]]] = {}
    done = 0
    for made in map_unordered(_pictures, chunks, workers if len(places) > 10 * _CHUNK else 1):
        waiting[made[0][0]] = made
        # in order, so that the same blend gives the same file
        while done in waiting:
            ready = waiting.pop(done)
            yield from ready
            done += len(ready)
            tell(done, len(places))


def _pictures(chunk: tuple[int, list[ByteRange], Size]) -> list[tuple[int, Thumbnail]]:
    first, places, size = chunk
    return [(number, make_thumbnail(place.read(), size)) for number, place in enumerate(places, first)]
