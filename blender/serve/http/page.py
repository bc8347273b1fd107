"""The page at ``/``: a chat with the model, and what it must know of the server.

Its policy allows pictures of its own making, and requests to where it came from; nothing else of any network.
"""

from typing import Any

from blender.web.page import Page

_PAGE = Page(
    "blender.serve.http",
    folder="page",
    scripts=("visible.js", "clipboard.js", "pictures.js", "stream.js", "composer.js", "talk.js", "main.js"),
)


def write_page(setup: dict[str, Any], title: str) -> bytes:
    """Write the page.

    Args:
        setup: What its script is started with.
        title: The title of the window.
    """
    return _PAGE.render(title, setup).encode()


def page_policy() -> str:
    """Return the page's Content-Security-Policy."""
    return _PAGE.policy("img-src 'self' blob: data:", "connect-src 'self'", "frame-ancestors 'none'")
