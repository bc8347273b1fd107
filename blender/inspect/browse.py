"""Answers to the requests of a served page, for a blend of any size: pages of filtered samples, samples, images.

Filters use the table of samples, text searches the search index; each sample shown is read from its shard on request.
The search index may still be in the making when the first search comes; the answer then says how far it is.
"""

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from cachetools import LRUCache, cachedmethod

from blender.core.counting import counted
from blender.core.errors import BlenderError, InspectionError, ShardError
from blender.data.images.formats import MARK_BYTES, format_of
from blender.inspect.overview import Overview, blend_overview
from blender.inspect.page import Setup, served_page
from blender.inspect.report import facets
from blender.inspect.search_index import Rows, SearchIndex, open_search_index
from blender.inspect.statistics import blend_figures, with_images
from blender.inspect.thumbnails import SIZES, Size, make_thumbnail
from blender.inspect.views import SampleView, view_of
from blender.shards.reader import Blend, ByteRange

_log = logging.getLogger(__name__)
#: samples of a page
PAGE = 50
_KEPT_SEARCHES = 32
_THUMBNAIL_BYTES = 48_000_000
_THUMBNAIL = SIZES[1]
#: pictures that are decoded at one time; a large one takes hundreds of megabytes
_DECODERS = 2
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WebP": "image/webp", "BMP": "image/bmp"}
#: pixels of a picture that stands for one that no browser shows
_WHOLE = Size(2_048, 85)


def _image_key(browser: "Browser", which: tuple[str, int], image: ByteRange) -> Hashable:
    """Return what thumbnails are cached by: samples may share an image's bytes."""
    return image.path, image.offset


class NotFoundError(InspectionError):
    """There is no such sample, image or page."""


class NotReadyError(InspectionError):
    """The search index is still gathered."""


class _StoppedError(Exception):
    """Gathering is given up."""


@dataclass(frozen=True)
class Query:
    """What samples are asked for; empty strings and None ask for any."""

    dataset: str = ""
    split: str = ""
    num_images: int | None = None
    text: str = ""


class SamplePage(msgspec.Struct, frozen=True):
    """Samples that a query found."""

    total: int
    #: from 0
    page: int
    pages: int
    samples: list[SampleView]
    #: whether a sample was asked for that is not among them
    missing: bool = False


class ServedImage(msgspec.Struct, frozen=True):
    """The bytes of a picture."""

    content: bytes
    type: str


class Browser:
    """Answers for one blend; its methods may be called by many threads.

    Args:
        blend: The blend.
        workers: Processes that gather the search index.
        cache: Where search indexes are kept.
    """

    def __init__(self, blend: Blend, workers: int = 1, cache: Path | None = None) -> None:
        self.blend = blend
        self._workers, self._cache = workers, cache
        self._index: SearchIndex | None = None
        self._fault: BlenderError | None = None
        self._done = 0
        self._stopping = threading.Event()
        self._searches: LRUCache[Hashable, Rows] = LRUCache(_KEPT_SEARCHES)
        self._thumbnails: LRUCache[Hashable, bytes] = LRUCache(_THUMBNAIL_BYTES, getsizeof=len)
        self._decoding = threading.Semaphore(_DECODERS)
        self._lock = threading.Lock()
        self._overview: tuple[bool, Overview] | None = None
        self._drawing = threading.Lock()

    def gather(self) -> None:
        """Gather the search index, or open it where it is there; meant for a thread of its own."""

        def tell(done: int, total: int) -> None:
            self._done = done
            if self._stopping.is_set():
                raise _StoppedError

        try:
            self._index = open_search_index(self.blend, self._workers, tell, self._cache)
        except BlenderError as error:
            self._fault = error
        except _StoppedError:
            _log.debug("gathering was given up")

    def stop(self) -> None:
        """Give gathering up; what was gathered is thrown away."""
        self._stopping.set()

    def start_page(self) -> bytes:
        """Write the page itself."""
        setup = Setup("samples", facets(self.blend.rows))
        return served_page(setup, f"{self.blend.manifest.name}: visualchat")

    def overview(self) -> Overview:
        """Describe the blend, with all that is known by now."""
        with self._drawing:
            index = self._index
            if self._overview is None or (index is not None and not self._overview[0]):
                figures = blend_figures(self.blend)
                if index is not None:
                    figures = with_images(figures, index)
                made = blend_overview(self.blend.manifest, figures, pending=index is None and self._fault is None)
                self._overview = (index is not None, made)
            known = self._overview[1]
        notes = [self._fault.message] if self._fault else [self._progress()] if known.pending else []
        return msgspec.structs.replace(known, notes=notes, pending=known.pending and self._fault is None)

    def page(self, query: Query, page: int = 0, at: str = "") -> SamplePage:
        """Find a page of samples.

        Args:
            query: What they must fit.
            page: Number of the page, from 0; the last one stands for all behind it.
            at: Key of a sample whose page is wanted instead.

        Raises:
            NotReadyError: The query searches texts, and the search index is not there yet.
            ShardError: A sample cannot be read.
        """
        rows = self.find(query)
        pages = max(1, -(-len(rows) // PAGE))
        missing = False
        if at:
            row = self._find(at)
            position = int(np.searchsorted(rows, row))
            missing = position == len(rows) or int(rows[position]) != row
            page = 0 if missing else position // PAGE
        page = min(max(0, page), pages - 1)
        samples = [self.view(int(row)) for row in rows[page * PAGE : (page + 1) * PAGE]]
        return SamplePage(len(rows), page, pages, samples, missing)

    @cachedmethod(attrgetter("_searches"), lock=attrgetter("_lock"))
    def find(self, query: Query) -> Rows:
        """Return the rows that fit a query, in order.

        Raises:
            NotReadyError: As :meth:`page`.
        """
        fits = [pl.col(name) == value for name, value in (("dataset", query.dataset), ("split", query.split)) if value]
        if query.num_images is not None:
            fits.append(pl.col("num_images") == query.num_images)
        rows = self.blend.rows.with_row_index("row").filter(*fits)["row"].to_numpy()
        if query.text:
            rows = np.intersect1d(rows, self._search(query.text), assume_unique=True)
        return rows

    def view(self, row: int) -> SampleView:
        """Read a sample for the page.

        Raises:
            ShardError: It cannot be read.
        """
        return view_of(self.blend.read_text(row), self.blend.rows["split"][row], self.blend.shard_of(row))

    def sample(self, key: str) -> SampleView:
        """Read a sample by its key.

        Raises:
            NotFoundError: There is none.
        """
        return self.view(self._row(key))

    def picture(self, key: str, number: int, *, small: bool) -> ServedImage:
        """Read an image of a sample, or make a small picture of it.

        Args:
            key: The sample's key.
            number: The image's number, from 1.
            small: Whether a small one will do.

        Raises:
            NotFoundError: There is no such image, or it cannot be shown.
        """
        images = self.blend.image_ranges(self._row(key))
        if not 1 <= number <= len(images):
            raise NotFoundError(f"sample {key} has no image {number}", f"it has {counted(len(images), 'image')}")
        image = images[number - 1]
        if small:
            return ServedImage(self._thumbnail((key, number), image), "image/webp")
        content = image.read()
        kind = format_of(content[:MARK_BYTES])
        if kind is not None and kind.name in _TYPES:
            return ServedImage(content, _TYPES[kind.name])
        return ServedImage(self._draw((key, number), content, _WHOLE), "image/webp")

    @cachedmethod(attrgetter("_thumbnails"), _image_key, lock=attrgetter("_lock"))
    def _thumbnail(self, which: tuple[str, int], image: ByteRange) -> bytes:
        return self._draw(which, image.read(), _THUMBNAIL)

    def _draw(self, which: tuple[str, int], content: bytes, size: Size) -> bytes:
        with self._decoding:
            made = make_thumbnail(content, size)
        if made.fault:
            raise NotFoundError(f"image {which[1]} of sample {which[0]} {made.fault}")
        return made.content

    def _row(self, key: str) -> int:
        row = self._find(key)
        if row < 0:
            raise NotFoundError(f"{self.blend.location} has no sample {key}")
        return row

    def _find(self, key: str) -> int:
        """Return the row of a key; -1 where there is none."""
        try:
            return self.blend.find(key)
        except ShardError:
            return -1

    def _search(self, text: str) -> Rows:
        if self._fault:
            raise self._fault
        if self._index is None:
            raise NotReadyError(self._progress())
        return self._index.search(text)

    def _progress(self) -> str:
        return (
            f"Texts are being read, for searching and two more charts: {self._done:,} of {len(self.blend):,} samples."
        )


def query_of(said: Mapping[str, str]) -> Query:
    """Read a query from the parameters of an address.

    Raises:
        InspectionError: A number is none.
    """
    return Query(said.get("dataset", ""), said.get("split", ""), number_of(said, "images"), said.get("q", "").strip())


def number_of(said: Mapping[str, str], name: str) -> int | None:
    """Read a number from the parameters of an address; None when it is not there.

    Raises:
        InspectionError: It is no number.
    """
    text = said.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise InspectionError(f"{name} must be a number, not {text!r}")
    return int(text) if text else None
