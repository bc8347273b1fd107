"""Make samples of a plan's tables: by the writers of shards, and by all who look at a plan before it is written.

In: rows of the plan's samples. Out: each :class:`~blender.data.sample.Sample`, its images, and how many references
were rewritten in which records.
"""

from collections.abc import Iterator
from itertools import islice

import polars as pl

from blender.blend.tables import sample_key
from blender.data.sample import ImageRef, Sample
from blender.shards.build import build_sample
from blender.shards.planned import PlannedImage, PlannedTables


def make_samples(
    tables: PlannedTables, rows: pl.DataFrame
) -> Iterator[tuple[Sample, list[PlannedImage], dict[int, int]]]:
    """Make samples; no image is read.

    Args:
        tables: The plan's tables.
        rows: Rows of its samples.

    Yields:
        Each sample, in the order of the rows; its images in the order shown; references rewritten, by record number,
        without zeros. An image that nobody looked at has the size 0 x 0.
    """
    turns = iter(tables.turns(rows["turns"].explode().to_list()))
    images = iter(tables.images(rows["images"].explode().drop_nulls().to_list()))
    for row in rows.select("number", "split", "dataset", "offsets", "image_turns").iter_rows():
        number, split, dataset, offsets, image_turns = row
        asked = list(islice(turns, len(offsets)))
        shown = list(islice(images, len(image_turns)))
        facts = [ImageRef(image.store, image.name, image.width or 0, image.height or 0) for image in shown]
        key = sample_key(split, number)
        sample, counts = build_sample(key, dataset, asked, offsets, facts, image_turns, tables.template)
        rewritten: dict[int, int] = {}
        for turn, count in zip(asked, counts, strict=True):
            if count:
                rewritten[turn.record] = rewritten.get(turn.record, 0) + count
        yield sample, shown, rewritten
