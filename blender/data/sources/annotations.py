"""Open annotation files and split them into records.

A file is read whole, and once: its hash is that of the bytes that are parsed. It is split into raw records without
decoding them; :mod:`blender.data.sources.decoding` decodes record by record. That costs no more than decoding
everything at once, holds only one decoded record in memory, and lets every error name its record. The error sentences
are in :mod:`blender.data.sources.faults`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import fsspec
import msgspec
from msgspec import Raw

from blender.core.errors import SourceError
from blender.data.sources import faults
from blender.data.sources.guessing import is_json, is_named_as_lines
from blender.data.sources.options import DEFAULTS, ReadOptions
from blender.data.sources.repair import original_position, repaired
from blender.data.sources.unpacking import unpacked

Shape = TypeVar("Shape")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Annotations:
    """The bytes of one annotation file, and its format."""

    #: local path or fsspec URL, as the user wrote it
    path: str
    #: name of the format that the user gave; a key of :data:`blender.data.sources.SOURCES`
    format: str
    #: the file, decompressed
    data: bytes
    #: SHA-256 and size of the file as it is stored, perhaps compressed
    sha256: str
    num_bytes: int
    options: ReadOptions = DEFAULTS


@dataclass(frozen=True)
class RawRecords:
    """The records of a file, not decoded yet."""

    #: the JSON of each
    contents: Sequence[Raw | bytes]
    #: JSON path of the array or object that holds them
    root: str = "$"
    #: their keys, where an object holds them
    keys: Sequence[str] | None = None

    def json_path(self, index: int) -> str:
        """Return the JSON path of a record."""
        return f"{self.root}[{index}]" if self.keys is None else f'{self.root}["{self.keys[index]}"]'


def open_annotations(path: str, format: str, options: ReadOptions = DEFAULTS) -> Annotations:
    """Read a file from a local path or any fsspec URL, once, unpacking gzip and zstd.

    Raises:
        SourceError: The file is missing, unreadable, empty, or plainly not JSON.
    """
    stored = _contents(path)
    data = unpacked(path, stored).removeprefix(_BYTE_ORDER_MARK)
    faults.refuse_what_is_not_json(path, data)
    return Annotations(path, format, data, hashlib.sha256(stored).hexdigest(), len(stored), options)


def raw_array(annotations: Annotations) -> RawRecords:
    """Split a top-level JSON array, or a JSON Lines file, into its records.

    Raises:
        SourceError: The JSON is broken, or is not an array.
    """
    if _holds_lines(annotations):
        return RawRecords(_lines(annotations))
    return RawRecords(decode_top(annotations, list[Raw]))


def pairs_of(annotations: Annotations, key: str | None = None) -> RawRecords:
    """List the records of an object that has keys more than once: the slow way, which keeps all of them.

    Args:
        annotations: A file whose outermost level is an object.
        key: The key of the object that holds the records; None for the outermost one.

    Raises:
        SourceError: It is not UTF-8, or nests too deeply.
    """
    try:
        top = json.loads(repaired(annotations.data), object_pairs_hook=_KeyValuePairs)
    except (UnicodeDecodeError, RecursionError) as error:
        raise faults.broken_json(annotations, error) from None
    items = list(chain.from_iterable(value for name, value in top if name == key)) if key else list(top)
    contents = [msgspec.json.encode(_plain(value)) for _, value in items]
    return RawRecords(contents, f"$.{key}" if key else "$", [name for name, _ in items])


class _KeyValuePairs(tuple[tuple[str, object], ...]):
    """An object of JSON, as its keys and values in order."""

    __slots__ = ()


def _plain(value: object) -> object:
    if isinstance(value, _KeyValuePairs):
        return {name: _plain(inner) for name, inner in value}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def decode_top(annotations: Annotations, shape: type[Shape]) -> Shape:
    """Decode the outermost level of a file, leaving its records raw.

    Raises:
        SourceError: The JSON is broken, or its outermost level has another shape.
    """
    try:
        return _decoded(annotations.data, msgspec.json.Decoder(shape).decode)
    except msgspec.ValidationError as error:
        raise faults.wrong_top(annotations, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise faults.broken_json(annotations, error) from None


def _decoded(data: bytes, decode: Callable[[bytes], Shape]) -> Shape:
    """Decode JSON; if that fails, JSON as only Python reads it."""
    try:
        return decode(data)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError) or (mended := repaired(data)) == data:
            raise
    try:
        return decode(mended)
    except msgspec.DecodeError as error:
        if isinstance(error, msgspec.ValidationError):
            raise
        at = faults.byte_of(error)
        raise msgspec.DecodeError(str(error).replace(f"(byte {at})", f"(byte {original_position(data, at)})")) from None


def _contents(path: str) -> bytes:
    try:
        if "://" not in path:
            return Path(path).read_bytes()
        with fsspec.open(path, "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        raise faults.missing(path) from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder, not an annotation file", "name the file inside it") from None
    except Exception as error:  # a file system from a plug-in raises whatever its library raises
        if "://" not in path and not isinstance(error, OSError | ValueError):
            raise
        raise faults.unreadable(path, error) from None


def _lines(annotations: Annotations) -> list[bytes]:
    """Split a JSON Lines file.

    Raises:
        SourceError: Not one of its lines is JSON.
    """
    lines = [line for line in annotations.data.splitlines() if line and not line.isspace()]
    if not any(is_json(line) or is_json(repaired(line)) for line in lines):
        raise faults.no_json_lines(annotations, lines[0])
    return lines


def _holds_lines(annotations: Annotations) -> bool:
    return is_named_as_lines(annotations.path) and not annotations.data[:64].lstrip().startswith(b"[")
