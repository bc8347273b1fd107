"""The plan: one small row per sample to be written, and all that is needed to write it anywhere.

Making it reads annotations and image headers, and decides everything that is random. Writing it (``blender.shards``)
only follows.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from blender.blend.corpus import Corpus, read_corpus
from blender.blend.layout import LAYOUT_VERSION
from blender.blend.ledger import make_ledger
from blender.blend.mix import SPLITS, Drawn, draw_entry
from blender.blend.pool import Bools, Ints, Pool, make_pool
from blender.blend.reading import PartRead
from blender.blend.split import Split, split_by_image, split_samples
from blender.blend.survey import survey_images
from blender.blend.usable import judge
from blender.errors import PlanError, RecipeError
from blender.parallel import let_go
from blender.randomness import generator
from blender.recipe import Recipe

#: as many are put into words for the fingerprint at a time
_IMAGES_AT_A_TIME = 65_536
#: a tar member takes whole blocks of this many bytes, and one for its header
_BLOCK = 512


@dataclass(frozen=True)
class Plan:
    """What a blend will write."""

    recipe: Recipe
    corpus: Corpus
    #: store, name, member, num_bytes, width, height, extension, reason, detail; row n is image n
    images: pl.DataFrame
    #: the corpus' conversations with reason and detail
    conversations: pl.DataFrame
    #: key, split, shard (in its split), dataset, turns, offsets, images, image_turns (seq that shows each), num_bytes
    samples: pl.DataFrame
    #: dataset, conversation, reason, detail
    left_out: pl.DataFrame
    warnings: tuple[str, ...]
    #: what the shards depend on, as one hash
    fingerprint: str
    #: whether image headers were read
    looked: bool

    def ledger(self) -> pl.DataFrame:
        """Account for every record read."""
        return make_ledger(self.corpus, self.conversations, self.samples, self.left_out)


@dataclass(frozen=True)
class PlanProgress:
    """What to call while a plan is made."""

    on_read: Callable[[PartRead], None] | None = None
    on_image: Callable[[int, int], None] | None = None


def make_plan(
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    *,
    look: bool = True,
    progress: PlanProgress | None = None,
) -> Plan:
    """Read the sources of a recipe and plan its blend.

    Args:
        recipe: The recipe.
        folder: An existing folder for the texts; it must outlive the plan.
        workers: Number of processes.
        look: False to open no image.
        progress: What to call meanwhile.

    Raises:
        RecipeError: Annotation files or image stores are not there; all of them are named.
        SourceError: An annotation file cannot be read.
        StoreError: An image store cannot be opened.
        PlanError: Nothing is left to blend.
    """
    progress = progress or PlanProgress()
    _refuse_missing(recipe, look)
    corpus = read_corpus(recipe, folder, workers, progress.on_read)
    if not look:
        let_go()
    images = survey_images(corpus, recipe, workers, look=look, on_progress=progress.on_image)
    conversations = judge(corpus, images, recipe.limits)
    pool = make_pool(corpus, conversations, recipe.limits)
    split = _split(pool, corpus, recipe)
    conversations = _drop_straddling(conversations, split)
    pool = replace(pool, usable=pool.usable & ~split.straddling)
    held_out = split.held_out
    drawn = [part for entry in recipe.blend for part in draw_entry(pool, entry, held_out, recipe.seed)]
    samples = _arrange(drawn, corpus, images, recipe)
    if not samples.height:
        raise PlanError(
            f"recipe {recipe.name}: nothing is left to blend{_why(conversations)}",
            "see the plan's table of reasons, and the limits of the recipe",
        )
    return Plan(
        recipe=recipe,
        corpus=corpus,
        images=images,
        conversations=conversations,
        samples=samples,
        left_out=pl.concat([_name(part) for part in drawn]),
        warnings=(*recipe.warnings, *_absent_stores(recipe, look), *_warnings(recipe, pool, held_out, drawn)),
        fingerprint=_fingerprint(recipe, corpus, images),
        looked=look,
    )


def _refuse_missing(recipe: Recipe, look: bool) -> None:
    faults = recipe.missing_files() + (recipe.missing_stores() if look else [])
    if faults:
        settings = " ".join(f"--set {name}=PATH" for name in recipe.variables)
        hint = f"say where things are with {settings}" if settings else "correct the paths in the recipe"
        raise RecipeError(recipe.origin, faults, hint)


def _why(conversations: pl.DataFrame) -> str:
    reasons = conversations.group_by("reason").len().sort("len", descending=True).drop_nulls().head(3)
    told = ", ".join(f"{count:,} × {reason}" for reason, count in reasons.iter_rows())
    return f" ({told})" if told else ""


def _split(pool: Pool, corpus: Corpus, recipe: Recipe) -> Split:
    share = recipe.split.eval if recipe.split.by == "image" else 0.0
    return split_by_image(pool, corpus.images.height, share, generator(recipe.seed, "split"))


def _drop_straddling(conversations: pl.DataFrame, split: Split) -> pl.DataFrame:
    straddling = pl.Series(split.straddling)
    return conversations.with_columns(
        reason=pl.when(straddling).then(pl.lit("straddles_split")).otherwise("reason"),
        detail=pl.when(straddling).then(pl.lit("shows an image of train and one of eval")).otherwise("detail"),
    )


def _name(part: Drawn) -> pl.DataFrame:
    return part.draft.left_out.select(pl.lit(part.dataset).alias("dataset"), pl.all())


def _arrange(drawn: list[Drawn], corpus: Corpus, images: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Mix the samples of all datasets, and cut each split into shards."""
    samples = pl.concat([_rows(part) for part in drawn])
    if recipe.split.by == "sample":
        held_out = split_samples(samples.height, recipe.split.eval, generator(recipe.seed, "split"))
        samples = samples.with_columns(split=pl.when(held_out).then(pl.lit("eval")).otherwise(pl.lit("train")))
    samples = samples.with_columns(num_bytes=_sizes(samples, corpus, images))
    mixed = []
    for split in SPLITS:
        own = samples.filter(pl.col("split") == split)
        own = own[generator(recipe.seed, "order", split).permutation(own.height)]
        key = pl.format(f"{split}-{{}}", pl.int_range(pl.len()).cast(pl.String).str.zfill(9))
        shards = _cut(own["num_bytes"].to_numpy(), recipe.shards.max_samples, int(recipe.shards.max_bytes))
        mixed.append(
            own.select(key.alias("key"), "split", pl.Series("shard", shards, dtype=pl.UInt32), pl.exclude("split"))
        )
    return pl.concat(mixed)


def _rows(part: Drawn) -> pl.DataFrame:
    """Gather a draft into one row per sample."""
    turns = part.draft.turns.group_by("sample", maintain_order=True).agg(
        pl.col("turn").alias("turns"), pl.col("offset").cast(pl.UInt16).alias("offsets")
    )
    shows = part.draft.shows.group_by("sample", maintain_order=True).agg(
        pl.col("image").alias("images"), pl.col("seq").cast(pl.UInt16).alias("image_turns")
    )
    rows = turns.join(shows, on="sample", how="left", maintain_order="left")
    empty = [
        pl.col("images").fill_null(pl.lit([], pl.List(pl.UInt32))),
        pl.col("image_turns").fill_null(pl.lit([], pl.List(pl.UInt16))),
    ]
    return rows.select(
        pl.lit(part.dataset).alias("dataset"), pl.lit(part.split).alias("split"), "turns", "offsets", *empty
    )


def _sizes(samples: pl.DataFrame, corpus: Corpus, images: pl.DataFrame) -> pl.Series:
    """Estimate the bytes that each sample takes in its shard, never too low: images exactly, JSON from above."""
    blocks = (images["num_bytes"].fill_null(0).to_numpy().astype(np.int64) + _BLOCK - 1) // _BLOCK * _BLOCK + _BLOCK
    # texts stand in the sample twice; escapes and the template's words add to them
    texts = corpus.turns["num_bytes"].to_numpy().astype(np.int64) * 5 // 2 + 256
    image_bytes = sum_lists(samples["images"], blocks + 128)
    return pl.Series("num_bytes", image_bytes + sum_lists(samples["turns"], texts) + 2048)


def sum_lists(lists: pl.Series, values: Ints) -> Ints:
    """Sum ``values`` at the indices in each list."""
    lengths = lists.list.len().to_numpy()
    owner = np.repeat(np.arange(len(lists)), lengths)
    indices = lists.explode().drop_nulls().to_numpy()
    return np.bincount(owner, weights=values[indices], minlength=len(lists)).astype(np.int64)


def _cut(sizes: Ints, max_samples: int, max_bytes: int) -> list[int]:
    """Number the shard of each sample; a sample larger than a shard gets one to itself."""
    shards: list[int] = []
    shard, num_samples, num_bytes = 0, 0, 0
    for size in sizes.tolist():
        if num_samples and (num_samples == max_samples or num_bytes + size > max_bytes):
            shard, num_samples, num_bytes = shard + 1, 0, 0
        shards.append(shard)
        num_samples, num_bytes = num_samples + 1, num_bytes + size
    return shards


def _absent_stores(recipe: Recipe, look: bool) -> list[str]:
    return [] if look else [f"{fault.message}; its images are taken to be there" for fault in recipe.missing_stores()]


def _warnings(recipe: Recipe, pool: Pool, held_out: Bools, drawn: list[Drawn]) -> list[str]:
    found = []
    wanted, got = recipe.split.eval, float(held_out.sum() / max(1, pool.usable.sum()))
    if recipe.split.by == "image" and wanted and abs(got - wanted) > max(0.2 * wanted, 1 / max(1, pool.usable.sum())):
        found.append(
            f"split.eval: {wanted:.2%} asked, {got:.2%} of the conversations held out, because conversations that "
            "share images stay together"
        )
    for entry in recipe.blend:
        if not sum(part.draft.num_samples for part in drawn if part.dataset == entry.name):
            found.append(f"blend entry {entry.name} gives no sample")
        elif (
            wanted
            and recipe.split.by == "image"
            and not sum(part.draft.num_samples for part in drawn if part.dataset == entry.name and part.split == "eval")
        ):
            found.append(f"blend entry {entry.name} has no sample in eval")
    return found


def _fingerprint(recipe: Recipe, corpus: Corpus, images: pl.DataFrame) -> str:
    """Hash everything that the shards depend on: recipe, annotation files, and the images as the survey found them.

    Where files and images lie does not matter, so that a blend goes on after its inputs have moved.
    """
    said = recipe.resolved()
    sources = [(name, source.format, source.images) for name, source in recipe.sources.items()]
    decisive = {key: said[key] for key in sorted(said) if key not in ("images", "sources", "lint")}
    wanted = [LAYOUT_VERSION, sources, decisive]
    digest = hashlib.sha256(msgspec.json.encode(wanted, order="deterministic"))
    for file in corpus.files:
        digest.update(f"{file.source}\x1f{file.label}\x1f{file.sha256}\n".encode())
    # names have a length before them, so that no two tables say the same
    said_of_image = [
        pl.col("store"),
        pl.col("name").str.len_bytes(),
        pl.col("name"),
        pl.col("num_bytes"),
        pl.col("reason"),
    ]
    rows = pl.concat_str([part.cast(pl.String).fill_null("-") for part in said_of_image], separator="\x1f")
    for number, slice_of_images in enumerate(images.iter_slices(_IMAGES_AT_A_TIME)):
        digest.update(b"\n" if number else b"")
        digest.update("\n".join(slice_of_images.select(rows).to_series()).encode())
    return digest.hexdigest()
