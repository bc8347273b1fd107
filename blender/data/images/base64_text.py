"""Pictures written as base64 text, as MIMIC-IT publishes them."""

import binascii
import re
from collections.abc import Callable

from blender.core.errors import StoreError
from blender.data.images.files import ByteFile

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_CHUNK = 64 * 1024
_START = 4096
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED_CHARACTER = re.compile(rb"\\u00(?:2[BbDdFf]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff])")
_NO_CHARACTERS = re.sub(rb"[A-Za-z0-9+/_-]", b"", bytes(range(256)))
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


class EscapedFile(ByteFile):
    """The picture behind base64 text that holds JSON escapes, blanks or line breaks.

    Its size is counted in bounded memory; only a read decodes it, whole. So a picture that is too large is refused
    before that.

    Args:
        text: The text as it stands in the JSON file, without prefix.
        decode: Decodes it whole.
    """

    def __init__(self, text: ByteFile, decode: Callable[[bytes], bytes]) -> None:
        self._text = text
        self._decode = decode
        self._data: bytes | None = None
        self.num_bytes = _count_characters(text) * 3 // 4
        if not self.num_bytes and text.num_bytes:
            # says so where it is not base64
            decode(text.read_at(0, _START))

    def _read(self, offset: int, num_bytes: int) -> bytes:
        if self._data is None:
            self._data = self._decode(self._text.read_all())
        return self._data[offset : offset + num_bytes]


def _count_characters(text: ByteFile) -> int:
    """Count the base64 characters of a JSON text, a chunk at a time."""
    count, kept = 0, b""
    for offset in range(0, text.num_bytes, _CHUNK):
        piece = kept + text.read_at(offset, _CHUNK)
        # an escape may go on in the next chunk
        last = piece.rfind(b"\\", max(0, len(piece) - 6)) if offset + _CHUNK < text.num_bytes else -1
        kept = piece[last:] if last >= 0 else b""
        count += _count_in(piece[:last] if last >= 0 else piece)
    return count


def _count_in(piece: bytes) -> int:
    if b"\\" not in piece:
        return len(piece.translate(None, _NO_CHARACTERS))
    plain = _ESCAPE.sub(b" ", _ESCAPED_CHARACTER.sub(b"A", piece.replace(b"\\/", b"/")))
    return len(plain.translate(None, _NO_CHARACTERS))


def open_base64(text: ByteFile, at_once: bool = False) -> ByteFile:
    """Open the picture behind a base64 text.

    Args:
        text: The text.
        at_once: Decode it all, because it may hold line breaks or the like.
    """
    if at_once or text.num_bytes % 4:
        return EscapedFile(text, decode_base64)
    try:
        file = Base64File(text)
        file.read_at(0, 48)
        file.read_at(max(0, file.num_bytes - 48), 48)
    except StoreError:
        return EscapedFile(text, decode_base64)
    return file
