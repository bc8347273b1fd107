"""The page that shows samples: a file that holds them with their pictures, or one that fetches them from its server.

Its policy allows nothing from any network, but for what the server itself sends.
"""

import base64
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from blender.inspect.overview import Overview
from blender.inspect.thumbnails import Thumbnail
from blender.inspect.views import SampleView
from blender.web.page import Page, shown_texts

_PAGE = Page(
    "blender.inspect",
    folder="web",
    scripts=("source.js", "viewer.js", "sample.js", "overview.js", "gallery.js", "main.js"),
)


class Facets(msgspec.Struct, frozen=True):
    """What samples can be filtered by: each value, and how many samples have it."""

    dataset: list[tuple[str, int]]
    split: list[tuple[str, int]]
    #: by number of images
    images: list[tuple[int, int]]


class Setup(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the script is started with."""

    #: the view that is shown first
    start: Literal["overview", "samples"]
    facets: Facets
    #: None: fetched, as samples are
    overview: Overview | None = None
    samples: list[SampleView] | None = None


def report_page(setup: Setup, pictures: Iterable[tuple[int, Thumbnail]], title: str) -> Iterator[bytes]:
    """Write a page that holds all its samples.

    Args:
        setup: What it shows.
        pictures: Number and content of each picture, in any order.
        title: The title of the window.

    Yields:
        The file, piece by piece.
    """
    # the last elements: pictures are still being made while the page is written
    encoded = ((number, base64.b64encode(picture.content).decode(), picture.fault) for number, picture in pictures)
    page = _PAGE.stream(title, shown_texts(setup), policy=_PAGE.policy("img-src data:"), pictures=encoded)
    yield from (piece.encode() for piece in page)


def served_policy() -> str:
    """Return the policy of a page that fetches its samples from its own server."""
    return _PAGE.policy("img-src 'self' data:", "connect-src 'self'")


def served_page(setup: Setup, title: str) -> bytes:
    """Write a page that fetches its samples."""
    return _PAGE.render(title, shown_texts(setup), policy=served_policy(), pictures=()).encode()
