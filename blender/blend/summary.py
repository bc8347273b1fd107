"""A plan in figures: what `visualchat plan` prints."""

import msgspec
import numpy as np
import polars as pl

from blender.blend.arrange import sum_lists
from blender.blend.images import Images
from blender.blend.losses import Loss
from blender.blend.plan import Plan

#: characters per token of English text, where no tokenizer is named (an estimate, and told as one)
_CHARACTERS_PER_TOKEN = 4
_NUM_EXAMPLES = 5


class DatasetFigures(msgspec.Struct, frozen=True):
    """One dataset in one split."""

    dataset: str
    split: str
    samples: int
    images: int
    turns: int
    characters: int
    #: text and image tokens
    tokens: int
    #: bytes to be written, at most
    num_bytes: int


class UnusableImages(msgspec.Struct, frozen=True):
    """Images of one store that cannot be used, for one reason."""

    store: str
    reason: str
    count: int
    #: the first ones, by name
    first: list[str]


class PlanSummary(msgspec.Struct, frozen=True):
    """What a blend will be."""

    name: str
    fingerprint: str
    datasets: list[DatasetFigures]
    #: shards of each split
    shards: dict[str, int]
    #: number of samples, by how many images they show
    images_per_sample: dict[int, int]
    #: number of samples, by how many turns they have
    turns_per_sample: dict[int, int]
    #: number of images, by how often they are shown; one under several names counts once
    repeats_per_image: dict[int, int]
    #: None: image sizes were not looked at
    num_bytes: int | None
    #: whether tokens were counted with the recipe's tokenizer
    tokens_exact: bool
    unusable_images: list[UnusableImages]
    records: int
    emitted: int
    #: records in no sample, by reason
    dropped: dict[str, int]
    #: the same by source and reason, each with its first record
    losses: list[Loss]
    #: turns that long conversations lost at their ends, to keep a limit
    turns_cut: int
    #: why the blend may not be written; None: it may
    refusal: str | None
    #: records that may not stand behind other images, by reason
    pinned: dict[str, int]
    #: conversations that an entry could not use, though another may have, by dataset and reason
    left_out: dict[str, dict[str, int]]
    warnings: list[str]

    @property
    def num_samples(self) -> int:
        """Samples in all."""
        return sum(row.samples for row in self.datasets)


def summarise(plan: Plan) -> PlanSummary:
    """Work the figures of a plan out."""
    totals = plan.totals
    datasets = _datasets(plan)
    shards = plan.samples.group_by("split", maintain_order=True).agg(pl.col("shard").max() + 1)
    shown = plan.images.table["content"].gather(plan.samples["images"].explode().drop_nulls()).value_counts()["count"]
    return PlanSummary(
        name=plan.recipe.name,
        fingerprint=plan.fingerprint,
        datasets=datasets,
        shards={str(split): int(count) for split, count in shards.iter_rows()},
        images_per_sample=_histogram(plan.samples["images"].list.len()),
        turns_per_sample=_histogram(plan.samples["turns"].list.len()),
        repeats_per_image=_histogram(shown),
        num_bytes=sum(row.num_bytes for row in datasets) if plan.looked else None,
        tokens_exact=plan.recipe.limits.tokens is not None,
        unusable_images=_unusable(plan.images),
        records=totals["read"],
        emitted=totals["emitted"],
        dropped=totals["dropped"],
        losses=list(plan.losses),
        turns_cut=totals["turns_cut"],
        refusal=plan.refusal.message if plan.refusal else None,
        pinned=totals["pinned"],
        left_out=_left_out(plan.left_out),
        warnings=list(plan.warnings),
    )


def _datasets(plan: Plan) -> list[DatasetFigures]:
    turns = plan.tables.turns
    characters = turns["characters"].to_numpy().astype(np.int64)
    exact = plan.recipe.limits.tokens is not None
    tokens = turns["tokens"].to_numpy().astype(np.int64) if exact else characters // _CHARACTERS_PER_TOKEN
    measured = plan.samples.select(
        "dataset",
        "split",
        "num_bytes",
        pl.col("images").list.len().cast(pl.Int64).alias("images"),
        pl.col("turns").list.len().cast(pl.Int64).alias("num_turns"),
        pl.Series("characters", sum_lists(plan.samples["turns"], characters)),
        pl.Series("tokens", sum_lists(plan.samples["turns"], tokens)),
    )
    rows = measured.group_by("dataset", "split").agg(
        pl.len(),
        pl.col("images", "num_turns", "characters").sum(),
        (pl.col("tokens") + pl.col("images") * plan.recipe.limits.image_tokens).sum(),
        pl.col("num_bytes").sum(),
    )
    order = {entry.name: place for place, entry in enumerate(plan.recipe.blend)}
    figures = [DatasetFigures(str(row[0]), str(row[1]), *map(int, row[2:])) for row in rows.iter_rows()]
    return sorted(figures, key=lambda row: (order[row.dataset], row.split != "train"))


def _histogram(values: pl.Series) -> dict[int, int]:
    counted = values.value_counts(name="samples").sort(values.name)
    return {int(value): int(count) for value, count in counted.iter_rows()}


def _unusable(images: Images) -> list[UnusableImages]:
    found = []
    for store in images.stores:
        reasons = images.table["reason"].slice(store.first, store.num_images).to_frame().with_row_index("image")
        bad = reasons.drop_nulls().group_by(pl.col("reason").cast(pl.String))
        rows = bad.agg(pl.len(), pl.col("image").head(_NUM_EXAMPLES)).sort("reason")
        for reason, count, first in rows.iter_rows():
            names = images.rows().take([store.first + image for image in first], ["name"])
            found.append(UnusableImages(store.name, reason, count, [name for (name,) in names]))
    return sorted(found, key=lambda unusable: (unusable.store, unusable.reason))


def _left_out(left_out: pl.DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    words = left_out.select(pl.col("dataset", "reason").cast(pl.String))
    for dataset, reason, count in words.group_by("dataset", "reason").len().sort("dataset", "reason").iter_rows():
        found.setdefault(dataset, {})[reason] = count
    return found
