"""The page at ``/``: a chat with the model.

Its Content-Security-Policy allows images that it makes itself and requests to this server, and nothing else.
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
        setup: Settings of the server that its script needs.
        title: The title of the window.
    """
    return _PAGE.render(title, setup).encode()


def page_policy() -> str:
    """Return the page's Content-Security-Policy."""
    return _PAGE.policy("img-src 'self' blob: data:", "connect-src 'self'", "frame-ancestors 'none'")
