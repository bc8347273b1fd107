"""Tables on disk: Arrow files, written some rows at a time, read without being held.

Numbers are read whole, column by column. Strings are looked up by row in the memory-mapped file, or read some rows at a
time: what was read of a mapped file counts as this process's memory until it is let go.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from blender.blend.tables import Schema

_ARROW: dict[object, pa.DataType] = {
    pl.String: pa.large_string(),
    pl.Boolean: pa.bool_(),
    pl.UInt16: pa.uint16(),
    pl.UInt32: pa.uint32(),
    pl.UInt64: pa.uint64(),
}


class TableWriter(AbstractContextManager["TableWriter"]):
    """Writes tables of a part, each to a file of its own.

    Args:
        folder: Where to.
        part: The part's number.
        schemas: The tables.
    """

    def __init__(self, folder: Path, part: int, schemas: Sequence[Schema]) -> None:
        self._folder, self._part = folder, part
        self._schemas = schemas
        self._writers: dict[str, tuple[Any, Any]] = {}

    def add(self, schema: Schema, frame: pl.DataFrame) -> None:
        """Write some more rows of a table, as one batch: uncompressed, to be mapped."""
        frame = schema.check(frame).select(name for name in schema.columns if name in frame.columns)
        if schema.name not in self._writers:
            file = pa.OSFile(str(schema.path(self._folder, self._part)), "wb")
            kinds = pa.schema([(name, _ARROW[kind]) for name, kind in frame.schema.items()])
            self._writers[schema.name] = file, pa.ipc.new_file(file, kinds)
        table = frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        self._writers[schema.name][1].write_table(table.combine_chunks())

    def __exit__(self, *error: object) -> None:
        """Close the files; a table without rows gets one, too."""
        for schema in self._schemas:
            if schema.name not in self._writers:
                self.add(schema, schema.empty())
        for file, writer in self._writers.values():
            writer.close()
            file.close()


def read_table(folder: Path, part: int, schema: Schema, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read a table of a part, or some columns of it, into memory."""
    names = [name for name in columns or schema.columns]
    path = schema.path(folder, part)
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        present = [name for name in names if name in reader.schema.names]
    scanned = pl.scan_ipc(path, glob=False)
    return scanned.select(present).collect() if columns else schema.check(scanned.collect())


class Rows:
    """A table on disk, its rows numbered through several files.

    Args:
        paths: The files, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        files = [_map(path) for path in paths]
        self._batches = [batch for batches in files for batch in batches]
        self._starts = np.array([0, *accumulate(batch.num_rows for batch in self._batches)], np.int64)
        heights = (sum(batch.num_rows for batch in batches) for batches in files)
        #: (F + 1,) number of the first row of each file, and of all rows
        self.file_starts = np.array([0, *accumulate(heights)], np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def file_of(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return the file that each of some rows is in."""
        return np.searchsorted(self.file_starts, np.asarray(rows, np.int64), side="right") - 1

    def take(self, rows: Sequence[int] | npt.NDArray[np.integer], columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return some columns of some rows, in that order; None where there is no value."""
        numbers = np.asarray(rows, np.int64)
        batch_of = np.searchsorted(self._starts, numbers, side="right") - 1
        result: list[tuple[Any, ...]] = [()] * len(numbers)
        for number in np.unique(batch_of).tolist():
            positions = np.flatnonzero(batch_of == number)
            own, batch = numbers[positions] - self._starts[number], self._batches[number]
            values = zip(*(_take(batch.column(name), own) for name in columns), strict=True)
            for position, row in zip(positions.tolist(), values, strict=True):
                result[position] = row
        return result

    def slices(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield some columns of all rows, as many at a time as were written at a time."""
        for batch in self._batches:
            yield pl.DataFrame({name: pl.Series(name, batch.column(name)) for name in columns})


def _take(column: pa.Array, rows: npt.NDArray[np.int64]) -> list[Any]:
    """Do what ``column.take(rows).to_pylist()`` does, without the half second in which that imports pandas."""
    at = rows + column.offset
    if pa.types.is_integer(column.type):
        kind = np.dtype(str(column.type))
        values: list[Any] = np.frombuffer(column.buffers()[1] or b"", kind)[at].tolist()
    else:
        _, offsets, data = column.buffers()
        bounds, text = np.frombuffer(offsets or bytes(8), np.int64), memoryview(data or b"")
        ends = zip(bounds[at].tolist(), bounds[at + 1].tolist(), strict=True)
        values = [str(text[start:stop], "utf-8") for start, stop in ends]
    if not column.null_count:
        return values
    bits = np.frombuffer(column.buffers()[0], np.uint8)
    is_valid = (bits[at >> 3] >> (at & 7)) & 1
    return [value if is_there else None for value, is_there in zip(values, is_valid.tolist(), strict=True)]


def _map(path: Path) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
