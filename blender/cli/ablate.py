"""``visualchat ablate``: train a recipe in several ways and compare the models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import DeviceOption, JsonOption, RecipeArgument, SetOption

if TYPE_CHECKING:
    from blender.cli.output import Meter
    from blender.evaluate.ablation import Ablation, Arm
    from blender.evaluate.conversations import EvalData
    from blender.evaluate.run import ModelFolder
    from blender.evaluate.summary import Summary
    from blender.serve.loading import LoadedModel


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        name="ablate", epilog="Example: visualchat ablate train-tiny-cpu --attention causal,mmca,cross --out compared"
    )(ablate)


def ablate(
    recipe: RecipeArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to work in.", show_default=False)],
    attention: Annotated[
        str | None,
        typer.Option("--attention", metavar="A,B,…", help="Attentions: causal, mmca, cross.", show_default=False),
    ] = None,
    blends: Annotated[
        str | None, typer.Option("--blends", metavar="DIR,DIR,…", help="Blends to train on.", show_default=False)
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=A,B,…",
            help="Any other key of the recipe, such as model.projector=linear,vit; repeatable.",
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="FILE|DIR", help="Questions to ask; the recipe's blends by default.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Ask the first N conversations.")] = 64,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Tokens of an answer at most.")] = 96,
    launch: Annotated[
        str | None,
        typer.Option(
            "--launch",
            metavar="COMMAND",
            help='The command that starts training, such as "torchrun --nproc_per_node 8".',
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the same recipe and seed once for each choice, ask all models the same, and write one table and plot.

    After an interruption the same command resumes. An arm that fails does not stop the others.
    """
    from blender.cli.output import Meter
    from blender.core.faults import full_disk_told
    from blender.core.folder import hold_folder
    from blender.evaluate.ablation import ABLATION, gather, make_arms, train_arm, write_ablation
    from blender.evaluate.read import read_data
    from blender.train.recipe import load_train_recipe

    arms = make_arms(_choices(attention, blends, vary or []))
    first = load_train_recipe(recipe, [*(overrides or []), *arms[0].overrides])
    read = [read_data(location, limit=limit) for location in data or _blends_of(first.data.blends)]
    meter = Meter(quiet=as_json)
    with hold_folder(out, ABLATION), full_disk_told(out):
        faults: dict[str, str | None] = {}
        for number, arm in enumerate(arms, 1):
            meter.say(f"arm {number} of {len(arms)}: {arm.name} ({', '.join(arm.overrides)})")
            faults[arm.name] = train_arm(arm, recipe, out / arm.name, overrides or [], launch)
        asked = [arm for arm in arms if faults[arm.name] is None]
        if first.threads is not None:
            import torch

            torch.set_num_threads(first.threads)
        summary = _evaluate(asked, out, read, max_new_tokens, device, meter) if asked else None
        ablation = gather(arms, faults, out, summary)
        write_ablation(ablation, out)
    _print(ablation, out, as_json)
    if any(faults.values()):
        raise typer.Exit(1)


def _choices(attention: str | None, blends: str | None, vary: list[str]) -> dict[str, list[str]]:
    given = {"model.attention": attention, "data.blends": blends}
    for one in vary:
        key, equals, values = one.partition("=")
        if not equals or not values:
            raise typer.BadParameter(f"{one} is not KEY=A,B,…", param_hint="--vary")
        given[key] = values
    return {key: values.split(",") for key, values in given.items() if values}


def _blends_of(members: object) -> list[str]:
    """List the folders of a recipe's blends."""
    found: list[str] = []
    for member in members.values() if isinstance(members, dict) else ():
        found += [str(member.blend)] if member.blend else _blends_of(member.members)
    return list(dict.fromkeys(found))


def _evaluate(
    arms: "list[Arm]", out: Path, read: "list[EvalData]", max_new_tokens: int, device: str | None, meter: "Meter"
) -> "Summary":
    from blender.evaluate.ablation import checkpoints_of, open_checkpoint
    from blender.evaluate.ask import AskOptions
    from blender.evaluate.run import evaluate
    from blender.serve.loading import open_model
    from blender.serve.sampling import Sampling

    def open_folder(folder: Path, name: str) -> "LoadedModel":
        return open_model(folder, name=name, device=device)

    def open_arm(checkpoint: "ModelFolder") -> "LoadedModel":
        return open_checkpoint(checkpoint, open_folder)

    checkpoints = [checkpoint for arm in arms for checkpoint in checkpoints_of(arm, out / arm.name)]
    options = AskOptions(Sampling(max_new_tokens=max_new_tokens), batch_size=8, loss=False)
    with meter.running():
        return evaluate(checkpoints, read, out / "answers", options, open_folder=open_arm, tell=meter.set)


def _print(ablation: "Ablation", out: Path, as_json: bool) -> None:
    from blender.cli.output import console, print_json, table, warn

    if as_json:
        print_json(ablation)
        return
    kinds = list(dict.fromkeys(kind for arm in ablation.arms for kind in arm.accuracy))
    rows = [
        [
            arm.name,
            arm.fault or "complete",
            f"{arm.samples:,}",
            _share(arm.eval_loss, "{:.4f}"),
            _share(arm.tokens_per_second, "{:,.0f}"),
            _share(arm.figures.accuracy if arm.figures else None, "{:.1%}"),
            *(_share(arm.accuracy.get(kind), "{:.0%}") for kind in kinds),
        ]
        for arm in ablation.arms
    ]
    head = ["arm", "training", "samples", "eval loss", "tokens/s", "right", *kinds]
    console().print(table("compared", head, rows, num_texts=2))
    warn(ablation.notes)
    console().print(
        f"\ncurves: {out / 'ablation.png'}, answers side by side: {out / 'answers' / 'table.html'}", markup=False
    )


def _share(value: float | None, how: str) -> str:
    return "" if value is None else how.format(value)
