"""Make samples from a job's tables: by the writers of shards, and by all who look at a plan before it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import polars as pl

from blender.data.sample import ImageRef, Sample
from blender.shards.build import Ingredient, build_sample
from blender.shards.job import OpenJob


@dataclass(frozen=True)
class Made:
    """A sample, and what it was made from."""

    sample: Sample
    #: the plan's row of each image, in the order shown
    images: list[dict[str, Any]]
    #: references rewritten, by record number; none is left out
    rewritten: dict[int, int]


def make_samples(tables: OpenJob, rows: pl.DataFrame) -> Iterator[Made]:
    """Make samples; no image is read.

    Args:
        tables: The job's tables.
        rows: Rows of ``tables.samples``.

    Yields:
        Each sample, in the order of the rows. An image that nobody looked at has the size 0 x 0.
    """
    turn_numbers = rows["turns"].explode()
    ingredients = (
        (record, Ingredient(source, question, answer, shown, offset, system))
        for (question, answer, system), (source, shown, record), offset in zip(
            tables.texts.take(turn_numbers.to_list()),
            tables.turns[turn_numbers].iter_rows(),
            rows["offsets"].explode().to_list(),
            strict=True,
        )
    )
    image_rows = tables.images[rows["images"].explode().drop_nulls()].iter_rows(named=True)
    columns = rows.select("key", "dataset", pl.col("turns").list.len(), "image_turns")
    for key, dataset, num_turns, image_turns in columns.iter_rows():
        records, parts = zip(*islice(ingredients, num_turns), strict=True)
        images = list(islice(image_rows, len(image_turns)))
        facts = [ImageRef(row["store"], row["name"], row["width"] or 0, row["height"] or 0) for row in images]
        sample, counts = build_sample(key, dataset, parts, facts, image_turns, tables.template)
        rewritten: dict[int, int] = {}
        for record, count in zip(records, counts, strict=True):
            if count:
                rewritten[record] = rewritten.get(record, 0) + count
        yield Made(sample, images, rewritten)
