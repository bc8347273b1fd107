"""``visualchat plan``: everything but the writing."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import JsonOption, RecipeArgument, SetOption, WithoutOption, WorkersOption
from blender.core.counting import counted

if TYPE_CHECKING:
    from blender.blend.losses import Loss
    from blender.blend.plan import PlanProgress
    from blender.blend.refusal import LossError
    from blender.blend.summary import PlanSummary
    from blender.cli.output import Meter
    from blender.recipe import Recipe

_WIDTH = 32
#: from so many bytes of annotations on, several processes read them
_LARGE = 16_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="plan", epilog="Example: visualchat plan deepspeed-visualchat --set data=/mnt/data")(plan)


def plan(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Open no image: faster, but broken images and sizes stay unknown.")
    ] = False,
    workers: WorkersOption = None,
    without: WithoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a recipe will give: samples, images, bytes, and what will be dropped and why. Writes nothing."""
    from blender.cli.output import Meter, print_json, warn
    from blender.core.pool import num_cores
    from blender.recipe import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    meter, workers = Meter(quiet=as_json), workers or num_cores()
    with (
        reading_ahead(loaded, workers),
        tempfile.TemporaryDirectory(prefix="visualchat-") as folder,
        meter.running(),
    ):
        from blender.blend.plan import make_plan
        from blender.blend.summary import summarise
        from blender.blend.without import read_without

        listed = read_without(without) if without else frozenset[tuple[str, str]]()
        planned = make_plan(
            loaded,
            Path(folder),
            workers,
            look=not no_images,
            refuse=False,
            without=listed,
            progress=planning_progress(meter),
        )
        summary = summarise(planned)
    if as_json:
        print_json(summary)
    else:
        print_plan(summary)
        warn(unsaid(summary.warnings, planned.refusal))
    if planned.refusal:
        raise planned.refusal


def unsaid(warnings: Sequence[str], refusal: "LossError | None") -> list[str]:
    """Leave out the warnings that are also in the hint of a refusal."""
    return [warning for warning in warnings if refusal is None or warning not in (refusal.hint or "")]


@contextmanager
def reading_ahead(recipe: "Recipe", workers: int) -> Iterator[None]:
    """Keep worker processes while a recipe is planned; for large files start them now, so that they import already."""
    from blender.core.pool import kept_processes, start_ahead

    sources = [source for source in recipe.sources.values() if not any("://" in file for file in source.files)]
    files = [Path(file) for source in sources for file in source.resolved_files()]
    with kept_processes():
        if sum(file.stat().st_size for file in files if file.is_file()) > _LARGE:
            start_ahead(workers, "blender.blend.read")
        yield


def planning_progress(meter: "Meter") -> "PlanProgress":
    """Report the progress of planning to a meter."""
    from blender.blend.plan import PlanProgress

    return PlanProgress(
        on_read=lambda read: meter.say(f"read {counted(read.num_records, 'record')} of {read.source}: {read.path}"),
        on_image=lambda done, total: meter.set("looking at images", done, total),
    )


def print_plan(summary: "PlanSummary") -> None:
    """Print a plan's figures."""
    from blender.cli.output import console, num_bytes, table, titled
    from blender.data.images.names import shown_name

    out = console()
    out.print(datasets_table(summary))
    out.print()
    histograms = (
        ("images", "images per sample", "samples", summary.images_per_sample),
        ("turns", "turns per sample", "samples", summary.turns_per_sample),
        ("times", "how often an image is shown", "images", summary.repeats_per_image),
    )
    for column, title, items, histogram in histograms:
        out.print(table(title, [column, items, ""], _bars(histogram), num_texts=0))
        out.print()
    size = f"at most {num_bytes(summary.num_bytes)}" if summary.num_bytes is not None else "not known without images"
    shards = ", ".join(counted(count, f"{split} shard") for split, count in summary.shards.items())
    out.print(titled("to be written", f"{size}, in {shards}"))
    dropped = summary.records - summary.emitted
    read = f"{summary.records:,} read, {summary.emitted:,} in samples, {dropped:,} in none"
    out.print(titled("records", read))
    if summary.turns_cut:
        out.print(titled("turns", f"{summary.turns_cut:,} cut from long conversations, to keep the limits"))
    if summary.losses:
        out.print()
        out.print(losses_table(summary.losses))
        out.print()
    for dataset, reasons in summary.left_out.items():
        counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        out.print(f"  {dataset} could not use: {counts}", markup=False)
    if summary.pinned:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in summary.pinned.items())
        out.print(titled("never behind other images", f"{counted(sum(summary.pinned.values()), 'record')}: {counts}"))
    if summary.unusable_images:
        out.print("images that cannot be used", style="bold")
    for row in summary.unusable_images:
        more = ", …" if row.count > len(row.first) else ""
        out.print(
            f"  {row.count:>9,}  {row.reason} in {row.store}: {', '.join(map(shown_name, row.first))}{more}",
            markup=False,
        )


def datasets_table(summary: "PlanSummary") -> object:
    """Make the table of datasets and splits."""
    from blender.cli.output import num_bytes, table

    rows = [
        [
            row.dataset,
            row.split,
            f"{row.samples:,}",
            f"{row.samples / max(1, summary.num_samples):.1%}",
            f"{row.images:,}",
            f"{row.turns:,}",
            f"{row.characters:,}",
            ("" if summary.tokens_exact else "~") + f"{row.tokens:,}",
            num_bytes(row.num_bytes) if summary.num_bytes is not None else "?",
        ]
        for row in summary.datasets
    ]
    every = summary.datasets
    rows.append(
        [
            "in all",
            "",
            f"{summary.num_samples:,}",
            "",
            f"{sum(row.images for row in every):,}",
            f"{sum(row.turns for row in every):,}",
            f"{sum(row.characters for row in every):,}",
            ("" if summary.tokens_exact else "~") + f"{sum(row.tokens for row in every):,}",
            num_bytes(summary.num_bytes) if summary.num_bytes is not None else "?",
        ]
    )
    columns = ["dataset", "split", "samples", "share", "images", "turns", "characters", "tokens", "bytes"]
    return table(summary.name, columns, rows, num_texts=2)


def losses_table(losses: "Sequence[Loss]") -> object:
    """Make the table of reasons: records in no sample, by source."""
    from blender.cli.output import table

    rows = [
        [
            loss.source,
            loss.reason,
            "fault" if loss.fault else "asked for",
            f"{loss.records:,}",
            f"{loss.share:.1%}",
            f"{loss.example}: {loss.detail}",
        ]
        for loss in losses
    ]
    columns = ["source", "reason", "", "records", "share", "for example"]
    return table("records in no sample", columns, rows, num_texts=3, texts_at_end=1)


def _bars(histogram: dict[int, int], most: int = 12) -> list[list[str]]:
    """Draw a small histogram; values beyond ``most`` rows are one row."""
    pairs = [(f"{value:,}", count) for value, count in histogram.items()]
    if len(pairs) > most:
        beyond = sum(count for _, count in pairs[most - 1 :])
        pairs = [*pairs[: most - 1], (f"{pairs[most - 1][0]}+", beyond)]
    largest = max((count for _, count in pairs), default=1)
    return [
        [value, f"{count:,}", ("█" * max(1, round(_WIDTH * count / largest))).ljust(_WIDTH)] for value, count in pairs
    ]
