"""``visualchat diff``: what changed between two blends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from blender.cli.options import JsonOption, WorkersOption
from blender.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from blender.inspect.differences import Differences, SampleChange, ValueChange

_STYLES = {"altered": "yellow", "moved": "cyan", "gone": "red", "added": "green"}
#: characters of a value, and lines of a sample
_LENGTH, _LINES = 100, 12


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="diff", epilog="Example: visualchat diff blend-old blend-new --show 5")(diff)


def diff(
    before: Annotated[
        str,
        typer.Argument(metavar="DIR1|URL1", help="The folder or URL of a blend.", show_default=False),
    ],
    after: Annotated[str, typer.Argument(metavar="DIR2|URL2", help="Folder or URL of another.", show_default=False)],
    show: Annotated[int, typer.Option("--show", min=0, help="Samples of each kind of change that are shown.")] = 3,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what changed between two blends: recipe, files, counts, and samples added, gone, moved or altered.

    Exits with 0 when both hold the same samples in the same order, whatever their recipes say, and with 1 when not.
    """
    from blender.cli.output import Meter, print_json
    from blender.core.pool import num_cores
    from blender.inspect.differences import compare_blends
    from blender.shards.reader import open_blend

    blends = open_blend(before), open_blend(after)
    meter = Meter(quiet=as_json)
    with meter.running():
        found = compare_blends(
            *blends,
            num_examples=show,
            workers=workers or num_cores(),
            tell=lambda done, total: meter.set("reading samples", done, total),
        )
    if as_json:
        print_json(found)
    else:
        _print(found, (before, after))
    if not found.are_same:
        raise typer.Exit(1)


def _print(found: "Differences", folders: tuple[str, str]) -> None:
    from blender.cli.output import console, table
    from blender.core.screen import VisibleText as Text

    screen = console()
    for title, changes in (("recipe", found.recipe), ("files", found.files), ("other", found.other)):
        if changes:
            screen.print(table(title, ["", *folders], [_row(change) for change in changes], num_texts=3))
            screen.print()
    if found.counts:
        rows = [
            [row.dataset, row.split, *(_from_to(pair) for pair in (row.samples, row.images, row.turns))]
            for row in found.counts
        ]
        screen.print(table("counts", ["dataset", "split", "samples", "images", "turns"], rows, num_texts=2))
        screen.print()
    for example in found.examples:
        for line in _lines(example):
            screen.print(line)
        screen.print()
    screen.print(Text.assemble(("samples  ", "bold"), ", ".join(_sums(found))))


def _row(change: "ValueChange") -> list[str]:
    return [change.path, _value(change.before), _value(change.after)]


def _value(value: Any) -> str:
    said = "(none)" if value is None else str(value)
    return said if len(said) <= _LENGTH else f"{said[: _LENGTH - 1]}…"


def _from_to(pair: "Sequence[int]") -> str:
    before, after = pair
    return f"{after:,}" if before == after else f"{before:,} → {after:,} ({after - before:+,})"


def _lines(example: "SampleChange") -> "Iterator[RenderableType]":
    from rich.padding import Padding

    from blender.core.screen import VisibleText as Text

    places = [
        f"{key} ({dataset}, {split})"
        for key, dataset, split in (
            (example.key, example.dataset, example.split),
            (example.key_after, example.dataset_after, example.split_after),
        )
        if key
    ]
    aspects = f"  {', '.join(example.aspects)}" if example.aspects else ""
    yield Text.assemble((f"{example.kind:9}", _STYLES[example.kind]), " → ".join(places), (aspects, "dim"))
    lines = [Text(line, style="red" if line.startswith("-") else "green") for line in example.lines[:_LINES]]
    if not lines:
        lines = [Text(f"of {', '.join(example.sources)}", style="dim")]
    if len(example.lines) > _LINES:
        lines.append(Text(f"… and {counted(len(example.lines) - _LINES, 'line')} more (--json has all)", style="dim"))
    yield from (Padding(line, (0, 0, 0, 9), expand=False) for line in lines)


def _sums(found: "Differences") -> "Iterator[str]":
    elsewhere = f" ({found.elsewhere:,} of them in another place)" if found.elsewhere else ""
    yield f"{found.same:,} the same{elsewhere}"
    yield f"{found.moved:,} moved to another dataset or split"
    told = ", ".join(f"{count:,} {name}" for name, count in found.aspects.items() if count)
    yield f"{found.altered:,} altered{f' ({told})' if told else ''}"
    yield f"{found.added:,} added"
    yield f"{found.gone:,} gone"
