"""Arrange: the samples of all entries → the plan's samples: mixed, numbered, cut into shards.

In: ``sample_turns`` and ``sample_images`` of every dataset and split. Out: :func:`blender.blend.tables.planned`.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from blender.blend.images import Images
from blender.blend.join import Tables
from blender.blend.kinds.samples import DrawnSamples
from blender.blend.split import split_samples
from blender.blend.tables import SPLITS, Split, planned
from blender.core.arrays import Ints, bounds_of, sums
from blender.core.randomness import generator
from blender.recipe import Recipe

#: a tar member takes whole blocks of this many bytes, and one for its header
_BLOCK = 512


def arrange_samples(
    drawn: Mapping[tuple[str, str], DrawnSamples], tables: Tables, images: Images, recipe: Recipe
) -> pl.DataFrame:
    """Mix the samples of all datasets, and cut each split into shards.

    Args:
        drawn: The samples of each dataset and split.
        tables: The turns that they ask.
        images: The images that they show.
        recipe: Says how large shards are.
    """
    schema = planned([entry.name for entry in recipe.blend])
    dataset_type = schema.columns["dataset"]
    rows = [
        _rows(part).with_columns(dataset=pl.lit(dataset, dataset_type), split=pl.lit(split, Split))
        for (dataset, split), part in drawn.items()
    ]
    samples = pl.concat(rows)
    if recipe.split.by == "sample":
        amount = recipe.split.eval
        assert not isinstance(amount, Mapping), "the recipe's rules let no amounts of sources through"
        held_out = split_samples(samples.height, amount, generator(recipe.seed, "split"))
        eval_or_train = pl.when(held_out).then(pl.lit("eval", Split)).otherwise(pl.lit("train", Split))
        samples = samples.with_columns(split=eval_or_train)
    samples = samples.with_columns(num_bytes=_sizes(samples, tables, images))
    mixed = []
    for split in SPLITS:
        own = samples.filter(pl.col("split") == split)
        own = own[generator(recipe.seed, "order", split).permutation(own.height)]
        shards = _cut(own["num_bytes"].to_numpy(), recipe.shards.max_samples, int(recipe.shards.max_bytes))
        own = own.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("number"), pl.Series("shard", shards))
        mixed.append(own.select(list(schema.columns)))
    return schema.check(pl.concat(mixed, rechunk=True))


def _rows(samples: DrawnSamples) -> pl.DataFrame:
    """Gather samples into one row each."""
    num_turns, num_images = (
        np.bincount(frame["sample"].to_numpy(), minlength=samples.num_samples)
        for frame in (samples.turns, samples.images)
    )
    return pl.DataFrame(
        {
            "turns": _lists(samples.turns["turn"], num_turns),
            "offsets": _lists(samples.turns["offset"], num_turns),
            "images": _lists(samples.images["image"], num_images),
            "image_turns": _lists(samples.images["turn"], num_images),
        }
    )


def _lists(values: pl.Series, counts: Ints) -> pl.Series:
    """Cut values into lists of so many each."""
    array = pa.LargeListArray.from_arrays(pa.array(bounds_of(counts), pa.int64()), values.to_arrow())
    return pl.Series(array, dtype=pl.List(values.dtype))


def _sizes(samples: pl.DataFrame, tables: Tables, images: Images) -> pl.Series:
    """Estimate the bytes that each sample takes in its shard, never too low: images exactly, JSON from above."""
    image_bytes = np.full(len(images), _BLOCK + 128)
    if "num_bytes" in images.table.columns:
        num_bytes = images.table["num_bytes"].fill_null(0).to_numpy().astype(np.int64)
        image_bytes += (num_bytes + _BLOCK - 1) // _BLOCK * _BLOCK
    # texts stand in the sample twice; escapes and the template's words add to them
    texts = tables.turns["num_bytes"].to_numpy().astype(np.int64) * 5 // 2 + 256
    total = sum_lists(samples["images"], image_bytes) + sum_lists(samples["turns"], texts) + 2048
    return pl.Series("num_bytes", total, dtype=pl.UInt64)


def sum_lists(lists: pl.Series, values: Ints) -> Ints:
    """Sum ``values`` at the indices in each list."""
    return sums(values[lists.explode().drop_nulls().to_numpy()], lists.list.len().to_numpy())


def _cut(sizes: Ints, max_samples: int, max_bytes: int) -> Ints:
    """Number the shard of each sample; a sample larger than a shard gets one to itself."""
    shards = np.empty(len(sizes), np.uint32)
    total = np.cumsum(sizes, dtype=np.int64)
    start, before, shard = 0, 0, 0
    while start < len(sizes):
        fitting = int(np.searchsorted(total, before + max_bytes, side="right"))
        stop = max(start + 1, min(start + max_samples, fitting))
        shards[start:stop] = shard
        start, before, shard = stop, int(total[stop - 1]), shard + 1
    return shards
