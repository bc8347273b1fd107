"""What can be wrong with an annotation file, as sentences.

A sentence names the file, the record (counted from 1, and by its id where it has one) and the JSON path, says what was
expected and what was found, and hints at what to do. Everything here runs only once something has gone wrong, so it may
decode the file again to find out more.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Raw

from blender.errors import SourceError

AGAIN = "download it again"

#: first bytes of what people get instead of JSON → what it is, what to do
_NOT_JSON = {
    b"version https://git-lfs": ("is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    b"<": ("is a web page or XML, not JSON", AGAIN),
    b"PK\x03\x04": ("is a zip archive, not JSON", "unpack it first"),
    b"PAR1": ("is a parquet file, not JSON", "instructions are read from JSON; pictures may be parquet"),
    b"\xff\xfe": ("is not UTF-8 text", "convert it to UTF-8"),
    b"\xfe\xff": ("is not UTF-8 text", "convert it to UTF-8"),
}

#: a field that a record of this format has and the others have not, for formats that are arrays
_MARKS_OF_RECORDS = {"conversations": "llava", "dialogue": "sparkles", "rationales": "aokvqa", "choices": "aokvqa"}
#: the same for the outermost object
_MARKS_OF_OBJECTS = {"data": "mimicit", "annotations": "minigpt4", "images": "coco_caption"}

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


@dataclass(frozen=True)
class Culprit:
    """A record that could not be decoded."""

    #: 0-based place in the file
    index: int
    #: JSON path
    place: str
    #: its key, where an object holds the records
    key: str | None
    content: bytes


def missing(path: str) -> SourceError:
    """Tell that there is no such file, and what similar one there is."""
    parent = Path(path).parent
    if "://" in path:
        return SourceError(f"annotation file {path} does not exist")
    if not parent.is_dir():
        return SourceError(f"annotation file {path} does not exist", f"there is no folder {parent} either")
    names = sorted(child.name for child in parent.iterdir())
    close = difflib.get_close_matches(Path(path).name, names, n=1)
    return SourceError(f"annotation file {path} does not exist", f"did you mean {close[0]}?" if close else None)


def unreadable(path: str, error: Exception) -> SourceError:
    """Tell that the file could not be read, in the words of the file system or of its plug-in."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return SourceError(f"annotation file {path} cannot be read: {words}")


def no_records(path: str) -> SourceError:
    """Tell that the JSON is fine but empty."""
    return SourceError(f"{path} holds no records", "download it again, or take it out of the recipe")


def refuse_what_is_not_json(path: str, data: bytes) -> None:
    """Recognise what people get in place of JSON.

    Raises:
        SourceError: The file is empty, a web page, an archive, a pointer to the real file.
    """
    if not data or data.isspace():
        raise SourceError(f"{path} is empty", AGAIN)
    head = data[:64].lstrip()
    for start, (what, hint) in _NOT_JSON.items():
        if head.startswith(start):
            raise SourceError(f"{path} {what}", hint)


def broken_json(path: str, data: bytes, error: Exception) -> SourceError:
    """Tell where the JSON of a file breaks."""
    words = str(error)
    if isinstance(error, RecursionError):
        return SourceError(f"{path} nests arrays or objects too deeply")
    if "truncated" in words:
        return SourceError(f"{path} ends early: its JSON breaks off at byte {len(data):,}", AGAIN)
    if isinstance(error, UnicodeDecodeError):
        return SourceError(f"{path} is not UTF-8 text throughout: {error.reason}", "convert it to UTF-8")
    what, _, offset = words.removeprefix("JSON is malformed: ").removesuffix(")").partition(" (byte ")
    line = data.count(b"\n", 0, int(offset or 0)) + 1
    return SourceError(f"{path} is not valid JSON: {what} at byte {int(offset or 0):,} (line {line:,})", AGAIN)


def wrong_top(path: str, format: str, data: bytes, error: msgspec.ValidationError) -> SourceError:
    """Tell that the outermost level is not what the format has, and which format it looks like."""
    what, place = _explained(error)
    at = f", at ${place}" if place else ""
    return SourceError(f"{path} is not of format {format}{at}: {what}", _looks_like(format, data))


def wrong_record(path: str, format: str, data: bytes, culprit: Culprit, error: Exception) -> SourceError:
    """Tell which record is not what the format has, at which place in it, and what was expected there."""
    name = culprit.key or _name_of(culprit.content)
    number = f"record {culprit.index + 1:,}" + (f" (id {name})" if name else "")
    what, inner = _explained(error) if isinstance(error, msgspec.ValidationError) else (_broken(culprit, error), "")
    hint = _looks_like(format, data) or "correct or remove this record"
    return SourceError(f"{path}, {number}, at {culprit.place}{inner}: {what}", hint)


def _broken(culprit: Culprit, error: Exception) -> str:
    """Say why a record could not be decoded, though the file could be split into records."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text ({error.reason})"
    if isinstance(error, RecursionError):
        return "nests arrays or objects too deeply"
    words = str(error).removeprefix("JSON is malformed: ")
    return f"not valid JSON ({words[0].lower()}{words[1:]})"


def _explained(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return what msgspec expected and found in words, and the place below the decoded value."""
    words = str(error)
    found_place = _PLACE.search(words)
    place = found_place["place"] if found_place else ""
    if match := _EXPECTED.search(words):
        expected = " or ".join(_kind(kind) for kind in match["expected"].split(" | "))
        return f"expected {expected}, found {_kind(match['found'])}", place
    if match := _MISSING.search(words):
        return f'expected a field "{match["field"]}", found none', place
    return _PLACE.sub("", words), place


def _kind(name: str) -> str:
    return _KINDS.get(name, name)


def _looks_like(format: str, data: bytes) -> str | None:
    guess = guess_format(data)
    if guess == "lines":
        return "it looks like JSON Lines: give its name the ending .jsonl"
    return f"it looks like format {guess}" if guess and guess != format else None


def guess_format(data: bytes) -> str | None:
    """Name the format that a file looks like; "lines" for one JSON object per line, None when it looks like none."""
    try:
        top = msgspec.json.decode(data, type=dict[str, Raw] | list[Raw])
        if isinstance(top, dict):
            return _guess_object(top)
        first = msgspec.json.decode(top[0], type=dict[str, Raw]) if top else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "lines" if data.lstrip().startswith(b"{") and _is_json(data.lstrip().partition(b"\n")[0]) else None
    return next((format for field, format in _MARKS_OF_RECORDS.items() if field in first), None)


def _guess_object(top: Mapping[str, Raw]) -> str | None:
    marked = next((format for field, format in _MARKS_OF_OBJECTS.items() if field in top), None)
    if marked or not top:
        return marked
    value = msgspec.json.decode(next(iter(top.values())))
    return "ocr_vqa" if isinstance(value, dict) and "imageURL" in value else None


def _name_of(content: bytes) -> str | None:
    """Return the id that a record bears, if it can be made out."""
    try:
        record = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    names = (record.get(field) for field in ("id", "question_id", "image_id", "filename"))
    return next((str(name) for name in names if isinstance(name, str | int)), None)


def _is_json(content: bytes) -> bool:
    try:
        msgspec.json.decode(content, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
