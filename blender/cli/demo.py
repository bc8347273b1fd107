"""``visualchat demo``: the whole pipeline, on a corpus that the program draws itself."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import WorkersOption
from blender.core.counting import counted

if TYPE_CHECKING:
    from blender.shards.reader import Blend

#: what training needs besides the base install
_TRAINING = ("torch", "transformers", "deepspeed", "altair", "peft")
#: conversations that the tiny model is asked, and tokens of an answer
_NUM_ASKED, _LONGEST = 24, 64


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="demo", epilog="Example: visualchat demo --out visualchat-demo --images 200")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to work in.")] = Path(
        "visualchat-demo"
    ),
    images: Annotated[int, typer.Option("--images", metavar="N", min=8, help="How many pictures to draw.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the drawing, the blend and the model.")] = 0,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=0, help="How many steps to train a tiny model; 0 for none.")
    ] = 100,
    workers: WorkersOption = None,
) -> None:
    """Draw a small corpus in the layouts of the published datasets, blend it, train a tiny model on it, and ask it."""
    from blender.core.faults import full_disk_told
    from blender.core.folder import hold_folder
    from blender.demo.corpus import DEMO

    with hold_folder(out, DEMO), full_disk_told(out):
        _run(out, images, seed, steps, workers)


def _run(out: Path, images: int, seed: int, steps: int, workers: int | None) -> None:
    blend = _blend(out, images, seed, workers)
    _show_sample(blend)
    if not steps:
        return
    missing = [name for name in _TRAINING if importlib.util.find_spec(name) is None]
    if missing:
        from blender.cli.output import console

        console().print(
            f'\nto go on with training: pip install "visualchat-blender[train]"  (lacks {", ".join(missing)})'
        )
        return
    model = _train(blend, out, steps, seed)
    _ask(blend, model)
    _count_right(blend, out, model)
    _print_next_steps(out, model)


def _blend(out: Path, images: int, seed: int, workers: int | None) -> "Blend":
    from blender.cli.blend import print_blend, run_blend
    from blender.cli.output import Meter, warn
    from blender.demo import draw_corpus
    from blender.recipe import load_recipe
    from blender.shards.reader import open_blend

    meter = Meter(quiet=False)
    corpus, blended = out / "corpus", out / "blend"
    meter.say(f"drawing {counted(images, 'picture')} into {corpus}")
    draw_corpus(corpus, num_images=images, seed=seed, workers=workers)
    recipe = load_recipe("demo", [f"data={corpus}", f"seed={seed}"])
    with meter.running():
        written = run_blend(recipe, blended, meter, workers=workers, overwrite=True)
    print_blend(written, blended)
    warn(written.manifest.warnings)
    return open_blend(blended)


def _show_sample(blend: "Blend") -> None:
    from blender.cli.inspect import find_sample
    from blender.cli.output import console
    from blender.inspect.terminal import render_sample

    screen = console()
    _head("one sample, as a model is trained on it:")
    screen.print(render_sample(blend[find_sample(blend, "0", "llava_otter_blend")], screen))


def _train(blend: "Blend", out: Path, steps: int, seed: int) -> Path:
    """Train the tiny recipe on parts made for this blend; return the model's folder."""
    from transformers.utils.logging import disable_progress_bar

    from blender.cli.train import run_display
    from blender.train.engine import quieten
    from blender.train.recipe import load_train_recipe
    from blender.train.run import train
    from blender.train.tiny_models import make_tiny_parts

    quieten()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    _head(f"a tiny model, trained for {steps} steps:")
    make_tiny_parts(out / "parts", ("".join(span.text for span in stored.sample.spans) for stored in blend), seed)
    settings = {"blend": blend.path, "parts": out / "parts", "seed": seed, "schedule.steps": steps}
    recipe = load_train_recipe("train-tiny-cpu", [f"{key}={value}" for key, value in settings.items()])
    ended = train(recipe, out / "run", run_display(as_json=False), overwrite=True)
    if ended.signal:
        raise typer.Exit(128 + ended.signal)
    return out / "run" / "model"


def _ask(blend: "Blend", model: Path) -> None:
    """Ask the model, opened anew, about a picture that it was not trained on."""
    from blender.cli.output import console
    from blender.core.screen import VisibleText as Text
    from blender.serve.loading import open_model
    from blender.serve.session import Session

    session = Session(open_model(model))
    stored = next(sample for sample in blend if sample.sample.dataset == "llava" and sample.split == "eval")
    turn = stored.sample.turns[0]
    answer = session.ask(turn.question, stored.images[: len(turn.images)])
    _head("one question about a picture that it was not trained on:")
    console().print(Text(f"{turn.question}\n\nit says      {answer.text}\nto be seen   {turn.answer}"))


def _count_right(blend: "Blend", out: Path, model: Path) -> None:
    """Ask about pictures that it was not trained on; the drawn scenes say which answers are right."""
    from blender.cli.eval import accuracy_table
    from blender.cli.output import Meter, console
    from blender.evaluate.ask import AskOptions
    from blender.evaluate.read import read_data
    from blender.evaluate.run import evaluate, name_models
    from blender.serve.loading import open_model
    from blender.serve.sampling import Sampling

    meter = Meter(quiet=False)
    _head("how many of its answers are right (the scene behind each picture tells):")
    data = read_data(str(blend.path), questions=out / "corpus" / "questions.json", limit=_NUM_ASKED)
    options = AskOptions(Sampling(max_new_tokens=_LONGEST), batch_size=8, loss=False)
    with meter.running():
        summary = evaluate(
            name_models([model]),
            [data],
            out / "answers",
            options,
            open_folder=lambda model: open_model(model.folder, name=model.name),
            tell=meter.set,
            overwrite=True,
        )
    console().print(accuracy_table(summary))
    console().print("a model this small, trained for a minute, has learnt to speak and hardly to see", style="dim")


def _print_next_steps(out: Path, model: Path) -> None:
    from blender.cli.output import console
    from blender.core.screen import VisibleText as Text

    picture = next((out / "corpus" / "coco" / "train2017").glob("*.jpg"))
    _head("go on with:")
    console().print(
        Text(
            f"visualchat chat  {model} --image {picture}\n"
            f"visualchat serve {model}\n"
            f"visualchat inspect {out / 'blend'} --serve\n"
            f"all answers: {out / 'answers' / 'table.html'}\n"
        ),
        soft_wrap=True,
    )


def _head(text: str) -> None:
    from blender.cli.output import console
    from blender.core.screen import VisibleText as Text

    console().print(Text(f"\n{text}\n", style="bold"))
