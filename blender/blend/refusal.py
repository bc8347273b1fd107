"""What a plan may not lose: too many records of a source, all images of one, or all records of an entry.

What is lost is told in one sentence each, all of them together; the plan's table of reasons says the rest.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import polars as pl

from blender.blend.conversations import ConversationArrays
from blender.blend.join import Tables
from blender.blend.kinds.samples import DrawnSamples
from blender.blend.losses import Loss
from blender.blend.matching import hint_of_match
from blender.blend.reasons import is_fault
from blender.core.errors import PlanError
from blender.recipe import BlendEntry, Recipe

#: reasons that a sentence names
_NUM_REASONS = 3
_ALLOW = "mend the data, or allow the losses with --set limits.dropped=100%"
_ALLOW_ONE = "mend the data, or allow the losses with --set sources.{source}.dropped=100%"
_NO_IMAGE = "docs/formats.md says how its format names images; for texts alone, leave `images` out of the source"
_ALL_LOST = "mend the data, or leave `images` out of the source to blend its texts alone"
_NO_MATCH = "the sources under `with` must be about the same images as those under `base`"
_EMPTY = "mend what its records are lost to, or take the entry out of the recipe"


class LossError(PlanError):
    """A blend that would lose more than its recipe allows.

    Args:
        message: What it loses.
        hint: What to do about it.
        losses: The table of reasons.
    """

    def __init__(self, message: str, hint: str | None = None, losses: Sequence[Loss] = ()) -> None:
        super().__init__(message, hint)
        self.losses = losses

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the table when an error comes back from a worker process."""
        return type(self), (self.message, self.hint, self.losses)


def refusal_of(
    recipe: Recipe,
    tables: Tables,
    pool: ConversationArrays,
    drawn: Mapping[tuple[str, str], DrawnSamples],
    losses: Sequence[Loss],
    misplaced: Sequence[str],
) -> LossError | None:
    """Say why a plan may not be written; None when it may.

    Args:
        recipe: The recipe.
        tables: The tables, with reasons.
        pool: The conversations as entries draw from them.
        drawn: The samples of every dataset and split.
        losses: The table of reasons.
        misplaced: Where the images of some stores are instead.
    """
    lossy = dict(_lossy_sources(recipe, tables, losses))
    said = [
        *lossy.values(),
        *_imageless_sources(recipe, tables, lossy),
        *_empty_entries(recipe, tables, pool, drawn, losses),
    ]
    nothing_left = not any(samples.num_samples for samples in drawn.values())
    if nothing_left:
        reasons = f" ({_all_counted(losses)})" if losses else ""
        said.insert(
            0, (f"nothing is left to blend{reasons}", "take more with `samples` or `repeat`" if not said else "")
        )
    if not said:
        return None
    message = said[0][0] if len(said) == 1 else _listed([sentence for sentence, _ in said], nothing_left)
    hints = dict.fromkeys([*misplaced, *(hint for _, hint in said if hint)])
    return LossError(f"recipe {recipe.name}: {message}", "; ".join(hints), tuple(losses))


def _listed(sentences: list[str], is_first_headline: bool) -> str:
    headline = [] if is_first_headline else ["it would lose too much"]
    return "\n  ".join([*headline, *sentences])


def _lossy_sources(recipe: Recipe, tables: Tables, losses: Sequence[Loss]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Find the sources that lose more records to faults than allowed: name, (sentence, hint)."""
    for source, num_records in _num_records(tables).items():
        faults = [loss for loss in losses if loss.source == source and loss.fault]
        lost = sum(loss.records for loss in faults)
        allowed, is_own = recipe.allowed_loss(source), recipe.sources[source].dropped is not None
        if lost > allowed * num_records:
            reasons = _counted({loss.reason: loss.records for loss in faults})
            share = f"{lost:,} of {num_records:,} records ({lost / num_records:.1%})"
            key = f"sources.{source}.dropped" if is_own else "limits.dropped"
            sentence = f"loses {share} to faults, and {key} allows {allowed * 100:.4g}%: {reasons}"
            example = f"{faults[0].example}: {faults[0].detail}"
            hint = _ALLOW_ONE.format(source=source) if is_own else _ALLOW
            yield source, (f"source {source} {sentence}, such as {example}", hint)


def _imageless_sources(recipe: Recipe, tables: Tables, lossy: Collection[str]) -> Iterator[tuple[str, str]]:
    """Find the sources with an image store that show no image, or none any more, unless that is known already."""
    for source, num_records in _num_records(tables).items():
        store = recipe.sources[source].images
        read = tables.conversations.filter(source=tables.sources.index(source))
        if store is None or not read.height:
            continue
        illustrated = read.filter(pl.col("num_images") > 0)
        if not illustrated.height:
            sentence = f"names image store {store}, and none of its {num_records:,} records shows an image"
            yield f"source {source} {sentence}", _NO_IMAGE
            continue
        reasons = Counter(dict(illustrated["reason"].drop_nulls().value_counts().iter_rows()))
        if source not in lossy and reasons.total() == illustrated.height and any(map(is_fault, reasons)):
            sentence = f"all {illustrated.height:,} conversations with images are lost: {_counted(reasons)}"
            yield f"source {source}: {sentence}", _ALL_LOST


def _empty_entries(
    recipe: Recipe,
    tables: Tables,
    pool: ConversationArrays,
    drawn: Mapping[tuple[str, str], DrawnSamples],
    losses: Sequence[Loss],
) -> Iterator[tuple[str, str]]:
    """Find the entries of which nothing is left; what is left of `samples` and `repeat` is the recipe's wish."""
    for entry in recipe.blend:
        parts = [samples for (dataset, _), samples in drawn.items() if dataset == entry.name]
        if sum(samples.num_samples for samples in parts):
            continue
        built_on = _built_on(entry)
        numbers = [tables.sources.index(source) for source in built_on]
        usable = pl.col("source").is_in(numbers) & pl.col("reason").is_null()
        num_usable = tables.conversations.filter(usable).height
        left_out = Counter(reason for samples in parts for reason in samples.left_out["reason"])
        if not num_usable:
            total = sum(count for source, count in _num_records(tables).items() if source in built_on)
            reasons = _all_counted([loss for loss in losses if loss.source in built_on])
            none_left = "its only record is lost" if total == 1 else f"none of its {total:,} records is left"
            yield f"blend entry {entry.name}: {none_left}: {reasons}", _EMPTY
        elif left_out.total() >= num_usable:
            yield (
                f"blend entry {entry.name}: none of its {num_usable:,} conversations is left: {_counted(left_out)}",
                hint_of_match(pool, recipe, entry) or (_NO_MATCH if "no_match" in left_out else _EMPTY),
            )


def _built_on(entry: BlendEntry) -> tuple[str, ...]:
    return entry.image_match.base if entry.image_match else entry.sources


def _num_records(tables: Tables) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for file in tables.files:
        counted[file.source] += file.num_records
    return dict(counted)


def _all_counted(losses: Sequence[Loss]) -> str:
    counts = Counter[str]()
    for loss in losses:
        counts[loss.reason] += loss.records
    return _counted(counts)


def _counted(reasons: dict[str, int]) -> str:
    """Name the commonest reasons with their counts."""
    commonest = Counter(reasons).most_common(_NUM_REASONS)
    further = len(reasons) - len(commonest)
    more = f" and {further} more reasons" if further else ""
    return ", ".join(f"{count:,} × {reason}" for reason, count in commonest) + more
