"""The texts of a blend's turns, in memory-mapped Arrow files: one per annotation file, written piece by piece.

Planning never holds the texts, and every writer reaches any turn without reading the rest.
"""

from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA = pa.schema([(name, pa.large_string()) for name in ("question", "answer", "system")])


class TextsWriter(AbstractContextManager["TextsWriter"]):
    """Writes the texts of one annotation file.

    Args:
        folder: Where to.
        part: The file's number.
    """

    def __init__(self, folder: Path, part: int) -> None:
        self._writer = pa.ipc.new_file(str(_path(folder, part)), _SCHEMA)

    def add(self, texts: pl.DataFrame) -> None:
        """Write the texts of some more turns, as one batch: uncompressed, to be mapped."""
        table = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        self._writer.write_table(table.combine_chunks())

    def __exit__(self, *error: object) -> None:
        self._writer.close()


class Texts:
    """Questions, answers and system texts of all turns, by turn number.

    Args:
        folder: Where they lie.
        num_parts: Number of annotation files; the turns of one follow on those of the one before.
    """

    def __init__(self, folder: Path, num_parts: int) -> None:
        self._batches = [batch for part in range(num_parts) for batch in _map(_path(folder, part))]
        self._starts = np.array([0, *accumulate(batch.num_rows for batch in self._batches)])

    def take(self, turns: list[int]) -> list[tuple[str, str, str]]:
        """Return question, answer and system text of each of ``turns``, in that order."""
        numbers = np.array(turns, np.int64)
        batch_of = np.searchsorted(self._starts, numbers, side="right") - 1
        result: list[tuple[str, str, str]] = [("", "", "")] * len(turns)
        for number in sorted(set(batch_of.tolist())):
            places = np.flatnonzero(batch_of == number)
            rows = numbers[places] - self._starts[number]
            taken = zip(*(_take(column, rows) for column in self._batches[number].columns), strict=True)
            for place, (question, answer, system) in zip(places.tolist(), taken, strict=True):
                result[place] = question, answer, system
        return result


def _take(column: pa.LargeStringArray, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[str]:
    """Do what ``column.take(rows).to_pylist()`` does, without the half second in which that imports pandas."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int64)[column.offset :]
    text = memoryview(data or b"")
    return [
        str(text[start:stop], "utf-8")
        for start, stop in zip(bounds[rows].tolist(), bounds[rows + 1].tolist(), strict=True)
    ]


def _path(folder: Path, part: int) -> Path:
    return folder / f"{part:04d}.texts.arrow"


def _map(path: Path) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
