"""``visualchat inspect``: what is in a blend, and one sample of it; as tables, as a report, or as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.lookup import show_ledger, show_matches, show_stats
from blender.cli.options import (
    BlendArgument,
    ImageTokensOption,
    JsonOption,
    MaxTokensOption,
    TemplateOption,
    TokenizerOption,
    VisionOption,
    WorkersOption,
)
from blender.cli.tokens import TokenOptions
from blender.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from blender.core.screen import Screen
    from blender.data.sample import Sample
    from blender.inspect.views import TokensView
    from blender.shards.manifest import Manifest
    from blender.shards.reader import Blend


#: options, by their parameters' names, that need another one
_OF_HTML = ("seed",)
_OF_TOKENS = ("tokenizer", "vision", "image_tokens", "max_tokens", "template")
_OF_SERVE = ("host", "port")


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="inspect", epilog="Example: visualchat inspect blend --sample 3 --dataset llava_otter_blend")(
        inspect
    )


def inspect(
    context: typer.Context,
    location: BlendArgument,
    reason: Annotated[
        str | None,
        typer.Argument(
            metavar="REASON", help="With --ledger: list the records dropped for this reason.", show_default=False
        ),
    ] = None,
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
    stats: Annotated[
        bool, typer.Option("--stats", help="Show how images, turns, lengths and sizes are distributed.")
    ] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Show what became of the records of each source; with REASON, which ones.")
    ] = False,
    grep: Annotated[
        str | None,
        typer.Option(
            "--grep",
            metavar="TEXT",
            help='Find samples by words, and by "phrases", in texts, names of images and records.',
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write a report: one file with figures and samples.", show_default=False
        ),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option(
            "--n",
            "-n",
            min=1,
            help="Show so many at most; 2000 samples with --html, 20 rows with --grep and --ledger.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --html: decides which samples are drawn.")] = 0,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve a page over the whole blend until Ctrl-C, to this machine only.")
    ] = False,
    host: Annotated[str, typer.Option("--host", help="With --serve: the address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="With --serve: the port; 0 for a free one.")
    ] = 8600,
    tokenizer: TokenizerOption = None,
    vision: VisionOption = None,
    image_tokens: ImageTokensOption = None,
    max_tokens: MaxTokensOption = 4096,
    template: TemplateOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a blend holds; with --sample, one sample: its sources, images, and text with what is trained marked."""
    from blender.cli.output import console, print_json
    from blender.inspect.terminal import render_sample
    from blender.shards.reader import open_blend

    ways = {
        "--html": html is not None,
        "--serve": serve,
        "--stats": stats,
        "--ledger": ledger,
        "--grep": grep is not None,
    }
    _check_usage(context, ways, {"--sample": sample is not None, "--dataset": dataset is not None, "--json": as_json})
    tokens = TokenOptions(tokenizer, vision, image_tokens, max_tokens, template)
    blend = open_blend(location)
    if serve:
        serve_page(blend, host, port, workers)
        return
    if html is not None:
        write_html(blend, html, num or 2_000, dataset, seed, workers, tokens.view())
        return
    if stats:
        show_stats(blend, workers, as_json)
        return
    if ledger:
        show_ledger(blend, reason, num or 20, as_json)
        return
    if grep is not None:
        show_matches(blend, grep, dataset, num or 20, workers, as_json)
        return
    screen = console()
    if sample is not None or dataset is not None:
        stored = blend[find_sample(blend, sample or "0", dataset)]
        view = tokens.view()
        viewed = view(stored.sample) if view else None
        if as_json:
            said = {"split": stored.split, "shard": stored.shard, "sample": stored.sample}
            print_json(said | ({"tokens": viewed} if viewed else {}))
        else:
            screen.print(render_sample(stored, screen, viewed))
    elif as_json:
        print_json(blend.manifest)
    else:
        screen.print(counts_table(blend.manifest))
        screen.print()
        print_ledger(screen, blend.manifest)


def _check_usage(context: typer.Context, ways: dict[str, bool], others: dict[str, bool]) -> None:
    """Refuse options that mean nothing together, or without another one.

    Raises:
        BadParameter: There are such.
    """
    sample, dataset, as_json = (dict([given]) for given in others.items())
    refuse_together(ways | sample)
    for way in ("--serve", "--stats", "--ledger"):
        refuse_together({way: ways[way]} | dataset)
    for way in ("--html", "--serve"):
        refuse_together({way: ways[way]} | as_json)
    refuse_without(context, _OF_HTML, "--html", ways["--html"])
    one = not any(ways.values()) and any((sample | dataset).values())
    refuse_without(context, _OF_TOKENS, "--html or --sample", ways["--html"] or one)
    refuse_without(context, _OF_SERVE, "--serve", ways["--serve"])
    limited = ways["--html"] or ways["--grep"] or ways["--ledger"]
    refuse_without(context, ("num",), "--html, --grep or --ledger", limited)
    reading = any(ways.values()) and not ways["--ledger"]
    refuse_without(context, ("workers",), "--html or --serve, --stats or --grep", reading)
    refuse_without(context, ("reason",), "--ledger", ways["--ledger"])


def refuse_together(options: dict[str, bool]) -> None:
    """Refuse options that cannot be given together.

    Raises:
        BadParameter: More than one of them is given.
    """
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be given together")


def refuse_without(context: typer.Context, names: tuple[str, ...], other: str, is_given: bool) -> None:
    """Refuse options that mean nothing without another one.

    Raises:
        BadParameter: One of them is given, and the other one is not.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.name in names and not is_given and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{parameter.opts[0]} needs {other}")


def write_html(
    blend: "Blend",
    out: Path,
    num: int,
    dataset: str | None,
    seed: int,
    workers: int | None,
    count_tokens: "Callable[[Sample], TokensView] | None",
) -> None:
    """Write a report and say what is in it."""
    from blender.cli.output import Meter, console, num_bytes
    from blender.core.pool import num_cores
    from blender.inspect.report import write_report

    meter = Meter(quiet=False)
    with meter.running():
        written = write_report(
            blend,
            out,
            num_samples=num,
            dataset=dataset,
            seed=seed,
            workers=workers or num_cores(),
            tell=meter.set,
            count_tokens=count_tokens,
        )
    shown = f"{written.num_samples:,} of {len(blend):,} samples, {counted(written.num_pictures, 'picture')}"
    console().print(f"{out}: {shown}, {num_bytes(written.num_bytes)}", markup=False)


def serve_page(blend: "Blend", host: str, port: int, workers: int | None) -> None:
    """Serve the page over a blend until it is interrupted."""
    from blender.cli.output import console, warn
    from blender.core.pool import num_cores
    from blender.inspect.browse import Browser
    from blender.inspect.server import PageServer

    with PageServer(Browser(blend, workers or num_cores()), host, port) as server:
        if host not in ("127.0.0.1", "localhost", "::1"):
            warn([f"everyone who reaches {host} port {server.server_port} can see this blend"])
        console().print(f"{blend.manifest.name}: {server.url}  (Ctrl-C ends it)", markup=False, soft_wrap=True)
        thread = server.start()
        try:
            while thread.is_alive():
                thread.join(1)
        except KeyboardInterrupt:
            server.shutdown()


def find_sample(blend: "Blend", which: str, dataset: str | None) -> int:
    """Return the row of a sample named by key or number; with a dataset, numbers count its samples alone.

    Raises:
        ShardError: There is no such sample or dataset.
    """
    from blender.core.errors import ShardError

    number = int(which) if which.lstrip("-").isdecimal() else None
    if dataset is None:
        return blend.find(which if number is None else number)
    rows = blend.rows["dataset"].eq(dataset).arg_true()
    if not len(rows):
        names = ", ".join(sorted(blend.rows["dataset"].unique().to_list()))
        raise ShardError(f"{blend.location} has no dataset {dataset}", f"it has {names}")
    if number is None:
        row = blend.find(which)
        if row not in rows:
            raise ShardError(f"sample {which} is of dataset {blend.rows['dataset'][row]}, not of {dataset}")
        return row
    if not -len(rows) <= number < len(rows):
        raise ShardError(f"dataset {dataset} has no sample number {number}", f"numbers go from 0 to {len(rows) - 1}")
    return int(rows[number])


def counts_table(manifest: "Manifest") -> "Table":
    """Make the table of datasets and splits."""
    from blender.cli.output import num_bytes, table

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


def print_ledger(screen: "Screen", manifest: "Manifest") -> None:
    """Print the ledger's totals."""
    from blender.cli.output import titled

    ledger = manifest.ledger
    dropped = sum(ledger["dropped"].values())
    uses = counted(ledger["uses"], "time")
    read = f"{ledger['read']:,} read, {ledger['emitted']:,} in samples ({uses}), {dropped:,} in none"
    screen.print(titled("records", f"{read}; {counted(ledger['references_rewritten'], 'reference')} rewritten"))
    if ledger.get("turns_cut"):
        screen.print(titled("turns", f"{ledger['turns_cut']:,} cut from long conversations, to keep the limits"))
    for reason, count in sorted(ledger["dropped"].items(), key=lambda item: -item[1]):
        screen.print(f"  {count:>9,}  {reason}", markup=False)
    if pinned := ledger.get("pinned"):
        told = ", ".join(f"{count:,} {reason}" for reason, count in pinned.items())
        screen.print(titled("never behind other images", f"{counted(sum(pinned.values()), 'record')}: {told}"))
