"""Questions and answers of a blend, in memory-mapped Arrow files: one per annotation file, written piece by piece.

Planning never holds the texts, and every writer reaches any turn without reading the rest.
"""

from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

_SCHEMA = pa.schema([("question", pa.large_string()), ("answer", pa.large_string())])


class TextsWriter(AbstractContextManager["TextsWriter"]):
    """Writes the texts of one annotation file.

    Args:
        folder: Where to.
        part: The file's number.
    """

    def __init__(self, folder: Path, part: int) -> None:
        self._writer = pa.ipc.new_file(str(_path(folder, part)), _SCHEMA)

    def add(self, texts: pl.DataFrame) -> None:
        """Write the questions and answers of some more turns, as one batch: uncompressed, to be mapped."""
        table = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        self._writer.write_table(table.combine_chunks())

    def __exit__(self, *error: object) -> None:
        self._writer.close()


class Texts:
    """Questions and answers of all turns, by turn number.

    Args:
        folder: Where they lie.
        num_parts: Number of annotation files; the turns of one follow on those of the one before.
    """

    def __init__(self, folder: Path, num_parts: int) -> None:
        self._batches = [batch for part in range(num_parts) for batch in _map(_path(folder, part))]
        self._starts = np.array([0, *accumulate(batch.num_rows for batch in self._batches)])

    def take(self, turns: list[int]) -> list[tuple[str, str]]:
        """Return question and answer of each of ``turns``, in that order."""
        numbers = np.array(turns, np.int64)
        batch_of = np.searchsorted(self._starts, numbers, side="right") - 1
        result: list[tuple[str, str]] = [("", "")] * len(turns)
        for number in np.unique(batch_of).tolist():
            places = np.flatnonzero(batch_of == number)
            rows = self._batches[number].take(pa.array(numbers[places] - self._starts[number]))
            pairs = zip(*(column.to_pylist() for column in rows.columns), strict=True)
            for place, pair in zip(places.tolist(), pairs, strict=True):
                result[place] = pair
        return result


def _path(folder: Path, part: int) -> Path:
    return folder / f"{part:04d}.texts.arrow"


def _map(path: Path) -> list[pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(number) for number in range(reader.num_record_batches)]
