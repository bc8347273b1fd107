"""``visualchat lint``: what is wrong or suspicious in a blend, or in what a recipe would give."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import (
    ImageTokensOption,
    JsonOption,
    MaxTokensOption,
    SetOption,
    TemplateOption,
    TokenizerOption,
    VisionOption,
    WorkersOption,
)
from blender.cli.tokens import TokenOptions
from blender.core.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from blender.cli.output import Meter
    from blender.core.screen import VisibleText as Text
    from blender.inspect.lint import Example, Finding, LintReport, LintSettings
    from blender.recipe.lint import Suppression

_STYLES = {"error": "bold red", "warning": "yellow", "notice": "cyan"}


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="lint", epilog="Example: visualchat lint blend --strict --suppress answer_one_word:aokvqa")(lint)


def lint(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|DIR|URL",
            help="A recipe (file or shipped name), or a blend's folder or URL.",
            show_default=False,
        ),
    ],
    overrides: SetOption = None,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Open no image: faster, but likenesses and copies stay unknown.")
    ] = False,
    tokenizer: TokenizerOption = None,
    vision: VisionOption = None,
    image_tokens: ImageTokensOption = None,
    max_tokens: MaxTokensOption = 4096,
    template: TemplateOption = None,
    suppress: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK[:DATASET]",
            help="Do not tell what a check finds (in a dataset), besides what the recipe suppresses; repeatable.",
            show_default=False,
        ),
    ] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Examples of each finding.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when there are errors or warnings.")] = False,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong or suspicious in a blend, or in what a recipe would give; each with advice."""
    from blender.cli.output import Meter, print_json
    from blender.core.pool import num_cores
    from blender.inspect.lint import LintSettings

    meter = Meter(quiet=as_json)
    settings = LintSettings(
        workers=workers or num_cores(),
        look=not no_images,
        tokens=TokenOptions(tokenizer, vision, image_tokens, max_tokens, template).counter(),
        suppress=[_suppression(said) for said in suppress or []],
        num_examples=examples,
        tell=meter.set,
    )
    if _is_blend(what):
        if overrides:
            raise typer.BadParameter("--set changes a recipe, and this is a blend; --suppress leaves findings out")
        report = _lint_folder(what, settings, meter)
    else:
        report = _lint_recipe(what, overrides or [], settings, meter)
    if as_json:
        print_json(report)
    else:
        _print(report)
    counts = report.counts
    if strict and (counts["error"] or counts["warning"]):
        raise typer.Exit(1)


def _is_blend(what: str) -> bool:
    """Tell the folder of a blend from a recipe; a shipped recipe's name wins over a folder that is no blend."""
    from blender.data.images.files import is_remote, local_path
    from blender.recipe import list_shipped_recipes
    from blender.shards.manifest import MANIFEST_NAME

    if is_remote(what):
        return True
    folder = local_path(what)
    return folder.is_dir() and ((folder / MANIFEST_NAME).is_file() or what not in list_shipped_recipes())


def _lint_folder(folder: str, settings: "LintSettings", meter: "Meter") -> "LintReport":
    from blender.inspect.lint import lint_blend
    from blender.shards.reader import open_blend

    with meter.running():
        return lint_blend(open_blend(folder), settings)


def _lint_recipe(name: str, overrides: "Sequence[str]", settings: "LintSettings", meter: "Meter") -> "LintReport":
    from blender.blend.plan import make_plan
    from blender.cli.plan import planning_progress
    from blender.inspect.lint import lint_plan
    from blender.recipe import load_recipe

    recipe = load_recipe(name, overrides)
    with tempfile.TemporaryDirectory(prefix="visualchat-") as folder, meter.running():
        progress = planning_progress(meter)
        plan = make_plan(recipe, Path(folder), settings.workers, look=settings.look, progress=progress)
        return lint_plan(plan, settings)


def _suppression(said: str) -> "Suppression":
    from blender.recipe.document import quoted, suggestion
    from blender.recipe.lint import LINT_CHECKS, Suppression

    check, _, dataset = said.partition(":")
    if check not in LINT_CHECKS:
        raise typer.BadParameter(f"--suppress: unknown check {quoted(check)}{suggestion(check, LINT_CHECKS)}")
    return Suppression(check=check, dataset=dataset or None)


def _print(report: "LintReport") -> None:
    from blender.cli.output import console
    from blender.core.screen import VisibleText as Text

    screen = console()
    for finding in report.findings:
        if finding.count:
            for line in _lines(finding):
                screen.print(line, soft_wrap=False)
            screen.print()
    for name, why in report.not_made.items():
        screen.print(Text(f"{name}: {why}", style="dim"))
    suppressed = {finding.check: finding.suppressed for finding in report.findings if finding.suppressed}
    for name, count in suppressed.items():
        screen.print(Text(f"{name}: {count:,} suppressed", style="dim"))
    for said in report.idle_suppressions:
        screen.print(Text(f"{said} is suppressed, and found nothing", style="dim"))
    screen.print(_summary(report))


def _lines(finding: "Finding") -> "Iterator[RenderableType]":
    from rich.padding import Padding

    from blender.core.screen import VisibleText as Text

    yield Text.assemble(
        (f"{finding.severity:9}", _STYLES[finding.severity]),
        f"{finding.says}: ",
        (f"{finding.count:,}", "bold"),
        (f"  {finding.check}", "dim"),
    )
    datasets = ", ".join(f"{name} {count:,}" for name, count in finding.datasets.items())
    lines = [Text(f"in {datasets}", style="dim")] if datasets else []
    lines += [_example(example) for example in finding.examples]
    lines.append(Text(finding.advice, style="italic"))
    yield from (Padding(line, (0, 0, 0, 9), expand=False) for line in lines)


def _example(example: "Example") -> "Text":
    from blender.core.screen import VisibleText as Text

    turn = f", turn {example.turn}" if example.turn else ""
    place = f"{example.key} ({example.dataset}){turn}: " if example.key else ""
    return Text.assemble(("- ", "dim"), (place, "dim"), example.detail)


def _summary(report: "LintReport") -> "Text":
    from blender.cli.output import titled

    told = ", ".join(counted(count, name) for name, count in report.counts.items())
    looked = ", ".join(
        (counted(report.num_samples, "sample"), counted(report.num_turns, "turn"), counted(report.num_images, "image"))
    )
    return titled(report.name, f"{told} in {looked}; {counted(len(report.clean), 'check')} found nothing")
