"""``visualchat preview``: samples of a recipe as they will be written, before anything is."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blender.cli.options import (
    ImageTokensOption,
    JsonOption,
    MaxTokensOption,
    RecipeArgument,
    SetOption,
    TemplateOption,
    TokenizerOption,
    VisionOption,
    WorkersOption,
)
from blender.cli.tokens import TokenOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from blender.blend.plan import Plan
    from blender.data.sample import Sample
    from blender.inspect.preview import PreviewSample
    from blender.inspect.views import TokensView


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="preview", epilog="Example: visualchat preview demo --set data=corpus --n 2 --dataset llava")(
        preview
    )


def preview(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Only samples of this dataset.", show_default=False),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="KEY|N", help="One sample: by key, or by number from 0.", show_default=False),
    ] = None,
    num: Annotated[
        int | None,
        typer.Option("--n", "-n", min=1, help="How many samples; 1 by default, 100 with --html.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides which samples are drawn.")] = 0,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page to look at instead.", show_default=False),
    ] = None,
    look: Annotated[
        bool,
        typer.Option("--look", help="Open every image first, as a blend does: slow, but broken ones are left out."),
    ] = False,
    tokenizer: TokenizerOption = None,
    vision: VisionOption = None,
    image_tokens: ImageTokensOption = None,
    max_tokens: MaxTokensOption = 4096,
    template: TemplateOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show samples of a recipe as they will be written, in seconds; nothing is written."""
    from blender.blend.plan import make_plan
    from blender.cli.output import Meter
    from blender.cli.plan import planning_progress
    from blender.core.pool import num_cores
    from blender.inspect.preview import preview_rows, preview_samples
    from blender.inspect.report import require_replaceable
    from blender.recipe import load_recipe

    if html is not None:
        require_replaceable(html)
    count_tokens = TokenOptions(tokenizer, vision, image_tokens, max_tokens, template).view()
    loaded = load_recipe(recipe, overrides or [])
    meter = Meter(quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="visualchat-") as folder:
        with meter.running():
            progress = planning_progress(meter)
            plan = make_plan(loaded, Path(folder), workers or num_cores(), look=look, progress=progress)
        rows = preview_rows(plan, sample=sample, dataset=dataset, num=num or (100 if html else 1), seed=seed)
        made = preview_samples(plan, rows)
        _show(plan, made, html, count_tokens, as_json)


def _show(
    plan: "Plan",
    made: "list[PreviewSample]",
    html: Path | None,
    count_tokens: "Callable[[Sample], TokensView] | None",
    as_json: bool,
) -> None:
    from blender.cli.output import console, num_bytes, print_json, warn
    from blender.core.screen import VisibleText as Text
    from blender.inspect.preview import write_preview
    from blender.inspect.terminal import render_preview

    screen = console()
    if html is not None:
        size = write_preview(plan, made, html, count_tokens)
        if not as_json:
            screen.print(Text(f"{html}: {len(made):,} of {plan.samples.height:,} samples, {num_bytes(size)}"))
    if as_json:
        print_json([_as_json(one, count_tokens) for one in made])
    elif html is None:
        for one in made:
            screen.print(render_preview(one, screen, count_tokens(one.sample) if count_tokens else None))
            screen.print()
    if not as_json:
        warn(plan.warnings)


def _as_json(made: "PreviewSample", count_tokens: "Callable[[Sample], TokensView] | None") -> dict[str, Any]:
    said: dict[str, Any] = {"split": made.split, "shard": made.shard, "sample": made.sample}
    faults = {number: image.fault for number, image in enumerate(made.images, 1) if image.fault}
    return said | {"image_faults": faults} | ({"tokens": count_tokens(made.sample)} if count_tokens else {})
