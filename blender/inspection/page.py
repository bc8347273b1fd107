"""The page: one HTML file with its style, its script and its data inside.

Data goes into a block of JSON that no parser of HTML can leave: every ``<`` is written as an escape. The page's policy
allows this one script and this one style, by their hashes, and nothing from any network.
"""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from blender.inspection.overview import Overview
from blender.inspection.thumbnails import Thumbnail
from blender.inspection.views import SampleView

_SCRIPTS = ("dom.js", "source.js", "viewer.js", "sample.js", "overview.js", "gallery.js", "main.js")
_MARK = re.compile(r"\{\{(\w+)\}\}")


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
    policy = f"default-src 'none'; img-src data:; {_own_code()}; base-uri 'none'; form-action 'none'"
    before, after = _page(policy, title, setup)
    yield before
    for number, picture in pictures:
        fault = f' data-fault="{html.escape(picture.fault)}"' if picture.fault else ""
        content = base64.b64encode(picture.content).decode()
        yield f'<script type="text/plain" id="picture-{number}"{fault}>{content}</script>\n'.encode()
    yield after


def served_policy() -> str:
    """Return the policy of a page whose samples are fetched from where it came from."""
    return (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; {_own_code()}; "
        "base-uri 'none'; form-action 'none'"
    )


def served_page(setup: Setup, title: str) -> bytes:
    """Write a page that fetches its samples."""
    return b"".join(_page(served_policy(), title, setup))


def json_block(value: object) -> str:
    """Write a value as JSON that may stand in a block of HTML."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _page(policy: str, title: str, setup: Setup) -> tuple[bytes, bytes]:
    """Fill the frame of the page; what comes between the two parts are the pictures."""
    values = {
        "policy": policy,
        "title": html.escape(title),
        "style": _style(),
        "script": _script(),
        "setup": json_block(setup),
    }
    # in one pass: what is put in may hold such marks itself
    before, after = (
        _MARK.sub(lambda mark: values[mark[1]], part) for part in _asset("page.html").split("{{pictures}}")
    )
    return before.encode(), after.encode()


@cache
def _own_code() -> str:
    return f"style-src '{_hash(_style())}'; script-src '{_hash(_script())}'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _style() -> str:
    return _asset("style.css")


@cache
def _script() -> str:
    inner = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{inner}}})();\n'


@cache
def _asset(name: str) -> str:
    return files("blender.inspection").joinpath("web", name).read_text(encoding="utf-8")
