"""Lint a blend or a plan: gather, look at pictures, run every check, and leave out what the recipe says is meant so."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from blender.blend.plan import Plan
from blender.inspect.lint.check import Check
from blender.inspect.lint.checks import CHECKS
from blender.inspect.lint.findings import SEVERITIES, Example, Finding, LintReport
from blender.inspect.lint.gather import Gathered, TokenCounter, gather
from blender.inspect.lint.images import images_to_hash, pairs_to_compare
from blender.inspect.lint.near_duplicates import find_near_duplicates, hash_images
from blender.inspect.lint.planned import PlannedSamples
from blender.inspect.lint.stored import StoredSamples
from blender.inspect.lint.tables import LintTables, Samples
from blender.recipe.lint import Suppression
from blender.shards.reader import Blend

#: called with (what is done, how much of it, how much there is)
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LintSettings:
    """How to lint."""

    #: processes
    workers: int = 1
    #: whether images are opened
    look: bool = True
    #: what samples are counted with; None: they are not
    tokens: TokenCounter | None = None
    #: findings that are not told, besides those of the recipe
    suppress: Sequence[Suppression] = ()
    #: examples of each finding
    num_examples: int = 5
    tell: Tell = field(default=lambda what, done, total: None)


def lint_blend(blend: Blend, settings: LintSettings | None = None) -> LintReport:
    """Look for what is wrong or suspicious in a blend.

    Args:
        blend: The blend.
        settings: How to.

    Raises:
        ShardError: A sample cannot be read.
    """
    return lint_samples(StoredSamples(blend), settings or LintSettings())


def lint_plan(plan: Plan, settings: LintSettings | None = None) -> LintReport:
    """Look for what is wrong or suspicious in what a plan would write.

    Args:
        plan: The plan; its folder must still be there.
        settings: How to.
    """
    return lint_samples(PlannedSamples(plan), settings or LintSettings())


def lint_samples(source: Samples, settings: LintSettings) -> LintReport:
    """Run all checks over samples."""
    material = _material(source, settings)
    suppressions = [*_of_recipe(source), *settings.suppress]
    findings, clean, hits_of = [], [], {}
    for check in CHECKS.values():
        hits = hits_of[check.name] = check.find(material)
        if hits.height:
            findings.append(_finding(check, hits, suppressions, material, settings.num_examples))
        else:
            clean.append(check.name)
    not_made = {name: why for name, check in CHECKS.items() if (why := check.hindrance(material))}
    return LintReport(
        name=source.name,
        num_samples=material.samples.height,
        num_turns=material.turns.height,
        num_images=material.images.height,
        findings=sorted(findings, key=lambda finding: (not finding.count, SEVERITIES.index(finding.severity))),
        clean=[name for name in clean if name not in not_made],
        not_made=not_made,
        idle_suppressions=list(_idle(suppressions, hits_of)),
    )


def _material(source: Samples, settings: LintSettings) -> LintTables:
    tokens, tell = settings.tokens, settings.tell
    found = gather(source, tokens, settings.workers, lambda *done: tell("looking through samples", *done))
    digests, alike = _look(source, found, settings) if settings.look else (None, None)
    return LintTables(
        source=source,
        samples=pl.concat([source.rows, found.lengths.drop("sample")], how="horizontal"),
        turns=found.turns,
        shows=found.shows,
        images=found.images,
        digests=digests,
        alike=alike,
        max_tokens=tokens.max_tokens if tokens else None,
    )


def _look(source: Samples, found: Gathered, settings: LintSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Open the images that must be opened; return digests, and pairs that look the same."""
    wanted = images_to_hash(source, source.rows, found.shows, found.images)
    hashes = hash_images(wanted, settings.workers, lambda *done: settings.tell("looking at images", *done))
    pairs = pairs_to_compare(source, found.shows, found.images, hashes)
    digests = hashes.filter(pl.col("digest").is_not_null()).select("image", "digest")
    return digests, find_near_duplicates(pairs, settings.workers)


def _of_recipe(source: Samples) -> list[Suppression]:
    section = source.recipe.get("lint") or {}
    return [Suppression.model_validate(said) for said in section.get("suppress", ())]


def _finding(
    check: Check, hits: pl.DataFrame, suppressions: Iterable[Suppression], material: LintTables, num_examples: int
) -> Finding:
    told = hits.filter(~_is_suppressed(check.name, hits, suppressions))
    by_dataset = told.drop_nulls("dataset").group_by("dataset", maintain_order=True).len()
    return Finding(
        check=check.name,
        severity=check.severity,
        says=check.says,
        advice=check.advice,
        count=told.height,
        datasets=dict(by_dataset.sort("len", descending=True, maintain_order=True).iter_rows()),
        suppressed=hits.height - told.height,
        examples=list(_examples(check, told, material, num_examples)),
    )


def _is_suppressed(check: str, hits: pl.DataFrame, suppressions: Iterable[Suppression]) -> pl.Series:
    meant = [said for said in suppressions if said.check == check]
    if any(said.dataset is None for said in meant):
        return pl.repeat(True, hits.height, dtype=pl.Boolean, eager=True)
    datasets = [said.dataset for said in meant]
    return hits["dataset"].is_in(datasets).fill_null(False)


def _examples(check: Check, hits: pl.DataFrame, material: LintTables, number: int) -> Iterator[Example]:
    """Give the first hits, those of every dataset in turn."""
    place = pl.int_range(pl.len()).over("dataset")
    for sample, turn, dataset, detail in hits.sort(place, maintain_order=True).head(number).iter_rows():
        if sample is None:
            yield Example(detail, dataset=dataset or "")
            continue
        key, split = material.samples.select("key", "split").row(sample)
        if detail is None and check.describe:
            detail = check.describe(material.source.read(sample), turn)
        if detail is None and check.describe_in:
            detail = check.describe_in(material, material.source.read(sample), turn)
        yield Example(detail or "", key, dataset or "", split, 0 if turn is None else turn + 1)


def _idle(suppressions: Iterable[Suppression], hits: dict[str, pl.DataFrame]) -> Iterator[str]:
    for said in suppressions:
        found = hits[said.check]
        if not (found.height if said.dataset is None else (found["dataset"] == said.dataset).any()):
            yield said.check if said.dataset is None else f"{said.check} in {said.dataset}"
