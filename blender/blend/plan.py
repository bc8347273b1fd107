"""The plan: one small row of numbers per sample to be written, and all that is needed to write it anywhere.

In: the stations before, one after the other: read, join, cut, resolve, identify, select, split, and the kinds of blend.
Out: :class:`Plan`, whose ``samples`` say each sample's split, number and shard. Making it decides everything that is
random. Writing it (``blender.shards``) only follows.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from blender.blend.arrange import arrange_samples
from blender.blend.conversations import ConversationArrays, arrange_conversations
from blender.blend.cut import cut_long
from blender.blend.eval_list import EvalList, read_eval_list
from blender.blend.fingerprint import fingerprint_of
from blender.blend.identity import identify
from blender.blend.image_tasks import OnImage, Workers
from blender.blend.images import Images
from blender.blend.join import Tables, read_sources
from blender.blend.kinds.samples import DrawnSamples
from blender.blend.ledger import find_fates, make_ledger
from blender.blend.losses import Loss, count_losses
from blender.blend.matching import hint_of_match
from blender.blend.mix import draw_entry
from blender.blend.perceptual import group_by_looks
from blender.blend.read import PartRead
from blender.blend.refusal import LossError, refusal_of
from blender.blend.resolve import misplaced_images, resolve_images
from blender.blend.select import leave_out_straddling, select
from blender.blend.split import ImageSplit, split_by_image, split_by_list
from blender.blend.split_report import split_warnings
from blender.blend.tables import LEFT_OUT
from blender.core.arrays import Ints
from blender.core.errors import RecipeError
from blender.core.pool import let_go
from blender.core.randomness import generator
from blender.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """What a blend will write."""

    recipe: Recipe
    #: what was read, with the reasons that keep conversations out
    tables: Tables
    images: Images
    #: :func:`blender.blend.tables.planned`
    samples: pl.DataFrame
    #: dataset, conversation, reason: what single entries could not use
    left_out: pl.DataFrame
    #: the table of reasons: records in no sample
    losses: list[Loss]
    #: what the ledger will count
    totals: Mapping[str, Any]
    #: why it may not be written
    refusal: LossError | None
    warnings: tuple[str, ...]
    #: what the shards depend on, as one hash
    fingerprint: str
    #: whether images were opened
    looked: bool

    def ledger_parts(self) -> Iterator[pl.DataFrame]:
        """Account for every record read, an annotation file at a time."""
        return make_ledger(self.tables, self.images, self.recipe.limits, self.samples, self.left_out)

    def ledger(self) -> pl.DataFrame:
        """Account for every record read."""
        return pl.concat(self.ledger_parts())

    def keys(self) -> pl.Series:
        """Return the keys of the samples, as strings: for those who look samples up by them."""
        number = pl.col("number").cast(pl.String).str.zfill(9)
        return self.samples.select(pl.format("{}-{}", pl.col("split").cast(pl.String), number).alias("key")).to_series()


@dataclass(frozen=True)
class PlanProgress:
    """What to call while a plan is made."""

    on_read: Callable[[PartRead], None] | None = None
    on_image: OnImage | None = None


def make_plan(
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    *,
    executor: str = "local",
    look: bool = True,
    refuse: bool = True,
    without: Collection[tuple[str, str]] = (),
    progress: PlanProgress | None = None,
) -> Plan:
    """Read the sources of a recipe and plan its blend.

    Args:
        recipe: The recipe.
        folder: An existing folder for what is read; it must outlive the plan. What is there already of the same files,
            because an earlier call was killed, is not read again.
        workers: Number of processes.
        executor: Who runs them, ``local`` or ``ray``; with Ray on a folder that all machines share.
        look: False to open no image.
        refuse: False to return a plan that may not be written, too; its ``refusal`` says why.
        without: (store, name) of images that are left out, because they are listed as damaged.
        progress: What to call meanwhile.

    Raises:
        RecipeError: Annotation files or image stores are not there; all of them are named.
        SourceError: An annotation file cannot be read.
        StoreError: An image store cannot be opened.
        LossError: More is lost than the recipe allows.
    """
    progress = progress or PlanProgress()
    _refuse_missing(recipe, look)
    who = Workers(workers, executor, progress.on_image)
    tables = read_sources(recipe, folder, workers, progress.on_read, executor)
    tables = cut_long(tables, recipe.limits)
    if not look:
        let_go()
    images = resolve_images(tables, recipe, who, look=look, without=without)
    images = identify(images, recipe, who)
    tables = select(tables, images, recipe.limits)
    contents = images.table["content"].to_numpy()
    pool = arrange_conversations(tables, contents, recipe.limits)
    listed = read_eval_list(recipe.split.list_, tables, images) if recipe.split.list_ else None
    split = _split(pool, images, recipe, listed, who if look else None)
    tables = leave_out_straddling(tables, split.straddling)
    split_notes = list(split_warnings(pool, split))
    pool = replace(pool, usable=pool.usable & ~split.straddling)
    drawn = {
        (entry.name, name): samples
        for entry in recipe.blend
        for name, samples in draw_entry(pool, entry, split.held_out, recipe.seed).items()
    }
    left_out = _left_out(drawn, recipe)
    samples = arrange_samples(drawn, tables, images, recipe)
    losses, totals = count_losses(tables, images, recipe.limits, find_fates(tables, samples, left_out))
    misplaced = misplaced_images(images)
    refusal = refusal_of(recipe, tables, pool, drawn, losses, misplaced)
    if refusal and refuse:
        raise refusal
    return Plan(
        recipe=recipe,
        tables=tables,
        images=images,
        samples=samples,
        left_out=left_out,
        losses=losses,
        totals=totals,
        refusal=refusal,
        warnings=(
            *recipe.warnings,
            *_unopened(recipe, look),
            *_unknown(images, without),
            *misplaced,
            *split_notes,
            *_warnings(recipe, pool, drawn),
        ),
        fingerprint=fingerprint_of(recipe, tables, images, listed),
        looked=look,
    )


def _refuse_missing(recipe: Recipe, look: bool) -> None:
    faults = recipe.missing_files() + (recipe.missing_stores() if look else [])
    if faults:
        settings = " ".join(f"--set {name}=PATH" for name in recipe.variables)
        hint = f"say where things are with {settings}" if settings else "correct the paths in the recipe"
        raise RecipeError(recipe.origin, faults, hint)


def _split(
    pool: ConversationArrays, images: Images, recipe: Recipe, listed: EvalList | None, who: Workers | None
) -> ImageSplit:
    """Split by image; images that look the same count as one, where the recipe says so and they can be opened."""
    same: Ints = images.table["content"].to_numpy()
    if who and recipe.split.perceptual is not None:
        same = group_by_looks(images, recipe.split.perceptual, who)
        pool = replace(pool, ref_content=same[pool.ref_image])
    if listed is not None:
        held_out = np.zeros(len(same), dtype=bool)
        held_out[same[listed.images]] = True
        return split_by_list(pool, held_out, listed.conversations)
    amount = recipe.split.eval if recipe.split.by == "image" else 0.0
    return split_by_image(pool, len(same), amount, generator(recipe.seed, "split"), recipe.split.exclude or ())


def _left_out(drawn: Mapping[tuple[str, str], DrawnSamples], recipe: Recipe) -> pl.DataFrame:
    datasets = pl.Enum([entry.name for entry in recipe.blend])
    return pl.concat(
        [
            LEFT_OUT.check(samples.left_out).select(pl.lit(dataset, datasets).alias("dataset"), pl.all())
            for (dataset, _), samples in drawn.items()
        ]
    )


def _unopened(recipe: Recipe, look: bool) -> list[str]:
    if look:
        return []
    absent = [f"{fault.message}; its images are taken to be there" for fault in recipe.missing_stores()]
    return [
        *absent,
        "images were not opened: images of different names or stores count as different, whatever they show",
    ]


def _unknown(images: Images, without: Collection[tuple[str, str]]) -> list[str]:
    if not without:
        return []
    unknown = set(without)
    for frame in images.rows().slices(["store", "name"]):
        unknown.difference_update(frame.iter_rows())
    if not unknown:
        return []
    store, name = min(unknown)
    return [f"{len(unknown):,} of the {len(set(without)):,} images to leave out are not shown, such as {store}/{name}"]


def _warnings(recipe: Recipe, pool: ConversationArrays, drawn: Mapping[tuple[str, str], DrawnSamples]) -> list[str]:
    warnings = []
    for entry in recipe.blend:
        num_train, num_eval = (drawn[entry.name, split].num_samples for split in ("train", "eval"))
        if not num_train + num_eval:
            hint = hint_of_match(pool, recipe, entry)
            warnings.append(f"blend entry {entry.name} gives no sample" + (f": {hint}" if hint else ""))
        elif (recipe.split.eval or recipe.split.list_) and recipe.split.by == "image" and not num_eval:
            warnings.append(f"blend entry {entry.name} has no sample in eval")
    return warnings
