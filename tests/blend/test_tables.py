"""Typed tables, tables on disk, and strings compared by their hashes."""

import numpy as np
import polars as pl
import pytest

from blender.blend.disk import Rows, TableWriter, read_table
from blender.blend.hashing import hash_names, number_by_hash
from blender.blend.tables import IMAGE_NAMES, PART_NAMES, PART_TURNS


def test_a_table_of_another_type_or_with_other_columns_is_refused():
    frame = PART_TURNS.empty()
    assert PART_TURNS.check(frame) is frame
    assert PART_TURNS.check(frame.with_columns(tokens=pl.lit(1, pl.UInt32))).height == 0
    with pytest.raises(TypeError, match="table turns: shown: UInt16 expected, missing given"):
        PART_TURNS.check(frame.drop("shown"))
    with pytest.raises(TypeError, match="record: UInt32 expected, Int64 given"):
        PART_TURNS.check(frame.with_columns(pl.col("record").cast(pl.Int64)))
    with pytest.raises(TypeError, match="words: no such column expected"):
        PART_TURNS.check(frame.with_columns(words=pl.lit(1)))


def test_rows_of_several_files_are_found_by_number(tmp_path):
    names = [f"{number}-é" for number in range(7)]
    members = [name if place % 3 else None for place, name in enumerate(names)]
    for part, (start, stop) in enumerate([(0, 3), (3, 3), (3, 7)]):
        with TableWriter(tmp_path, part, [IMAGE_NAMES]) as writer:
            for at in range(start, stop, 2):
                own = slice(at, min(at + 2, stop))
                empty = [None] * len(names[own])
                columns = {"store": ["s"] * len(empty), "name": names[own], "member": members[own], "detail": empty}
                writer.add(IMAGE_NAMES, IMAGE_NAMES.frame(columns))
    rows = Rows([IMAGE_NAMES.path(tmp_path, part) for part in range(3)])
    assert len(rows) == 7
    assert rows.take([6, 0, 3, 3], ["name", "member"]) == [(names[n], members[n]) for n in (6, 0, 3, 3)]
    assert rows.take([1], ["detail"]) == [(None,)]
    assert rows.file_of([0, 2, 3, 6]).tolist() == [0, 0, 2, 2]
    assert pl.concat(rows.slices(["name"]))["name"].to_list() == names
    assert read_table(tmp_path, 0, IMAGE_NAMES, ["name"])["name"].to_list() == names[:3]


def test_names_are_numbered_in_the_order_of_first_use():
    names = pl.Series("name", ["b", "a", "b", "c", "a"])
    numbers, firsts = number_by_hash(hash_names(names))
    assert numbers.tolist() == [0, 1, 0, 2, 1]
    assert firsts.tolist() == [0, 1, 3]


def test_names_that_share_half_of_their_hash_differ():
    hashes = pl.DataFrame({"hash": [5, 5, 5, 1], "hash2": [2, 1, 2, 7]}, schema={"hash": pl.UInt64, "hash2": pl.UInt64})
    numbers, firsts = number_by_hash(hashes)
    assert numbers.tolist() == [0, 1, 0, 2]
    assert firsts.tolist() == [0, 1, 3]
    assert number_by_hash(PART_NAMES.empty().select("hash", "hash2"))[0].dtype == np.uint32
