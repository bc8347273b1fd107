"""``visualchat verify``: checksums, index, images."""

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from blender.cli.options import BlendArgument, JsonOption, WorkersOption
from blender.core.counting import counted

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
    from blender.shards.verify import VerifyResult, level_of, verify_blend

    manifest = open_blend(location).manifest
    total, done, check = manifest.num_samples, 0, level.value if level else level_of(manifest)
    meter = Meter(quiet=as_json)

    def on_shard(result: VerifyResult) -> None:
        nonlocal done
        done += result.num_samples
        meter.set("checking samples", done, total, 0, result.num_bytes)

    with meter.running():
        results = verify_blend(location, workers, on_shard, check)
    problems = [problem for result in results for problem in result.problems]
    if as_json:
        damaged = [image for result in results for image in result.damaged]
        shards = [{key: value for key, value in asdict(result).items() if key != "damaged"} for result in results]
        print_json({"ok": not problems, "level": check, "problems": problems, "damaged": damaged, "shards": shards})
    else:
        screen = console()
        for problem in problems[:_MOST]:
            screen.print(problem, style="red", markup=False)
        if len(problems) > _MOST:
            screen.print(f"… and {len(problems) - _MOST:,} more (--json lists all)")
        images, size = sum(result.num_images for result in results), sum(result.num_bytes for result in results)
        samples = sum(result.num_samples for result in results)
        totals = f"{counted(samples, 'sample')}, {counted(images, 'image')}, {num_bytes(size)}"
        totals += f" (images checked by level {check})"
        screen.print(f"{counted(len(problems), 'problem')} in {totals}" if problems else f"all well: {totals}")
        if any(result.damaged for result in results):
            screen.print(
                "leave damaged images out: --json > FILE, then visualchat blend RECIPE --without FILE", markup=False
            )
    if problems:
        raise typer.Exit(1)
