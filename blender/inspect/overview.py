"""The first view of a page: what a blend, or a plan of one, is, in figures, charts and tables."""

from collections.abc import Iterable

import yaml
from msgspec import Struct

from blender.blend.plan import Plan
from blender.blend.summary import PlanSummary
from blender.core.counting import counted
from blender.inspect.charts import Chart, draw_charts
from blender.inspect.statistics import BlendFigures
from blender.shards.manifest import Manifest


class Fact(Struct, frozen=True):
    """A figure with its name."""

    label: str
    value: str


class Table(Struct, frozen=True):
    """A table of texts."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Overview(Struct, frozen=True):
    """What a page says of the whole."""

    title: str
    subtitle: str
    facts: list[Fact]
    #: what a reader must know about what is shown
    notes: list[str]
    warnings: list[str]
    charts: list[Chart]
    tables: list[Table]
    #: YAML
    recipe: str
    #: True where more will be known when all samples have been read
    pending: bool = False


def blend_overview(
    manifest: Manifest, figures: BlendFigures, notes: Iterable[str] = (), *, pending: bool = False
) -> Overview:
    """Describe a blend.

    Args:
        manifest: The blend's manifest.
        figures: What was counted.
        notes: What to say above the charts.
        pending: Whether figures are still to come.
    """
    size = sum(shard.num_bytes for shard in manifest.shards)
    samples = counted(manifest.num_samples, "sample")
    ledger = manifest.ledger
    facts = [
        *_sums(figures),
        Fact("size", _num_bytes(size)),
        Fact("shards", f"{len(manifest.shards):,}"),
        Fact("records read", f"{ledger['read']:,}"),
        Fact("in samples", f"{ledger['emitted']:,}"),
        *([Fact("turns cut", f"{ledger['turns_cut']:,}")] if ledger.get("turns_cut") else []),
        Fact("references rewritten", f"{ledger['references_rewritten']:,}"),
        Fact("images checked by", manifest.pixel_check or "not noted"),
    ]
    rows = [
        [file.source, file.file, f"{file.num_records:,}", _num_bytes(file.num_bytes), file.sha256[:16]]
        for file in manifest.files
    ]
    return Overview(
        title=manifest.name,
        subtitle=f"{samples}, template {manifest.template}, visualchat {manifest.program}",
        facts=facts,
        notes=list(notes),
        warnings=manifest.warnings,
        charts=draw_charts(figures),
        tables=[
            _ledger(ledger["dropped"]),
            Table("Annotation files", ["source", "file", "records", "size", "SHA-256"], rows),
        ],
        recipe=_yaml(manifest.recipe),
        pending=pending,
    )


def plan_overview(plan: Plan, summary: PlanSummary, figures: BlendFigures, notes: Iterable[str] = ()) -> Overview:
    """Describe a plan.

    Args:
        plan: The plan.
        summary: Its figures.
        figures: What was counted.
        notes: What to say above the charts.
    """
    size = _num_bytes(summary.num_bytes) if summary.num_bytes is not None else "not known"
    facts = [
        *_sums(figures),
        Fact("size, at most", size),
        Fact("shards", f"{sum(summary.shards.values()):,}"),
        Fact("records read", f"{summary.records:,}"),
        Fact("in samples", f"{summary.emitted:,}"),
        Fact("images checked by", plan.recipe.pixels.check if plan.looked else "not looked at"),
    ]
    rows = [
        [file.source, file.label, f"{file.num_records:,}", _num_bytes(file.num_bytes)] for file in plan.tables.files
    ]
    return Overview(
        title=plan.recipe.name,
        subtitle=f"preview: {counted(summary.num_samples, 'sample')}, not written yet, template {plan.recipe.template}",
        facts=facts,
        notes=list(notes),
        warnings=summary.warnings,
        charts=draw_charts(figures),
        tables=[_ledger(summary.dropped), Table("Annotation files", ["source", "file", "records", "size"], rows)],
        recipe=_yaml(plan.recipe.resolved()),
    )


def _sums(figures: BlendFigures) -> list[Fact]:
    names = ("samples", "images", "turns", "characters")
    return [Fact(name, _short(int(figures.datasets[name].sum()))) for name in names]


def _ledger(dropped: dict[str, int]) -> Table:
    rows = [
        [reason.replace("_", " "), f"{count:,}"] for reason, count in sorted(dropped.items(), key=lambda item: -item[1])
    ]
    return Table("Records in no sample", ["reason", "records"], rows or [["none", "0"]])


def _short(number: int) -> str:
    """Say a number in full up to a million."""
    for unit, size in (("B", 1_000_000_000), ("M", 1_000_000)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,}"


def _num_bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def _yaml(recipe: object) -> str:
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=110)
