"""A store that is one JSON object of base64 images, ``{"SD_IMG_0000": "/9j/4AAQ…", …}``, as MIMIC-IT publishes them.

Such a file has gigabytes, and nearly all of it is base64 text that need not be parsed to be skipped. So the scanner
searches for quotation marks in chunks of a megabyte, at the speed of memory and with a few megabytes of it, and parses
only keys. A member contains the position of its text (``SD_IMG_0000@17+131072``), followed by ``~`` if the text has
escapes or spaces and must be decoded whole, or by ``!`` and the kind of the value if it is no text: such a value loses
its image, not the whole store.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

import msgspec

from blender.core.errors import StoreError
from blender.data.images.base64_text import DATA_URL, EscapedFile, decode_base64, open_base64
from blender.data.images.files import ByteFile, FileSlice
from blender.data.images.names import plain_path
from blender.data.images.store import FileStore, is_listable, span_of

_CHUNK = 1024 * 1024
#: how far keys, blanks and prefixes may reach: enough is kept in the buffer to match them at once
_REACH = 64 * 1024
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
_END = re.compile(rb"[ \t\r\n]*\}")
_COMMA = re.compile(rb"[ \t\r\n]*,")
_KEY = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_QUOTE = re.compile(rb'"')
_BLANKS = re.compile(rb"[ \t\r\n]*")
_LITERAL = re.compile(rb"(?:-?[0-9][0-9.eE+-]*|true|false|null|NaN|-?Infinity)(?=[ \t\r\n,}])")
_NESTING = re.compile(rb'["\[\]{}]')
_KINDS = {b"{": "an object", b"[": "a list", b"t": "true", b"f": "false", b"n": "null"}


class Base64Entry(NamedTuple):
    """A picture's name and where its text lies."""

    name: str
    offset: int
    num_bytes: int
    #: whether the text holds escapes or spaces
    unclean: bool
    #: what the value is, where it is no text
    kind: str = ""


def scan_base64_json(file: ByteFile, chunk: int = _CHUNK, reach: int = _REACH) -> Iterator[Base64Entry]:
    """Walk one big JSON object of base64 texts in bounded memory.

    Args:
        file: The file.
        chunk: How many bytes are read at once.
        reach: How long a name with the blanks around it, or a data-URL prefix, may be.

    Raises:
        StoreError: The file is cut short or is not such an object; the message names the byte.
    """
    window = _Window(file, chunk, reach)
    window.demand(_BEGIN, "a JSON object of base64 texts, beginning with '{'")
    if window.take(_END):
        return window.demand_end()
    while True:
        name = window.take_key()
        yield window.take_value(name)
        if window.take(_END):
            return window.demand_end()
        window.demand(_COMMA, "',' or '}'")


class _Window:
    """A part of the file that slides from its start to its end."""

    def __init__(self, file: ByteFile, chunk: int, reach: int) -> None:
        self._file = file
        self._chunk = chunk
        self._reach = reach
        self._buffer = b""
        self._start = 0  # offset in the file of the buffer's first byte
        self._at = 0  # place in the buffer

    @property
    def offset(self) -> int:
        return self._start + self._at

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Move past what matches here."""
        while len(self._buffer) - self._at < self._reach and self._start + len(self._buffer) < self._file.num_bytes:
            self._extend()
        found = pattern.match(self._buffer, self._at)
        if found:
            self._at = found.end()
        return found

    def demand(self, pattern: re.Pattern[bytes], expected: str) -> re.Match[bytes]:
        """Move past what must match here."""
        return self.take(pattern) or self._fail(expected)

    def demand_end(self) -> None:
        """Make sure that nothing but blanks follows."""
        self.take(_BLANKS)
        if self.offset < self._file.num_bytes:
            self._fail("the end of the file")

    def take_key(self) -> str:
        """Move past a key and its colon."""
        key = self.demand(_KEY, "a picture's name in quotation marks and ':'")[1]
        try:
            return msgspec.json.decode(key, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(f"at byte {self.offset}: the name {key[:80]!r} is not valid JSON: {error}") from error

    def take_value(self, name: str) -> Base64Entry:
        """Move past a value, which should be a text."""
        if self.take(_QUOTE):
            return Base64Entry(name, *self._take_text(name))
        offset, first = self.offset, self._buffer[self._at : self._at + 1]
        if first in (b"{", b"["):
            self._take_nested(name)
        elif not self.take(_LITERAL):
            self._fail(f"the base64 text of {name!r}")
        return Base64Entry(name, offset, self.offset - offset, False, _KINDS.get(first, "a number"))

    def _take_nested(self, name: str) -> None:
        """Move past an object or a list, of any depth."""
        depth = 0
        while True:
            found = _NESTING.search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer)
                if not self._extend():
                    raise self._cut_inside(name)
                continue
            self._at = found.end()
            if found[0] == b'"':
                self._take_text(name)
            else:
                depth += 1 if found[0] in b"[{" else -1
                if not depth:
                    return

    def _take_text(self, name: str) -> tuple[int, int, bool]:
        """Move past a text behind its first quotation mark: its offset, its length, whether to decode it whole."""
        self.take(DATA_URL)
        offset = self.offset
        unclean = False
        while True:
            at, buffer = self._at, self._buffer
            quote = buffer.find(b'"', at)
            end = quote if quote >= 0 else len(buffer)
            escaped = buffer.find(b"\\", at, end) >= 0
            unclean = unclean or escaped or buffer.find(b" ", at, end) >= 0
            if quote < 0:
                self._slide(escaped, name)
            else:
                self._at = quote + 1
                if not (escaped and _num_backslashes(buffer[at:quote]) % 2):
                    return offset, self._start + quote - offset, unclean

    def _slide(self, escaped: bool, name: str) -> None:
        """Go on with the next chunk. A backslash at the buffer's end stays with what it escapes; pairs need not."""
        num_kept = _num_backslashes(self._buffer[self._at :]) % 2 if escaped else 0
        self._at = len(self._buffer) - num_kept
        if not self._extend():
            raise self._cut_inside(name)

    def _extend(self) -> bool:
        """Drop what lies behind and read another chunk; say whether there was one."""
        chunk = self._file.read_at(self._start + len(self._buffer), self._chunk)
        self._start += self._at
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _cut_inside(self, name: str) -> StoreError:
        return StoreError(f"the file is cut short: it ends at byte {self._file.num_bytes}, inside of {name!r}")

    def _fail(self, expected: str) -> NoReturn:
        self.take(_BLANKS)
        size = self._file.num_bytes
        if not self._file.read_at(max(0, size - 64), 64).rstrip().endswith(b"}"):
            raise StoreError(f"the file is cut short: it ends at byte {size}, and {expected} is missing")
        rest = self._buffer[self._at : self._at + 40]
        found = _KINDS.get(rest[:1]) or ("a number" if rest[:1] in b"-0123456789" else ascii(rest)[1:])
        raise StoreError(f"at byte {self.offset}: expected {expected}, found {found}")


def _num_backslashes(text: bytes) -> int:
    """Count the backslashes at the end."""
    return len(text) - len(text.rstrip(b"\\"))


class Base64JsonStore(FileStore):
    """One JSON object of base64 pictures."""

    kind = "base64 JSON file"

    def _check(self, file: ByteFile) -> None:
        if not _BEGIN.match(file.read_at(0, 4096)):
            raise self._failed("is not one JSON object of base64 texts: it does not begin with '{'")

    def _list(self, file: ByteFile) -> dict[str, str]:
        try:
            entries = scan_base64_json(file)
            return {path: _member(path, entry) for entry in entries if is_listable(path := plain_path(entry.name))}
        except StoreError as error:
            raise self._failed(f"is damaged or of another kind: {error.message}", error.hint) from error

    def _open(self, member: str) -> ByteFile:
        text, unclean = self._text(member)
        return EscapedFile(text, _unescaped) if unclean else open_base64(text)

    def _read(self, member: str) -> bytes:
        text, unclean = self._text(member)
        return _unescaped(text.read_all()) if unclean else decode_base64(text.read_all())

    def _text(self, member: str) -> tuple[FileSlice, bool]:
        place, _, kind = self._place(member).partition("!")
        if kind:
            raise StoreError(f"its value is {kind}, not base64 text")
        return FileSlice(self._file, *span_of(place.removesuffix("~"))), place.endswith("~")


def _member(path: str, entry: Base64Entry) -> str:
    mark = f"!{entry.kind}" if entry.kind else "~" * entry.unclean
    return f"{path}@{entry.offset}+{entry.num_bytes}{mark}"


def _unescaped(text: bytes) -> bytes:
    try:
        return decode_base64(msgspec.json.decode(b'"' + text + b'"', type=str).encode())
    except msgspec.DecodeError as error:
        raise StoreError(f"its text is not valid JSON: {error}") from error
