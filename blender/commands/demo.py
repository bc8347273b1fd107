"""``visualchat demo``: the whole way, on a corpus that the program draws itself."""

from pathlib import Path
from typing import Annotated

import typer

from blender.commands.options import WorkersOption


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="demo", epilog="Example: visualchat demo --out visualchat-demo --images 200")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to work in.")] = Path(
        "visualchat-demo"
    ),
    images: Annotated[int, typer.Option("--images", metavar="N", min=8, help="How many pictures to draw.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the drawing and of the blend.")] = 0,
    workers: WorkersOption = None,
) -> None:
    """Draw a small corpus in the layouts of the published datasets, blend it, and show a sample."""
    from rich.text import Text

    from blender.commands.blend import print_blend, run_blend
    from blender.commands.inspect import find_sample
    from blender.commands.output import Meter, console, warn
    from blender.demo import draw_corpus
    from blender.inspection.terminal import render_sample
    from blender.recipe import load_recipe
    from blender.shards.read import open_blend

    screen, meter = console(), Meter(quiet=False)
    corpus, blended = out / "corpus", out / "blend"
    meter.say(f"drawing {images:,} pictures into {corpus}")
    draw_corpus(corpus, num_images=images, seed=seed, workers=workers)
    recipe = load_recipe("demo", [f"data={corpus}", f"seed={seed}"])
    with meter.running():
        written = run_blend(recipe, blended, meter, workers=workers, overwrite=True)
    print_blend(written, blended)
    warn(written.manifest.warnings)
    blend = open_blend(blended)
    screen.print(Text("\none sample, as a model is trained on it:\n", style="bold"))
    screen.print(render_sample(blend[find_sample(blend, "0", "llava_otter_blend")], screen))
