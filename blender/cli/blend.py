"""``visualchat blend``: plan and write shards."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import JsonOption, RecipeArgument, SetOption, WithoutOption, WorkersOption
from blender.core.counting import counted

if TYPE_CHECKING:
    from blender.blend.plan import Plan
    from blender.cli.output import Meter
    from blender.recipe import Recipe
    from blender.shards.blend import WriteProgress, WrittenBlend
    from blender.shards.seal import Checked


class Executor(StrEnum):
    """Who runs the writers."""

    local = "local"
    ray = "ray"


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="blend", epilog="Example: visualchat blend deepspeed-visualchat --set data=/mnt/data --out blend")(
        blend
    )


def blend(
    recipe: RecipeArgument,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR|URL",
            help="The folder to write to; for a URL, the blend is written here first and then uploaded whole.",
            show_default=False,
        ),
    ],
    overrides: SetOption = None,
    workers: WorkersOption = None,
    executor: Annotated[
        Executor, typer.Option(help="Who writes the shards: processes of this machine, or Ray.")
    ] = Executor.local,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete another blend that is in DIR.")] = False,
    without: WithoutOption = None,
    staging: Annotated[
        Path | None,
        typer.Option(
            "--staging",
            metavar="DIR",
            help="Where a blend for a URL is written before it is uploaded; in the cache by default.",
            show_default=False,
        ),
    ] = None,
    checksum: Annotated[
        bool, typer.Option("--checksum", help="Read all of a finished blend to see whether its bytes are as written.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Plan a blend and write its shards. After an interruption the same command continues and keeps finished shards."""
    from blender.blend.without import read_without
    from blender.cli.output import Meter, print_json, warn
    from blender.data.images.files import is_remote
    from blender.recipe import load_recipe

    if staging is not None and not is_remote(out):
        raise typer.BadParameter("it is for a URL as --out; a folder is written to directly", param_hint="--staging")
    loaded = load_recipe(recipe, overrides or [])
    listed = read_without(without) if without else frozenset[tuple[str, str]]()
    meter = Meter(quiet=as_json)
    with meter.running(), showing_losses(as_json):
        written = run_blend(
            loaded,
            out,
            meter,
            workers=workers,
            executor=executor.value,
            overwrite=overwrite,
            without=listed,
            staging=staging,
            checksum=checksum,
        )
    if as_json:
        print_json(written.manifest)
        return
    print_blend(written, out)
    warn(written.manifest.warnings)


@contextmanager
def showing_losses(quiet: bool) -> Iterator[None]:
    """Print the table of reasons when a blend is refused for what it would lose."""
    from blender.blend.refusal import LossError
    from blender.cli.output import console
    from blender.cli.plan import losses_table

    try:
        yield
    except LossError as error:
        if error.losses and not quiet:
            console().print(losses_table(error.losses))
        raise


def run_blend(
    recipe: "Recipe",
    out: str | Path,
    meter: "Meter",
    *,
    workers: int | None = None,
    executor: str = "local",
    overwrite: bool = False,
    without: Collection[tuple[str, str]] = (),
    staging: Path | None = None,
    checksum: bool = False,
) -> "WrittenBlend":
    """Write a blend and report its progress to a meter."""
    from blender.cli.plan import reading_ahead
    from blender.core.pool import num_cores

    workers = workers or num_cores()
    with reading_ahead(recipe, workers):
        from blender.shards.blend import write_blend

        return write_blend(
            recipe,
            out,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
            without=without,
            staging=staging,
            checksum=checksum,
            progress=_writing_progress(meter),
        )


def _writing_progress(meter: "Meter") -> "WriteProgress":
    from blender.cli.output import num_bytes
    from blender.cli.plan import planning_progress
    from blender.shards.blend import WriteProgress

    state = {"done": 0, "total": 0, "kept": 0}
    begun = time.monotonic()

    def on_plan(plan: "Plan", num_shards: int, num_samples: int) -> None:
        state.update(done=num_samples, total=plan.samples.height, kept=num_samples)
        meter.say(f"planned {counted(plan.samples.height, 'sample')} in {time.monotonic() - begun:.1f} s")
        if num_shards:
            meter.say(f"{counted(num_shards, 'finished shard')} kept ({counted(num_samples, 'sample')})")

    def on_checked(checked: "Checked") -> None:
        if checked.num_hashed:
            why = "as asked" if checked.was_asked else "whose modification times are not those they were finished with"
            meter.say(f"{counted(checked.num_hashed, 'file')} ({num_bytes(checked.num_bytes)}) hashed, {why}")
        if checked.changed:
            more = f" and {len(checked.changed) - 3:,} more" if len(checked.changed) > 3 else ""
            changed = ", ".join(checked.changed[:3]) + more
            meter.say(f"missing or changed since the blend was finished: {changed}; the blend is written again")

    def on_written(samples: int, size: int) -> None:
        state["done"] += samples
        meter.set("writing samples", state["done"], state["total"], state["kept"], size)

    def on_uploaded(done: int, total: int) -> None:
        meter.set("uploading bytes", done, total)

    return WriteProgress(planning_progress(meter), on_plan, on_checked, on_written, on_uploaded)


def print_blend(written: "WrittenBlend", out: str | Path) -> None:
    """Print what was written, and what to do next."""
    from blender.cli.inspect import counts_table, print_ledger
    from blender.cli.output import console, num_bytes, titled

    manifest = written.manifest
    screen = console()
    screen.print(counts_table(manifest))
    screen.print()
    print_ledger(screen, manifest)
    size = num_bytes(sum(shard.num_bytes for shard in manifest.shards))
    shards = counted(len(manifest.shards), "shard")
    if written.num_new_shards:
        what = f"{shards}, {size} ({written.num_new_shards:,} written now)"
    elif written.is_uploaded:
        what = f"{shards}, {size} (written before, uploaded now)"
    else:
        what = f"{shards}, {size}: complete already, nothing was written"
    screen.print(titled(out, what))
    screen.print(f"look at it with: visualchat inspect {out} --sample 0", markup=False)
