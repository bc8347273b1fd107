"""Open annotation files and decode them, one record at a time.

A file is read whole, then split into raw records without decoding them, then decoded record by record. That costs no
more than decoding everything at once, holds only one decoded record in memory, and tells for every fault in which
record it lies. What can be wrong with a file is put into sentences by :mod:`blender.sources.faults`.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import fsspec
import msgspec
from msgspec import Raw

from blender.errors import SourceError
from blender.records import BATCH_SIZE
from blender.sources import faults

Shape = TypeVar("Shape")

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Annotations:
    """The bytes of one annotation file, and what it is said to be."""

    #: local path or fsspec URL, as the user wrote it
    path: str
    #: name of the format that the user gave; a key of :data:`blender.sources.SOURCES`
    format: str
    #: the file, decompressed
    data: bytes


@dataclass(frozen=True)
class RawRecords:
    """The records of a file, not decoded yet."""

    #: the JSON of each
    contents: Sequence[Raw | bytes]
    #: JSON path of the array or object that holds them
    root: str = "$"
    #: their keys, where an object holds them
    keys: Sequence[str] | None = None

    def place(self, index: int) -> str:
        """Return the JSON path of a record."""
        return f"{self.root}[{index}]" if self.keys is None else f'{self.root}["{self.keys[index]}"]'


def open_annotations(path: str, format: str) -> Annotations:
    """Read a file from a local path or any fsspec URL, unpacking gzip.

    Raises:
        SourceError: The file is missing, unreadable, empty, or plainly not JSON.
    """
    data = _unpacked(path, _contents(path)).removeprefix(_BYTE_ORDER_MARK)
    faults.refuse_what_is_not_json(path, data)
    return Annotations(path, format, data)


def raw_array(annotations: Annotations) -> RawRecords:
    """Split a top-level JSON array, or a JSON Lines file, into its records.

    Raises:
        SourceError: The JSON is broken, or is not an array.
    """
    if _holds_lines(annotations):
        return RawRecords([line for line in annotations.data.splitlines() if line and not line.isspace()])
    return RawRecords(decode_top(annotations, list[Raw]))


def decode_top(annotations: Annotations, shape: type[Shape]) -> Shape:
    """Decode the outermost level of a file, leaving its records raw.

    Raises:
        SourceError: The JSON is broken, or its outermost level has another shape.
    """
    try:
        return msgspec.json.Decoder(shape).decode(annotations.data)
    except msgspec.ValidationError as error:
        raise faults.wrong_top(annotations.path, annotations.format, annotations.data, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise faults.broken_json(annotations.path, annotations.data, error) from None


def decode_records(annotations: Annotations, records: RawRecords, shape: type[Shape]) -> Iterator[Shape]:
    """Decode records one after the other.

    Raises:
        SourceError: There is no record, or one does not have the shape.
    """
    return chain.from_iterable(decode_batches(annotations, records, shape))


def decode_batches(annotations: Annotations, records: RawRecords, shape: type[Shape]) -> Iterator[list[Shape]]:
    """Decode some thousands of records at a time; those before a faulty one are yielded first.

    Raises:
        SourceError: As :func:`decode_records`.
    """
    if not records.contents:
        raise faults.no_records(annotations.path)
    decode = msgspec.json.Decoder(shape).decode
    for start in range(0, len(records.contents), BATCH_SIZE):
        batch: list[Shape] = []
        try:
            # extend keeps what came before a fault
            batch.extend(map(decode, records.contents[start : start + BATCH_SIZE]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            index = start + len(batch)
            if batch:
                yield batch
            key = records.keys[index] if records.keys else None
            culprit = faults.Culprit(index, records.place(index), key, bytes(records.contents[index]))
            raise faults.wrong_record(annotations.path, annotations.format, annotations.data, culprit, error) from None
        yield batch


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


def _unpacked(path: str, data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except EOFError:
        raise SourceError(f"{path} ends early: its gzip data breaks off at byte {len(data):,}", faults.AGAIN) from None
    except (OSError, zlib.error) as error:
        raise SourceError(f"{path} holds damaged gzip data: {error}", faults.AGAIN) from None


def _holds_lines(annotations: Annotations) -> bool:
    name = annotations.path.partition("?")[0] if "://" in annotations.path else annotations.path
    is_named_so = name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))
    return is_named_so and not annotations.data[:64].lstrip().startswith(b"[")
