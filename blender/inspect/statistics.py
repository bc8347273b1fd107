"""What a blend, or a plan of one, consists of, in small tables: what the charts are drawn from.

Every table is counted over the whole blend, however few samples a report shows.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from blender.blend.arrange import sum_lists
from blender.blend.plan import Plan
from blender.inspect.search_index import SearchIndex
from blender.shards.reader import Blend

#: characters of a token of English text; figures made with it are told as estimates
CHARACTERS_PER_TOKEN = 4
_NUM_BINS = 24
#: values above this share of all go into one last bin, so that a single monster does not flatten the rest
_MOST = 0.995
#: how often an image is shown, from here on counted together
_MANY_TIMES = 12
#: image sizes are told apart in quarters of a doubling
_STEPS_PER_DOUBLING = 4


@dataclass(frozen=True)
class BlendFigures:
    """What a blend consists of."""

    #: dataset, split, samples, images, turns, characters; in the order of the recipe, train first
    datasets: pl.DataFrame
    #: value, samples
    images_per_sample: pl.DataFrame
    #: value, samples
    turns_per_sample: pl.DataFrame
    #: low, high (exclusive; null: no end), samples
    characters: pl.DataFrame
    #: the same, of positions of text and images
    tokens: pl.DataFrame
    #: whether tokens were counted by a tokenizer
    tokens_exact: bool
    #: source, target (a dataset, or the reason of a drop), dropped, records (uses of records, where not dropped)
    flow: pl.DataFrame
    #: times (the last one: so often or more), images; None where the samples were not read
    repeats: pl.DataFrame | None = None
    #: width, height (middles of bins), images; None where image sizes are not known
    sizes: pl.DataFrame | None = None


def blend_figures(blend: Blend) -> BlendFigures:
    """Count what a blend's index and ledger tell.

    Args:
        blend: The blend.

    Raises:
        ShardError: The ledger is gone.
    """
    limits = blend.manifest.recipe.get("limits", {})
    per_image = int(limits.get("image_tokens") or 0)
    order = [str(entry.get("name")) for entry in blend.manifest.recipe.get("blend", [])]
    columns = ("dataset", "split", "num_images", "num_turns", "characters")
    estimate = pl.col("characters") // CHARACTERS_PER_TOKEN + pl.col("num_images").cast(pl.Int64) * per_image
    samples = blend.rows.select(*columns, tokens=estimate)
    return _figures(samples, _flow(blend.scan_ledger(), order), order, exact=False)


def plan_figures(plan: Plan) -> BlendFigures:
    """Count what a plan tells; image sizes only where image headers were read."""
    turns = plan.tables.turns
    characters = turns["characters"].to_numpy().astype(np.int64)
    exact = plan.recipe.limits.tokens is not None
    tokens = turns["tokens"].to_numpy().astype(np.int64) if exact else characters // CHARACTERS_PER_TOKEN
    samples = plan.samples.select(
        pl.col("dataset", "split").cast(pl.String),
        pl.col("images").list.len().alias("num_images"),
        pl.col("turns").list.len().alias("num_turns"),
        pl.Series("characters", sum_lists(plan.samples["turns"], characters)),
        pl.Series("text_tokens", sum_lists(plan.samples["turns"], tokens)),
    )
    images = pl.col("num_images").cast(pl.Int64) * plan.recipe.limits.image_tokens
    samples = samples.with_columns(tokens=pl.col("text_tokens") + images)
    order = [entry.name for entry in plan.recipe.blend]
    figures = _figures(samples, _flow(plan.ledger().lazy(), order), order, exact=exact)
    shown = plan.images.table["content"].gather(plan.samples["images"].explode().drop_nulls())
    sizes = _sizes(plan.images.table[shown.unique()].lazy()) if plan.looked else None
    return replace(figures, repeats=_repeats(shown.value_counts()["count"]), sizes=sizes)


def with_images(figures: BlendFigures, index: SearchIndex) -> BlendFigures:
    """Add what only the samples themselves tell: image sizes, and how often an image is shown."""
    distinct = index.images().group_by("store", "name").agg(pl.len(), pl.col("width", "height").first())
    found = distinct.select("len", "width", "height").collect(engine="streaming")
    return replace(figures, repeats=_repeats(found["len"]), sizes=_sizes(found.lazy()))


def _figures(samples: pl.DataFrame, flow: pl.DataFrame, order: list[str], *, exact: bool) -> BlendFigures:
    return BlendFigures(
        datasets=_datasets(samples, order),
        images_per_sample=_counted(samples["num_images"]),
        turns_per_sample=_counted(samples["num_turns"]),
        characters=_binned(samples["characters"]),
        tokens=_binned(samples["tokens"]),
        tokens_exact=exact,
        flow=flow,
    )


def _datasets(samples: pl.DataFrame, order: list[str]) -> pl.DataFrame:
    counted = samples.group_by(pl.col("dataset", "split").cast(pl.String)).agg(
        pl.len().alias("samples"),
        pl.col("num_images").cast(pl.Int64).sum().alias("images"),
        pl.col("num_turns").cast(pl.Int64).sum().alias("turns"),
        pl.col("characters").cast(pl.Int64).sum(),
    )
    return counted.sort(_place(order, "dataset"), "dataset", pl.col("split") != "train")


def _place(order: list[str], column: str) -> pl.Expr:
    """Say where names stand in an order; others stand behind."""
    places = {name: number for number, name in enumerate(order)}
    return pl.col(column).replace_strict(places, default=len(places), return_dtype=pl.Int64)


def _counted(values: pl.Series) -> pl.DataFrame:
    counted = values.alias("value").cast(pl.Int64).value_counts(name="samples").sort("value")
    return counted.cast({"samples": pl.Int64})


def _binned(values: pl.Series) -> pl.DataFrame:
    """Count values in bins of one round width; what lies far above the rest goes into the last."""
    numbers = values.to_numpy().astype(np.int64)
    width = _round_width(float(np.quantile(numbers, _MOST)) / _NUM_BINS) if len(numbers) else 1
    bins = np.minimum(numbers // width, _NUM_BINS)
    counts = np.bincount(bins, minlength=1)
    low = np.arange(len(counts)) * width
    high = [None if place == _NUM_BINS else int(start) + width for place, start in enumerate(low)]
    schema = {"low": pl.Int64, "high": pl.Int64, "samples": pl.Int64}
    return pl.DataFrame({"low": low, "high": high, "samples": counts}, schema=schema)


def _round_width(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, … that is not below a number."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= least:
                return step * power
        power *= 10


def _repeats(times: pl.Series) -> pl.DataFrame:
    capped = times.cast(pl.Int64).clip(upper_bound=_MANY_TIMES).alias("times")
    return capped.value_counts(name="images").sort("times").cast({"images": pl.Int64})


def _sizes(images: pl.LazyFrame) -> pl.DataFrame:
    def middle(side: str) -> pl.Expr:
        steps = (pl.col(side).cast(pl.Float64).log(2) * _STEPS_PER_DOUBLING).round()
        return pl.lit(2.0).pow(steps / _STEPS_PER_DOUBLING).round().cast(pl.Int64).alias(side)

    known = images.filter((pl.col("width") > 0) & (pl.col("height") > 0)).select(middle("width"), middle("height"))
    return (
        known.group_by("width", "height").agg(pl.len().cast(pl.Int64).alias("images")).sort("width", "height").collect()
    )


def _flow(ledger: pl.LazyFrame, order: list[str]) -> pl.DataFrame:
    used = (
        ledger.select("source", "emitted")
        .explode("emitted")
        .drop_nulls()
        .unnest("emitted")
        .group_by("source", pl.col("dataset").alias("target"), maintain_order=True)
        .agg(pl.col("samples").cast(pl.Int64).sum().alias("records"))
        .with_columns(dropped=pl.lit(False))
        .sort(_place(order, "target"), maintain_order=True)
    )
    lost = (
        ledger.filter(pl.col("num_samples") == 0)
        .group_by("source", pl.col("reason").alias("target"), maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("records"))
        .with_columns(dropped=pl.lit(True))
    )
    columns = ("source", "target", "dropped", "records")
    return pl.concat([used.select(columns), lost.select(columns)]).collect()
