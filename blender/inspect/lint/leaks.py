"""What train and eval share: images, and questions with their answers.

An image is the same when place and name are, or, where images are opened, when the bytes are. A repeated pair says
something only when its answer is long enough not to be repeated by chance: "Is there a dog? Yes." is no leak.
"""

import polars as pl

from blender.data.sample import Sample
from blender.inspect.lint.check import Check
from blender.inspect.lint.excerpts import excerpt
from blender.inspect.lint.tables import LintTables, hits_in


def _in_both(material: LintTables, table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the rows of eval whose value stands in train, too, with the first row there (columns in ``_train``)."""
    split = material.samples["split"].gather(table["sample"]).cast(pl.String)
    train = table.filter(split == "train").unique(column, keep="first", maintain_order=True)
    return table.filter(split == "eval").join(
        train, on=column, how="inner", suffix="_train", maintain_order="left", coalesce=True
    )


def _find_images(material: LintTables) -> pl.DataFrame:
    names = material.images.select("image", name=pl.format("{} of {}", "name", "store"))
    shows = material.shows.with_columns(content=_contents(material)).join(
        names, on="image", how="left", maintain_order="left"
    )
    shared = _in_both(material, shows, "content").unique(["sample", "content"], keep="first", maintain_order=True)
    told = shared.with_columns(key=material.samples["key"].gather(shared["sample_train"]))
    other = (
        pl.when(pl.col("name") != pl.col("name_train")).then(pl.format(", as {}", "name_train")).otherwise(pl.lit(""))
    )
    detail = pl.concat_str(pl.format("image {}, {}, is also in {}", "position", "name", "key"), other)
    return hits_in(material, told.select("sample", detail.alias("detail")))


def _contents(material: LintTables) -> pl.Series:
    """Give each showing a number that is the same for images with the same bytes."""
    shown = material.shows["image"]
    if material.digests is None:
        return shown
    first = material.digests.select("image", content=pl.col("image").min().over("digest"))
    return (
        shown.to_frame()
        .join(first, on="image", how="left", maintain_order="left")
        .select(pl.coalesce("content", "image"))["content"]
    )


def _find_pairs(material: LintTables) -> pl.DataFrame:
    telling = material.turns.filter("telling").select("sample", "turn", "pair")
    return hits_in(material, _in_both(material, telling, "pair").select("sample", "turn"))


def _describe_pair(sample: Sample, turn: int) -> str:
    asked = sample.turns[turn]
    return f"{excerpt(asked.question, length=60)} → {excerpt(asked.answer, length=60)}, word for word in train"


def _opened(material: LintTables) -> str | None:
    return None if material.digests is not None else "images were not opened: found by name only, not by content"


CHECKS = (
    Check(
        "image_in_both_splits",
        "error",
        "images of eval are shown in train, too",
        "Figures measured on eval are too good. `split: {by: image}` keeps an image on one side, whatever its names "
        "and stores; where it is there already, write the blend again with this version of the program.",
        _find_images,
        hindrance=_opened,
    ),
    Check(
        "pair_in_both_splits",
        "warning",
        "question-answer pairs of eval stand in train, too",
        "Eval may measure what was learnt by heart. Look whether a source is read twice under other names, or repeats "
        "itself, and thin it out. Texts that a program made from a few forms repeat by chance, about other pictures.",
        _find_pairs,
        _describe_pair,
    ),
)
