"""Pictures written as base64 text, as MIMIC-IT publishes them."""

import binascii
import re

from blender.errors import StoreError
from blender.images.files import ByteFile, MemoryFile

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_NO_TEXT = re.compile(rb"[^A-Za-z0-9+/=]")
#: a prefix such as ``data:image/jpeg;base64,``, its slash possibly escaped as JSON allows
DATA_URL = re.compile(rb"data:[^,\"]{0,200},")


def decode_base64(text: bytes) -> bytes:
    """Decode base64 with or without a data-URL prefix, line breaks, padding, or the URL-safe alphabet.

    Raises:
        StoreError: It is not base64.
    """
    prefix = DATA_URL.match(text)
    if prefix:
        text = text[prefix.end() :]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return _decode_leniently(text)


def _decode_leniently(text: bytes) -> bytes:
    text = b"".join(text.split()).translate(_URL_SAFE)
    if _NO_TEXT.search(text):
        raise StoreError("it is not base64 text")
    text = text.rstrip(b"=")
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error as error:
        raise StoreError(f"it is not base64 text: {error}") from error


class Base64File(ByteFile):
    """The picture behind a run of clean base64 text inside another file, decoded only where it is read.

    Args:
        text: The text, without prefix.

    Raises:
        StoreError: Its end is not base64.
    """

    def __init__(self, text: ByteFile) -> None:
        self._text = text
        ending = text.read_at(max(0, text.num_bytes - 4), 4)
        self.num_bytes = text.num_bytes // 4 * 3 - ending.count(b"=")

    def _read(self, offset: int, num_bytes: int) -> bytes:
        first = offset // 3
        last = -(-(offset + num_bytes) // 3)
        try:
            data = binascii.a2b_base64(self._text.read_at(4 * first, 4 * (last - first)), strict_mode=True)
        except binascii.Error as error:
            raise StoreError(f"it is not base64 text: {error}") from error
        return data[offset - 3 * first : offset - 3 * first + num_bytes]


def open_base64(text: ByteFile, at_once: bool = False) -> ByteFile:
    """Open the picture behind a base64 text.

    Args:
        text: The text.
        at_once: Decode it all, because it may hold line breaks or the like.
    """
    if at_once or text.num_bytes % 4:
        return MemoryFile(decode_base64(text.read_all()))
    try:
        file = Base64File(text)
        file.read_at(0, 48)
        file.read_at(max(0, file.num_bytes - 48), 48)
    except StoreError:
        return MemoryFile(decode_base64(text.read_all()))
    return file
