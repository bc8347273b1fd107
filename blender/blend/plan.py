"""The plan: one small row per sample to be written, and all that is needed to write it anywhere.

Making it reads annotations and image headers, and decides everything that is random. Writing it (``blender.shards``)
only follows.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from blender.blend.corpus import Corpus, read_corpus
from blender.blend.cut import cut_long
from blender.blend.eval_list import EvalList, read_eval_list
from blender.blend.identity import identify
from blender.blend.layout import LAYOUT_VERSION
from blender.blend.ledger import fates, make_ledger
from blender.blend.losses import Loss, list_losses
from blender.blend.matching import hint_of_match
from blender.blend.mix import SPLITS, Drawn, draw_entry
from blender.blend.perceptual import group_by_looks
from blender.blend.pool import Ints, Pool, make_pool
from blender.blend.reading import PartRead
from blender.blend.refusal import LossError, refusal_of
from blender.blend.split import Split, split_by_image, split_by_list, split_samples
from blender.blend.split_report import split_warnings
from blender.blend.survey import misplaced_images, survey_images
from blender.blend.usable import judge
from blender.core.errors import RecipeError
from blender.core.pool import let_go
from blender.core.randomness import generator
from blender.recipe import Recipe, Source

#: keys of a recipe on which no sample depends (what of ``sources`` does is hashed by itself)
_INDECISIVE = frozenset({"images", "sources", "lint", "on_bad_record"})
#: as many are put into words for the fingerprint at a time
_IMAGES_AT_A_TIME = 65_536
#: a tar member takes whole blocks of this many bytes, and one for its header
_BLOCK = 512


@dataclass(frozen=True)
class Plan:
    """What a blend will write."""

    recipe: Recipe
    corpus: Corpus
    #: store, name, member, num_bytes, width, height, extension, sketch, reason, detail, content; row n is image n
    images: pl.DataFrame
    #: the corpus' conversations with reason and detail
    conversations: pl.DataFrame
    #: key, split, shard (in its split), dataset, turns, offsets, images, image_turns (seq that shows each), num_bytes
    samples: pl.DataFrame
    #: dataset, conversation, reason, detail
    left_out: pl.DataFrame
    #: the table of reasons: records in no sample
    losses: tuple[Loss, ...]
    #: why it may not be written
    refusal: LossError | None
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
    refuse: bool = True,
    without: Collection[tuple[str, str]] = (),
    progress: PlanProgress | None = None,
) -> Plan:
    """Read the sources of a recipe and plan its blend.

    Args:
        recipe: The recipe.
        folder: An existing folder for the texts; it must outlive the plan.
        workers: Number of processes.
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
    corpus = read_corpus(recipe, folder, workers, progress.on_read)
    corpus = cut_long(corpus, recipe.limits)
    if not look:
        let_go()
    images = survey_images(corpus, recipe, workers, look=look, without=without, on_progress=progress.on_image)
    images = images.with_columns(identify(images, recipe, workers, progress.on_image))
    conversations = judge(corpus, images, recipe.limits)
    pool = make_pool(corpus, conversations, images["content"], recipe.limits)
    listed = read_eval_list(recipe.split.list_, corpus) if recipe.split.list_ else None
    pictures = images["content"]
    if look and recipe.split.perceptual is not None:
        pictures = group_by_looks(images, recipe, recipe.split.perceptual, workers, progress.on_image)
    split = _split(replace(pool, link_content=pictures.to_numpy()[pool.link_image]), pictures, recipe, listed)
    conversations = _drop_straddling(conversations, split)
    told = list(split_warnings(pool, split))
    pool = replace(pool, usable=pool.usable & ~split.straddling)
    held_out = split.held_out
    drawn = [part for entry in recipe.blend for part in draw_entry(pool, entry, held_out, recipe.seed)]
    samples = _arrange(drawn, corpus, images, recipe)
    left_out = pl.concat([_name(part) for part in drawn])
    losses = list_losses(fates(corpus, conversations, samples, left_out))
    misplaced = misplaced_images(images, recipe)
    refusal = refusal_of(recipe, corpus, pool, conversations, drawn, losses, misplaced)
    if refusal and refuse:
        raise refusal
    return Plan(
        recipe=recipe,
        corpus=corpus,
        images=images,
        conversations=conversations,
        samples=samples,
        left_out=left_out,
        losses=tuple(losses),
        refusal=refusal,
        warnings=(
            *recipe.warnings,
            *_unopened(recipe, look),
            *_unknown(images, without),
            *misplaced,
            *told,
            *_warnings(recipe, pool, drawn),
        ),
        fingerprint=_fingerprint(recipe, corpus, images, listed),
        looked=look,
    )


def _refuse_missing(recipe: Recipe, look: bool) -> None:
    faults = recipe.missing_files() + (recipe.missing_stores() if look else [])
    if faults:
        settings = " ".join(f"--set {name}=PATH" for name in recipe.variables)
        hint = f"say where things are with {settings}" if settings else "correct the paths in the recipe"
        raise RecipeError(recipe.origin, faults, hint)


def _split(pool: Pool, pictures: pl.Series, recipe: Recipe, listed: EvalList | None) -> Split:
    """Split by image; ``pictures`` says of each image which one it counts as."""
    if listed is not None:
        held_out = np.zeros(len(pictures), dtype=bool)
        held_out[pictures.filter(pl.Series(listed.images)).to_numpy()] = True
        return split_by_list(pool, held_out, listed.conversations)
    amount = recipe.split.eval if recipe.split.by == "image" else 0.0
    random = generator(recipe.seed, "split")
    return split_by_image(pool, len(pictures), amount, random, recipe.split.exclude or ())


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
        amount = recipe.split.eval
        assert not isinstance(amount, Mapping), "the recipe's rules let no amounts of sources through"
        held_out = split_samples(samples.height, amount, generator(recipe.seed, "split"))
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


def _unopened(recipe: Recipe, look: bool) -> list[str]:
    if look:
        return []
    absent = [f"{fault.message}; its images are taken to be there" for fault in recipe.missing_stores()]
    return [
        *absent,
        "images were not opened: images of different names or stores count as different, whatever they show",
    ]


def _unknown(images: pl.DataFrame, without: Collection[tuple[str, str]]) -> list[str]:
    if not without:
        return []
    unknown = set(without).difference(images.select("store", "name").iter_rows())
    if not unknown:
        return []
    store, name = min(unknown)
    return [f"{len(unknown):,} of the {len(set(without)):,} images to leave out are not shown, such as {store}/{name}"]


def _warnings(recipe: Recipe, pool: Pool, drawn: list[Drawn]) -> list[str]:
    found = []
    for entry in recipe.blend:
        if not sum(part.draft.num_samples for part in drawn if part.dataset == entry.name):
            hint = hint_of_match(pool, recipe, entry)
            found.append(f"blend entry {entry.name} gives no sample" + (f": {hint}" if hint else ""))
        elif (
            (recipe.split.eval or recipe.split.list_)
            and recipe.split.by == "image"
            and not sum(part.draft.num_samples for part in drawn if part.dataset == entry.name and part.split == "eval")
        ):
            found.append(f"blend entry {entry.name} has no sample in eval")
    return found


def _read_as(source: Source) -> list[tuple[str, str]]:
    """List what a recipe says of how a source is read, where that is not the usual way."""
    options = {"system": source.system, "leading_answer": source.leading_answer}
    return [(name, value) for name, value in options.items() if value not in (None, "skip")]


def _fingerprint(recipe: Recipe, corpus: Corpus, images: pl.DataFrame, listed: EvalList | None) -> str:
    """Hash everything that the shards depend on: recipe, annotation files, and the images as the survey found them.

    Where files and images lie does not matter, so that a blend goes on after its inputs have moved.
    """
    said = recipe.resolved()
    sources = [(name, source.format, source.images, *_read_as(source)) for name, source in recipe.sources.items()]
    decisive = {key: said[key] for key in sorted(said) if key not in _INDECISIVE}
    decisive["limits"] = recipe.decisive_limits()
    decisive["split"] = {**said["split"], "list": listed.sha256 if listed else None}
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
        pl.col("sketch"),
        pl.col("content"),
        pl.col("reason"),
    ]
    rows = pl.concat_str([part.cast(pl.String).fill_null("-") for part in said_of_image], separator="\x1f")
    for number, slice_of_images in enumerate(images.iter_slices(_IMAGES_AT_A_TIME)):
        digest.update(b"\n" if number else b"")
        digest.update("\n".join(slice_of_images.select(rows).to_series()).encode())
    return digest.hexdigest()
