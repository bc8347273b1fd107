"""``visualchat eval``: ask models the same questions and compare what they say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import DeviceMapOption, DeviceOption, DtypeOption, JsonOption, QuantizeOption
from blender.core.counting import counted

if TYPE_CHECKING:
    from blender.cli.output import Meter
    from blender.evaluate.conversations import EvalData
    from blender.evaluate.figures import FigureTable
    from blender.evaluate.models import ModelFolder
    from blender.evaluate.summary import Summary
    from blender.serve.loading import LoadedModel


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="eval", epilog="Example: visualchat eval runs/a/final runs/b/final --data blend --out compared")(
        evaluate
    )


def evaluate(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL", help="Folders of trained models.", show_default=False)
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="FILE|DIR",
            help='What to ask: a file {"name": [["question", "image path"], …]}, Sparkles dialogues, or a blend; '
            "repeatable.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write to.", show_default=False)
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="PLACE",
            help="Where a file's images are: a folder, .zip, .tar, .parquet or base64 .json.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which split of a blend.")] = "eval",
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="questions.json of a drawn corpus; found by itself where the blend's corpus still is.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="Ask only the first N conversations.", show_default=False),
    ] = None,
    teacher_forced: Annotated[
        bool, typer.Option("--teacher-forced", help="Put right answers into the history, not the model's own.")
    ] = False,
    swap_images: Annotated[
        bool,
        typer.Option("--swap-images", help="Show other conversations' images: what is right then was not seen."),
    ] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Conversations asked at once.")] = 1,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens of an answer at most.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0: the likeliest token each time.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Draw from the fewest tokens of this probability.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Decides what is drawn.")] = 0,
    loss: Annotated[bool, typer.Option("--loss/--no-loss", help="Take the loss of the right answers as well.")] = True,
    device: DeviceOption = None,
    device_map: DeviceMapOption = None,
    dtype: DtypeOption = "auto",
    quantize: QuantizeOption = None,
    show: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Conversations in table.html at most.")] = 300,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever is in DIR.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask models the same questions; write results.csv, results.jsonl, summary.json and table.html.

    Each question is asked after the model's own earlier answers. Stopped or killed, the same command goes on.
    """
    from blender.cli.output import Meter
    from blender.evaluate.models import name_models
    from blender.evaluate.read import read_data
    from blender.serve.folder import require_model_folder

    meter = Meter(quiet=as_json)
    named = name_models(models)
    for folder in models:
        require_model_folder(folder)
    read = [read_data(location, images=images, split=split, questions=questions, limit=limit) for location in data]
    _say_data(meter, read)
    # these take seconds to import, and what is wrong with models' names and data is known by now
    from blender.evaluate.ask import AskOptions
    from blender.evaluate.run import evaluate as run_evaluation
    from blender.serve.sampling import Sampling

    options = AskOptions(
        Sampling(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed),
        teacher_forced=teacher_forced,
        swap_images=swap_images,
        batch_size=batch_size,
        loss=loss,
        weights=f"{dtype}, {quantize}" if quantize else dtype,
    )

    def open_folder(model: "ModelFolder") -> "LoadedModel":
        from blender.serve.loading import open_model

        meter.say(f"opening {model.folder}")
        return open_model(
            model.folder,
            name=model.name,
            device=device,
            device_map=device_map,
            dtype=dtype,
            quantize=quantize,  # type: ignore[arg-type]
        )

    with meter.running():
        summary = run_evaluation(
            named, read, out, options, open_folder=open_folder, tell=meter.set, overwrite=overwrite, num_shown=show
        )
    _print(summary, out, as_json)


def _say_data(meter: "Meter", read: "list[EvalData]") -> None:
    for each in read:
        rounds = sum(len(conversation.rounds) for conversation in each.conversations)
        meter.say(f"{each.name}: {counted(len(each.conversations), 'conversation')}, {counted(rounds, 'question')}")


def _print(summary: "Summary", out: Path, as_json: bool) -> None:
    from blender.cli.output import console, print_json, warn

    if as_json:
        print_json(summary)
    else:
        _print_tables(summary)
        warn(summary.notes)
        console().print(f"look at it: {out / 'table.html'}", markup=False)
    if any(figures.failed for figures in summary.groups[0].models.values()):
        raise typer.Exit(1)


def _print_tables(summary: "Summary") -> None:
    from blender.cli.output import console
    from blender.evaluate.figures import figure_tables

    titles = {"all": "all answers", "dataset": "by dataset", "images": "by images shown", "round": "by round"}
    titles["kind"] = "by kind of drawn question"
    for table in figure_tables(summary):
        console().print(_table(titles[table.by], table))
        console().print()


def accuracy_table(summary: "Summary") -> object:
    """Make the table of right answers by kind of drawn question."""
    from blender.evaluate.figures import figure_table

    groups = [group for group in summary.groups if group.by == "kind"]
    return _table("right answers by kind of question", figure_table("kind", groups, summary.models))


def _table(title: str, figures: "FigureTable") -> object:
    from blender.cli.output import table

    rows = [[row.group, row.model, *(cell.text for cell in row.cells)] for row in figures.rows]
    return table(title, figures.columns, rows, num_texts=2)
