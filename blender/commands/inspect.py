"""``visualchat inspect``: what is in a blend, and one sample of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from blender.commands.options import FolderArgument, JsonOption

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from blender.shards.manifest import Manifest
    from blender.shards.read import Blend


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="inspect", epilog="Example: visualchat inspect blend --sample 3 --dataset llava_otter_blend")(
        inspect
    )


def inspect(
    folder: FolderArgument,
    sample: Annotated[
        str | None,
        typer.Option(
            "--sample", metavar="KEY|N", help="Show one sample: by key, or by number from 0.", show_default=False
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Count only samples of this dataset.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a blend holds; with --sample, one sample: its sources, images, and text with what is trained marked."""
    from blender.commands.output import console, print_json
    from blender.inspection.terminal import render_sample
    from blender.shards.read import open_blend

    blend = open_blend(folder)
    screen = console()
    if sample is not None or dataset is not None:
        stored = blend[find_sample(blend, sample or "0", dataset)]
        if as_json:
            print_json({"split": stored.split, "shard": stored.shard, "sample": stored.sample})
        else:
            screen.print(render_sample(stored, screen))
    elif as_json:
        print_json(blend.manifest)
    else:
        screen.print(counts_table(blend.manifest))
        screen.print()
        print_ledger(screen, blend.manifest)


def find_sample(blend: "Blend", which: str, dataset: str | None) -> int:
    """Return the row of a sample named by key or number; with a dataset, numbers count its samples alone.

    Raises:
        ShardError: There is no such sample or dataset.
    """
    from blender.errors import ShardError

    number = int(which) if which.lstrip("-").isdecimal() else None
    if dataset is None:
        return blend.find(which if number is None else number)
    rows = blend.index["dataset"].eq(dataset).arg_true()
    if not len(rows):
        names = ", ".join(sorted(blend.index["dataset"].unique().to_list()))
        raise ShardError(f"{blend.path} has no dataset {dataset}", f"it has {names}")
    if number is None:
        row = blend.find(which)
        if row not in rows:
            raise ShardError(f"sample {which} is of dataset {blend.index['dataset'][row]}, not of {dataset}")
        return row
    if not -len(rows) <= number < len(rows):
        raise ShardError(f"dataset {dataset} has no sample number {number}", f"numbers go from 0 to {len(rows) - 1}")
    return int(rows[number])


def counts_table(manifest: "Manifest") -> "Table":
    """Make the table of datasets and splits."""
    from blender.commands.output import num_bytes, table

    rows = [
        [
            row.dataset,
            row.split,
            f"{row.samples:,}",
            f"{row.images:,}",
            f"{row.turns:,}",
            f"{row.characters:,}",
            num_bytes(row.num_bytes),
        ]
        for row in manifest.counts
    ]
    for split in sorted({row.split for row in manifest.counts}, reverse=True):
        own = [row for row in manifest.counts if row.split == split]
        sums = [sum(getattr(row, name) for row in own) for name in ("samples", "images", "turns", "characters")]
        rows.append(["in all", split, *(f"{value:,}" for value in sums), num_bytes(sum(row.num_bytes for row in own))])
    return table(manifest.name, ["dataset", "split", "samples", "images", "turns", "characters", "bytes"], rows, 2)


def print_ledger(screen: "Console", manifest: "Manifest") -> None:
    """Print the ledger's totals."""
    ledger = manifest.ledger
    dropped = sum(ledger["dropped"].values())
    screen.print(
        f"[bold]records[/]  {ledger['read']:,} read, {ledger['emitted']:,} in samples "
        f"({ledger['uses']:,} times), {dropped:,} in none; {ledger['references_rewritten']:,} references rewritten"
    )
    for reason, count in sorted(ledger["dropped"].items(), key=lambda item: -item[1]):
        screen.print(f"  {count:>9,}  {reason}", markup=False)
