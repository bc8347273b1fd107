"""``visualchat stream``: run the loader alone."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blender.cli.options import ImageTokensOption, JsonOption, TemplateOption

if TYPE_CHECKING:
    from blender.core.screen import VisibleText as Text
    from blender.stream.collate import Batch
    from blender.stream.report import StreamReport


class SplitName(StrEnum):
    """Which part of a blend."""

    train = "train"
    eval = "eval"


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        name="stream", epilog="Example: visualchat stream blend --tokenizer ./llama --vision ./clip --pack --show"
    )(stream)


def stream(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder or URL of a blend.", show_default=False)],
    tokenizer: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Language model or tokenizer to encode with.", show_default=False)
    ],
    vision: Annotated[
        str, typer.Option(metavar="NAME|DIR", help="Vision tower whose image settings to use.", show_default=False)
    ],
    split: Annotated[SplitName, typer.Option(help="Which split.")] = SplitName.train,
    batches: Annotated[int, typer.Option("--batches", "-n", min=1, help="How many batches to take.")] = 50,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows of a batch.")] = 8,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0 loads in this one.")] = 2,
    pack: Annotated[bool, typer.Option("--pack", help="Put several samples into a row of --max-tokens.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Positions that a sample, or a packed row, may take.")] = 4096,
    image_tokens: ImageTokensOption = None,
    template: TemplateOption = None,
    draft: Annotated[bool, typer.Option("--draft", help="Decode JPEGs at reduced size: faster, less exact.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order.")] = 0,
    show: Annotated[
        bool, typer.Option("--show", help="Print the first batch as text, with what is trained marked.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the training loader alone: samples, images and tokens per second, padding, mix, shapes."""
    from blender.cli.output import console, print_json
    from blender.stream.loader import LoaderSettings, StreamLoader
    from blender.stream.models import load_encoder
    from blender.stream.opening import open_mixture
    from blender.stream.report import measure

    mixture = open_mixture(folder, split.value)
    encoder, collator, loaded = load_encoder(
        tokenizer,
        vision,
        image_positions=image_tokens,
        max_tokens=max_tokens,
        template=template,
        draft=draft,
    )
    settings = LoaderSettings(batch_size, seed=seed, tail="pad", pack=pack, workers=workers)
    report, first = measure(StreamLoader(mixture, encoder, collator, settings), batches)
    if as_json:
        print_json(report)
        return
    screen = console()
    if show:
        for text in _rows(first, loaded):
            screen.print(text)
            screen.print()
    _print_report(report)


def _print_report(report: "StreamReport") -> None:
    from blender.cli.output import console, table

    screen = console()
    rows = [
        ["samples", f"{report.samples:,}", f"{report.samples_per_second:,.1f}"],
        ["images", f"{report.images:,}", f"{report.images_per_second:,.1f}"],
        ["tokens", f"{report.tokens:,}", f"{report.tokens_per_second:,.0f}"],
    ]
    screen.print(table(f"{report.batches:,} batches in {report.seconds:.1f} s", ["", "in all", "per second"], rows))
    screen.print()
    trained = report.trained_tokens / max(1, report.tokens)
    screen.print(f"first batch after {report.seconds_to_first_batch:.2f} s (starting workers included)")
    screen.print(f"padding {report.padding_share:.1%} of positions; {trained:.1%} of tokens are trained")
    screen.print("mix  " + ", ".join(f"{name} {share:.1%}" for name, share in report.mix.items()), markup=False)
    shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in report.shapes.items())
    screen.print(f"first batch  {shapes}", markup=False)
    if report.skipped:
        told = ", ".join(f"{count:,} {reason}" for reason, count in report.skipped.items())
        screen.print(f"samples not used: {told}", style="yellow", markup=False)


def _rows(batch: "Batch", tokenizer: Any) -> "list[Text]":
    """Decode a batch back to text; runs of image positions become ``<image 1 x 256>``."""
    from blender.cli.output import console
    from blender.core.screen import VisibleText as Text

    coloured = console().color_system is not None
    shown = []
    for row, keys in enumerate(batch.keys):
        text = Text(f"row {row}: {', '.join(keys)}\n", style="dim")
        used = int((batch.segment_ids[row] > 0).sum())
        start = 0
        while start < used:
            image, trained, end = int(batch.image_index[row, start]), bool(batch.labels[row, start] >= 0), start
            while end < used and _same(batch, row, end, image, trained):
                end += 1
            piece = f"<image {image} x {end - start}>"
            if image < 0:
                piece = tokenizer.decode(batch.input_ids[row, start:end])
            marked = piece if coloured or not trained else f"[[{piece}]]"
            text.append(marked, style="bold green" if trained else "cyan" if image >= 0 else "not dim")
            start = end
        shown.append(text)
    return shown


def _same(batch: "Batch", row: int, place: int, image: int, trained: bool) -> bool:
    return int(batch.image_index[row, place]) == image and bool(batch.labels[row, place] >= 0) == trained
