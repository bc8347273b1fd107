"""Images of a request: read from data URLs, and checked before anything is decoded."""

import base64
import binascii
import re

from blender.data.images.damage import DamagedImage
from blender.data.images.decoding import measure_image
from blender.data.images.formats import MARK_BYTES, NAMES, foreign_kind, format_of
from blender.serve.http.request_errors import RequestError

_HEAD = re.compile(r"data:(?P<kind>[^,;]*)(?P<options>(?:;[^,;]*)*),", re.IGNORECASE)
_SPACE = re.compile(rb"\s+")


def is_web_address(url: str) -> bool:
    """Return whether an image must be fetched."""
    return url[:8].lower().startswith(("http://", "https://"))


def read_data_url(url: str, param: str) -> bytes:
    """Return the content of a data URL.

    Args:
        url: ``data:image/jpeg;base64,…``.
        param: The parameter that names it.

    Raises:
        RequestError: It is no data URL, or is damaged.
    """
    head = _HEAD.match(url[:200])
    if head is None:
        message = "an image must be a data URL, such as data:image/jpeg;base64,..."
        raise RequestError(message, param=param, code="invalid_image_url")
    if ";base64" not in head["options"].lower():
        raise RequestError("the data URL of an image must be base64", param=param, code="invalid_image_url")
    try:
        content = url[head.end() :].encode("ascii")
        return base64.b64decode(_SPACE.sub(b"", content), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise RequestError(f"the image is no base64: {error}", param=param, code="invalid_base64") from error


def check_image(content: bytes, number: int, max_pixels: int, param: str) -> None:
    """Check header and structure of an image, in time linear in its bytes; nothing is decoded.

    Args:
        content: The bytes of the file.
        number: Of the image in its conversation, from 1.
        max_pixels: Pixels that it may have.
        param: The parameter that names it.

    Raises:
        RequestError: It is no image, or too large.
    """
    try:
        width, height = measure_image(content)
    except DamagedImage as damage:
        reason = _foreign(content) or damage.why
        raise RequestError(f"image {number} cannot be read: {reason}", param=param, code="invalid_image") from damage
    if width * height > max_pixels:
        message = f"image {number} has {width:,} x {height:,} pixels, and {max_pixels:,} are allowed: make it smaller"
        raise RequestError(message, param=param, code="image_too_large")


def _foreign(content: bytes) -> str | None:
    """Name the type of a file that is of no supported image format."""
    head = content[:MARK_BYTES]
    if format_of(head):
        return None
    kind = foreign_kind(head)
    return f"it is no {NAMES} file" + (f" but {kind}" if kind else "")
