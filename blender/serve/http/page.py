"""The page at ``/``: one HTML file with its style, its script and what it must know of the server inside.

Its policy allows this one script and this one style, by their hashes, pictures of its own making, and requests to where
it came from; nothing else of any network.
"""

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

_SCRIPTS = ("dom.js", "pictures.js", "stream.js", "composer.js", "talk.js", "main.js")
_MARK = re.compile(r"\{\{(\w+)\}\}")


def write_page(setup: dict[str, Any], title: str) -> bytes:
    """Write the page.

    Args:
        setup: What its script is started with.
        title: The title of the window.
    """
    values = {
        "title": html.escape(title),
        "style": _asset("style.css"),
        "script": _script(),
        # no parser of HTML leaves a block without a `<` in it
        "setup": json.dumps(setup).replace("<", "\\u003c"),
    }
    # in one pass: what is put in may hold such marks itself
    return _MARK.sub(lambda mark: values[mark[1]], _asset("page.html")).encode()


def page_policy() -> str:
    """Return the page's Content-Security-Policy."""
    style, script = _hash(_asset("style.css")), _hash(_script())
    return (
        f"default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; style-src '{style}'; "
        f"script-src '{script}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _script() -> str:
    inner = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{inner}}})();\n'


@cache
def _asset(name: str) -> str:
    return files("blender.serve.http").joinpath("page", name).read_text(encoding="utf-8")
