"""``visualchat verify``: checksums, index, decodability."""

import typer

from blender.commands.options import FolderArgument, JsonOption, WorkersOption

_MOST = 50


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="verify", epilog="Example: visualchat verify blend")(verify)


def verify(folder: FolderArgument, workers: WorkersOption = None, as_json: JsonOption = False) -> None:
    """Check every checksum, index entry, sample and image of a blend. Exits with 1 when something is wrong."""
    from blender.commands.output import Meter, console, num_bytes, print_json
    from blender.shards.read import open_blend
    from blender.shards.verify import Verdict, verify_blend

    total, done = open_blend(folder).manifest.num_samples, 0
    meter = Meter(quiet=as_json)

    def on_shard(verdict: Verdict) -> None:
        nonlocal done
        done += verdict.num_samples
        meter.set("checking samples", done, total, 0, verdict.num_bytes)

    with meter.running():
        verdicts = verify_blend(folder, workers, on_shard)
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if as_json:
        print_json({"ok": not problems, "problems": problems, "shards": verdicts})
    else:
        screen = console()
        for problem in problems[:_MOST]:
            screen.print(problem, style="red", markup=False)
        if len(problems) > _MOST:
            screen.print(f"… and {len(problems) - _MOST:,} more (--json lists all)")
        images, size = sum(verdict.num_images for verdict in verdicts), sum(verdict.num_bytes for verdict in verdicts)
        counted = f"{sum(verdict.num_samples for verdict in verdicts):,} samples, {images:,} images, {num_bytes(size)}"
        screen.print(f"{len(problems):,} problems in {counted}" if problems else f"all well: {counted}")
    if problems:
        raise typer.Exit(1)
