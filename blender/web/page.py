"""A page as one HTML file, with its style sheet, its script and its data inside.

Data goes into a block of JSON that no parser of HTML can leave: every ``<`` is written as an escape.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import msgspec
from markupsafe import Markup

from blender.core.visible import visible
from blender.web.policy import content_security_policy
from blender.web.templates import load_template

_STYLES = ("tokens.css", "base.css", "conversation.css")
_SCRIPTS = ("dom.js", "numbers.js", "theme.js")


@dataclass(frozen=True)
class Page:
    """A folder with ``page.html``, ``style.css`` and scripts; shared styles and scripts are put before its own."""

    #: the package that holds the folder
    package: str
    folder: str
    #: in the order in which they run
    scripts: tuple[str, ...]

    @cached_property
    def style(self) -> str:
        """The text of the style element."""
        return "\n".join((*map(_shared, _STYLES), self._own("style.css")))

    @cached_property
    def script(self) -> str:
        """The text of the script element."""
        inner = "\n".join((*map(_shared, _SCRIPTS), *map(self._own, self.scripts)))
        return f'(() => {{\n"use strict";\n{inner}}})();\n'

    def policy(self, *directives: str) -> str:
        """Return the Content-Security-Policy: this style and this script, and what the directives allow."""
        return content_security_policy(self.style, self.script, *directives)

    def render(self, title: str, setup: object, **values: object) -> str:
        """Fill in ``page.html``; arguments as :meth:`stream`."""
        return "".join(self.stream(title, setup, **values))

    def stream(self, title: str, setup: object, **values: object) -> Iterator[str]:
        """Fill in ``page.html``, piece by piece.

        Args:
            title: The title of the window.
            setup: What the script is started with; any value that JSON can hold.
            **values: For the page's own placeholders; they are escaped.
        """
        return load_template(self.package, self.folder, "page.html").generate(
            title=title,
            style=Markup(self.style),
            script=Markup(self.script),
            setup=json_block(setup),
            **values,
        )

    def _own(self, name: str) -> str:
        return read_asset(self.package, self.folder, name)


def json_block(value: object) -> Markup:
    """Write a value as JSON that is safe inside a block of HTML."""
    return Markup(msgspec.json.encode(value).decode().replace("<", "\\u003c"))


def shown_json(value: object) -> bytes:
    """Write a value as JSON for a page, with what its texts hide written out: a page shows texts as they come."""
    return msgspec.json.encode(shown_texts(value))


def shown_texts(value: object) -> Any:
    """Return what JSON would hold of a value, with what its texts hide written out."""
    return _shown_texts(msgspec.to_builtins(value))


def _shown_texts(value: Any) -> Any:
    match value:
        case str():
            return visible(value)
        case dict():
            return {_shown_texts(key): _shown_texts(one) for key, one in value.items()}
        case list() | tuple():
            return [_shown_texts(one) for one in value]
    return value


@cache
def read_asset(package: str, *path: str) -> str:
    """Read a text file that is shipped inside a package."""
    return files(package).joinpath(*path).read_text(encoding="utf-8")


def _shared(name: str) -> str:
    return read_asset("blender.web", "assets", name)
