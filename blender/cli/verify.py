"""``visualchat verify``: checksums, index, images."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from blender.cli.options import BlendArgument, JsonOption, WorkersOption

_MOST = 50


class Level(StrEnum):
    """How closely to look at images."""

    header = "header"
    auto = "auto"
    decode = "decode"


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="verify", epilog="Example: visualchat verify blend")(verify)


def verify(
    location: BlendArgument,
    level: Annotated[
        Level | None,
        typer.Option(
            help="How closely to look at images: header, auto (checksums and structure) or decode; by default "
            "as closely as while the blend was planned.",
            show_default=False,
        ),
    ] = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every checksum, index entry, sample and image of a blend. Exits with 1 when something is wrong.

    With --json, `damaged` lists the images that cannot be used; `visualchat blend --without` takes that output.
    """
    from blender.cli.output import Meter, console, num_bytes, print_json
    from blender.shards.reader import open_blend
    from blender.shards.verify import Verdict, level_of, verify_blend

    manifest = open_blend(location).manifest
    total, done, check = manifest.num_samples, 0, level.value if level else level_of(manifest)
    meter = Meter(quiet=as_json)

    def on_shard(verdict: Verdict) -> None:
        nonlocal done
        done += verdict.num_samples
        meter.set("checking samples", done, total, 0, verdict.num_bytes)

    with meter.running():
        verdicts = verify_blend(location, workers, on_shard, check)
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if as_json:
        damaged = [image for verdict in verdicts for image in verdict.damaged]
        shards = [{key: value for key, value in asdict(verdict).items() if key != "damaged"} for verdict in verdicts]
        print_json({"ok": not problems, "level": check, "problems": problems, "damaged": damaged, "shards": shards})
    else:
        screen = console()
        for problem in problems[:_MOST]:
            screen.print(problem, style="red", markup=False)
        if len(problems) > _MOST:
            screen.print(f"… and {len(problems) - _MOST:,} more (--json lists all)")
        images, size = sum(verdict.num_images for verdict in verdicts), sum(verdict.num_bytes for verdict in verdicts)
        totals = f"{sum(verdict.num_samples for verdict in verdicts):,} samples, {images:,} images, {num_bytes(size)}"
        totals += f" (images checked by level {check})"
        screen.print(f"{len(problems):,} problems in {totals}" if problems else f"all well: {totals}")
        if any(verdict.damaged for verdict in verdicts):
            screen.print(
                "leave damaged images out: --json > FILE, then visualchat blend RECIPE --without FILE", markup=False
            )
    if problems:
        raise typer.Exit(1)
