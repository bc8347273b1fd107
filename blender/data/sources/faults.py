"""Error sentences about annotation files.

A sentence names the file, the record (counted from 1, and its id if it has one) and the JSON path, says what was
expected and what was found, and hints at what to do. This code runs only after something has gone wrong, so it may
decode the file again to find out more.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from blender.core.errors import SourceError
from blender.data.sources.guessing import guess_format, is_json, looks_like, looks_like_messages

AGAIN = "download it again"
NEW_LINE = b"\n"
_DUMP = "write it with json.dump, not with str or print"
#: the beginning of a Python literal that is not JSON
_PYTHON = re.compile(rb"[\[{,:\s]*(?:'|(?:None|True|False)\b)")
_BLANKS = re.compile(rb"\s*")
_BYTE = re.compile(r"\(byte (\d+)\)")

#: first bytes of what people get instead of JSON → what it is, what to do
_NOT_JSON = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    b"<": ("is a web page or XML, not JSON", AGAIN),
    b"PK\x03\x04": ("is a zip archive, not JSON", "unpack it first"),
    b"BZh": ("is packed with bzip2", "unpack it first"),
    b"\xfd7zXZ": ("is packed with xz", "unpack it first"),
    b"PAR1": ("is a parquet file, not JSON", "instructions are read from JSON; pictures may be parquet"),
    b"\xff\xfe": ("is not UTF-8 text", "convert it to UTF-8"),
    b"\xfe\xff": ("is not UTF-8 text", "convert it to UTF-8"),
}

_KINDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<found>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_PLACE = re.compile(r" - at `\$?(?P<place>.*)`$", re.DOTALL)


class FileContent(Protocol):
    """An annotation file."""

    @property
    def path(self) -> str:
        """Where it is."""

    @property
    def format(self) -> str:
        """What the recipe says it is."""

    @property
    def data(self) -> bytes:
        """What it holds."""


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be decoded."""

    #: 0-based place in the file
    index: int
    #: JSON path
    json_path: str
    #: its key, where an object holds the records
    key: str | None
    content: bytes


#: most characters of an id or key in a sentence
_LONGEST_NAME = 120


def missing(path: str) -> SourceError:
    """Return the error for a missing file; its hint names a similar file."""
    parent = Path(path).parent
    if "://" in path:
        return SourceError(f"annotation file {path} does not exist")
    if not parent.is_dir():
        return SourceError(f"annotation file {path} does not exist", f"there is no folder {parent} either")
    names = sorted(child.name for child in parent.iterdir())
    close = difflib.get_close_matches(Path(path).name, names, n=1)
    return SourceError(f"annotation file {path} does not exist", f"did you mean {close[0]}?" if close else None)


def unreadable(path: str, error: Exception) -> SourceError:
    """Return the error for an unreadable file, with the message of the file system."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return SourceError(f"annotation file {path} cannot be read: {words}")


def no_records(path: str) -> SourceError:
    """Return the error for valid JSON without records."""
    return SourceError(f"{path} holds no records", "download it again, or take it out of the recipe")


def refuse_what_is_not_json(path: str, data: bytes) -> None:
    """Recognise what people download in place of JSON.

    Raises:
        SourceError: The file is empty, a web page, an archive, a pointer to the real file.
    """
    if not data or data.isspace():
        raise SourceError(f"{path} is empty", AGAIN)
    head = data[_BLANKS.match(data).end() :][:64]  # type: ignore[union-attr]
    for start, (what, hint) in _NOT_JSON.items():
        if head.startswith(start):
            raise SourceError(f"{path} {what}", hint)


def byte_of(error: Exception) -> int:
    """Return the position of an error in JSON from msgspec's message; 0 if it has none."""
    found = _BYTE.search(str(error))
    return int(found[1]) if found else 0


def broken_json(file: FileContent, error: Exception) -> SourceError:
    """Return the error for invalid JSON: the position, and the cause as far as it is known."""
    path, words = file.path, str(error)
    if isinstance(error, RecursionError):
        return SourceError(f"{path} nests arrays or objects too deeply")
    if "truncated" in words:
        return SourceError(f"{path} ends early: its JSON breaks off at byte {len(file.data):,}", AGAIN)
    if isinstance(error, UnicodeDecodeError):
        return SourceError(f"{path} is not UTF-8 text throughout: {error.reason}", "convert it to UTF-8")
    at = byte_of(error)
    where = f"at byte {at:,} (line {file.data.count(NEW_LINE, 0, at) + 1:,})"
    rest = file.data[max(0, at - 1) :] if "trailing characters" in words else file.data[at:]
    if "trailing characters" in words:
        hint = looks_like(path, file.format, file.data) or "join the values into one array"
        return SourceError(f"{path} holds another JSON value behind the first, {where}", hint)
    if _PYTHON.match(rest):
        return SourceError(f"{path} is a Python literal, not JSON, {where}: {_excerpt(rest)}", _DUMP)
    if rest[:1] < b" " and rest:
        message = f"{path} is not valid JSON: a control character (0x{rest[0]:02x}) stands bare in a text {where}"
        return SourceError(message, "line breaks and tabs in texts are written \\n and \\t")
    what = _BYTE.sub("", words.removeprefix("JSON is malformed: ")).strip()
    return SourceError(f"{path} is not valid JSON: {what} {where}", f"correct it there: {_excerpt(rest)}")


def no_json_lines(file: FileContent, first: bytes) -> SourceError:
    """Return the error for a file that is named as JSON Lines and has no line of JSON."""
    if _PYTHON.match(first[:200]):
        return SourceError(f"{file.path} holds Python literals, not JSON: {_excerpt(first)}", _DUMP)
    if is_json(file.data):
        hint = "it is one JSON value over several lines: give its name the ending .json, or write one record per line"
    else:
        hint = "write each record as one JSON object on a line of its own"
    message = f"{file.path} is named as JSON Lines, but no line of it is JSON: it begins {_excerpt(first)}"
    return SourceError(message, hint)


def wrong_top(file: FileContent, error: msgspec.ValidationError) -> SourceError:
    """Return the error for an outermost level of the wrong type; its hint names the format that the file looks like."""
    what, json_path = _explained(error)
    at = f", at ${json_path}" if json_path else ""
    hint = looks_like(file.path, file.format, file.data)
    return SourceError(f"{file.path} is not of format {file.format}{at}: {what}", hint)


def sentence(record: BadRecord, error: Exception) -> str:
    """Describe a record of the wrong shape: its number and id, the JSON path, and what was expected there."""
    name = name_of(record)
    number = f"record {record.index + 1:,}" + (f" (id {_on_one_line(name)})" if name is not None else "")
    what, inner = _explained(error) if isinstance(error, msgspec.ValidationError) else (_broken(record, error), "")
    return f"{number}, at {_on_one_line(record.json_path)}{inner}: {what}"


def _on_one_line(text: str) -> str:
    """Write a text from a file on one line: without line breaks, and cut to a readable length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[:_LONGEST_NAME]}…"


def wrong_records(
    file: FileContent, records: Sequence[tuple[BadRecord, Exception]], num_bad: int, total: int
) -> SourceError:
    """Return the error for records of the wrong shape; the first ones are described."""
    hint = looks_like(file.path, file.format, file.data) or _hint_of_record(records[0][0])
    sentences = [sentence(record, error) for record, error in records]
    if num_bad == total and is_of_another_format(file):
        return SourceError(f"{file.path} is not of format {file.format}: {sentences[0]}", hint)
    if num_bad == 1:
        hint = hint or "correct or remove this record, or skip such records with on_bad_record: skip"
        return SourceError(f"{file.path}, {sentences[0]}", hint)
    shown = "" if num_bad == len(sentences) else f"; the first {len(sentences)}"
    message = f"{file.path}: {num_bad:,} of {total:,} records cannot be read{shown}:"
    hint = hint or "correct or remove them, or skip such records with on_bad_record: skip"
    return SourceError("\n  ".join([message, *sentences]), hint)


def _hint_of_record(record: BadRecord) -> str | None:
    """Say how to write a record that is of a well-known other kind."""
    if hint := looks_like_messages(record.content):
        return hint
    try:
        content = msgspec.json.decode(record.content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for key in ("image", "images"):
        value = content.get(key)
        first = value[0] if isinstance(value, list) and value else value
        if not isinstance(first, dict):
            continue
        names = [first[inner] for inner in ("path", "file_name", "url") if isinstance(first.get(inner), str)]
        if names:
            shown = msgspec.json.encode(names[:1] if isinstance(value, list) else names[0]).decode()
            return f'images are given by their names alone: write "{key}": {_on_one_line(shown)}'
        if "bytes" in first:
            return f'images inside of records are not read: put them into an image store, and their names into "{key}"'
    return None


def is_of_another_format(file: FileContent) -> bool:
    """Tell whether a file looks like one of another format than the recipe names."""
    guess = guess_format(file.data)
    return guess not in (None, "lines", file.format)


def _broken(record: BadRecord, error: Exception) -> str:
    """Say why a record could not be decoded, though the file could be split into records."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text ({error.reason})"
    if isinstance(error, RecursionError):
        return "nests arrays or objects too deeply"
    if _PYTHON.match(record.content[:200]):
        return "a Python literal, not JSON"
    words = str(error).removeprefix("JSON is malformed: ")
    return f"not valid JSON ({words[0].lower()}{words[1:]})"


def _explained(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return what msgspec expected and found, in words, and the JSON path below the decoded value."""
    words = str(error)
    path_match = _PLACE.search(words)
    json_path = path_match["place"] if path_match else ""
    if match := _EXPECTED.search(words):
        expected = " or ".join(_kind(kind) for kind in match["expected"].split(" | "))
        return f"expected {expected}, found {_kind(match['found'])}", json_path
    if match := _MISSING.search(words):
        return f'expected a field "{match["field"]}", found none', json_path
    return _PLACE.sub("", words), json_path


def _kind(name: str) -> str:
    return _KINDS.get(name, name)


def name_of(record: BadRecord) -> str | None:
    """Return the id of a record, if it can be found."""
    if record.key is not None:
        return record.key
    try:
        content = msgspec.json.decode(record.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    names = (content.get(field) for field in ("id", "question_id", "image_id", "filename"))
    return next((str(name) for name in names if isinstance(name, str | int) and not isinstance(name, bool)), None)


def _excerpt(text: bytes) -> str:
    shown = text[:40].decode("utf-8", "replace")
    return ascii(shown) if len(text) <= 40 else f"{ascii(shown)}…"
