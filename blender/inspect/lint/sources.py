"""Sources and datasets as a whole: read twice, overlapping, or too small to be noticed."""

from collections.abc import Iterator
from itertools import groupby

import polars as pl

from blender.inspect.lint.check import Check
from blender.inspect.lint.tables import LintTables, hits_beyond, no_hits

#: a dataset with a smaller share of the samples is hardly ever seen
_TINY = 0.001
#: files that share more of the smaller one's pairs than this overlap
_OVERLAP = 0.1
#: below so many pairs a share says nothing
_FEW = 20


def _find_twice(material: LintTables) -> pl.DataFrame:
    """Find files that were read under two names; the bytes decide, not the path."""
    files = sorted(material.source.files, key=lambda file: file.sha256)
    said: list[tuple[str | None, str]] = []
    for _, same in groupby(files, key=lambda file: file.sha256):
        names = [f"{file.label} of source {file.source}" for file in same]
        said += [(None, f"{name} is {names[0]} once more") for name in names[1:]]
    return hits_beyond(said)


def _find_overlaps(material: LintTables) -> pl.DataFrame:
    """Find pairs of different files that hold many of the same questions and answers in different records."""
    files = material.source.files
    pairs = material.turns.filter(pl.col("telling") & pl.col("file").is_not_null()).select("file", "pair").unique()
    sizes = dict(pairs.group_by("file").len().iter_rows())
    together = pairs.join(pairs, on="pair", suffix="_other").filter(pl.col("file") < pl.col("file_other"))
    counted = together.group_by("file", "file_other").len().sort("file", "file_other")
    said: list[tuple[str | None, str]] = []
    for one, other, count in counted.iter_rows():
        smaller = min(sizes[one], sizes[other])
        if files[one].sha256 != files[other].sha256 and smaller >= _FEW and count > _OVERLAP * smaller:
            names = [f"{files[number].label} of source {files[number].source}" for number in (one, other)]
            said.append(
                (None, f"{names[0]} and {names[1]} share {count:,} pairs, {count / smaller:.0%} of the smaller")
            )
    return hits_beyond(said)


def _find_tiny(material: LintTables) -> pl.DataFrame:
    counts = dict(material.samples.group_by(pl.col("dataset").cast(pl.String)).len().iter_rows())
    return hits_beyond(list(_tiny(material, counts))) if material.samples.height else no_hits()


def _tiny(material: LintTables, counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    total = material.samples.height
    for entry in material.source.recipe.get("blend", []):
        count = counts.get(entry["name"], 0)
        if count < _TINY * total:
            yield entry["name"], f"{entry['name']} has {count:,} of {total:,} samples ({count / total:.3%})"


CHECKS = (
    Check(
        "source_read_twice",
        "error",
        "files are read twice under different names",
        "Their records count double, and image matching pairs them with themselves. Name each file in one source only; "
        "`repeat` is the way to see something more often.",
        _find_twice,
    ),
    Check(
        "sources_overlap",
        "warning",
        "pairs of files hold many of the same questions and answers",
        "One of them is probably a part of the other, as conversation_58k is of llava_instruct_150k. Keep one.",
        _find_overlaps,
    ),
    Check(
        "tiny_dataset",
        "warning",
        "datasets have less than 0.1 % of the samples",
        "A model hardly notices them. Give them `repeat`, take less of the others with `samples`, or leave them out. "
        "When there should be more: `visualchat plan` says what was dropped, and why.",
        _find_tiny,
    ),
)
