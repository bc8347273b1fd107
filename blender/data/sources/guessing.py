"""Guess the format of an annotation file that is not of the format that the recipe names, for hints."""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

#: a field that a record of this format has and the others have not, for formats that are arrays
_MARKS_OF_RECORDS = {"conversations": "llava", "dialogue": "sparkles", "rationales": "aokvqa", "choices": "aokvqa"}
#: the same for the outermost object, and how the value begins
_MARKS_OF_OBJECTS = {"data": ("mimicit", b"{"), "annotations": ("minigpt4", b"["), "images": ("coco_caption", b"[")}
_MESSAGES = (
    'its records have "messages" of "role" and "content"; format llava has "conversations" of "from" and "value"'
)


def is_named_as_lines(path: str) -> bool:
    """Tell whether a file's name says that it is JSON Lines."""
    name = path.partition("?")[0] if "://" in path else path
    return name.removesuffix(".gz").removesuffix(".zst").endswith((".jsonl", ".ndjson"))


def is_json(content: bytes) -> bool:
    """Tell whether a text is JSON."""
    try:
        msgspec.json.decode(content, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def looks_like(path: str, format: str, data: bytes) -> str | None:
    """Return a hint that says what a file looks like; None if it looks like the given format, or like none."""
    guess = guess_format(data)
    if guess is None:
        return _other_arrangement(data)
    if guess != "lines":
        return f"it looks like format {guess}" if guess != format else None
    if is_named_as_lines(path):
        return None
    if format in _MARKS_OF_RECORDS.values():
        return "it looks like JSON Lines: give its name the ending .jsonl"
    return f"it looks like JSON Lines; {format} files are one JSON object"


def _other_arrangement(data: bytes) -> str | None:
    """Return a hint about records that are arranged, or have keys, as in no format here."""
    try:
        top = msgspec.json.decode(data, type=dict[str, Raw])
    except msgspec.ValidationError:
        return _other_keys(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        several = "trailing characters" in str(error)
        return "it holds several JSON values one behind the other: join them into one array" if several else None
    if any(field in top for field in _MARKS_OF_RECORDS):
        return "it is one record alone: put it into an array"
    if "messages" in top:
        return _MESSAGES
    key = next((key for key, value in top.items() if _first_record(value)), None)
    if key is None:
        return None
    guess = guess_format(bytes(top[key]))
    of_format = f", which look like format {guess}," if guess else ""
    keys = _other_keys(bytes(top[key]))
    advice = f'it keeps its records{of_format} under "{key}": write that array alone into a file'
    return f"{advice}; {keys}" if keys else advice


def _other_keys(data: bytes) -> str | None:
    return _MESSAGES if "messages" in _first_record(data) else None


def _first_record(data: bytes | Raw) -> dict[str, Raw]:
    """Return the keys and values of the first record of an array; of anything else none."""
    try:
        records = msgspec.json.decode(data, type=list[Raw])
        return msgspec.json.decode(records[0], type=dict[str, Raw]) if records else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def looks_like_messages(record: bytes) -> str | None:
    """Return a hint for a record with `messages`, as chat APIs take them; None for other records."""
    return _other_keys(b"[" + record + b"]")


def guess_format(data: bytes) -> str | None:
    """Name the format that a file looks like; "lines" for one JSON object per line, None when it looks like none."""
    try:
        top = msgspec.json.decode(data, type=dict[str, Raw] | list[Raw])
        if isinstance(top, dict):
            return _guess_object(top)
        first = msgspec.json.decode(top[0], type=dict[str, Raw]) if top else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "lines" if _are_lines(data.lstrip()) else None
    return next((format for field, format in _MARKS_OF_RECORDS.items() if field in first), None)


def _guess_object(top: Mapping[str, Raw]) -> str | None:
    marks = _MARKS_OF_OBJECTS.items()
    marked = next(
        (name for field, (name, start) in marks if field in top and bytes(memoryview(top[field])[:1]) == start), None
    )
    if marked or not top:
        return marked
    try:
        value = msgspec.json.decode(next(iter(top.values())), type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return "ocr_vqa" if "imageURL" in value else None


def _are_lines(data: bytes) -> bool:
    first, _, rest = data.partition(b"\n")
    return first.startswith(b"{") and is_json(first) and (not rest or rest.isspace() or rest.lstrip().startswith(b"{"))
