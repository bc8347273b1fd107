"""``visualchat train``: train a model on a blend with DeepSpeed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blender.cli.options import JsonOption, RecipeArgument, SetOption

if TYPE_CHECKING:
    from blender.cli.output import Meter
    from blender.train.dry_run import DryRun
    from blender.train.events import EvaluationDone, Event, MetricsLogged, RunEnded

#: fewer bytes are no GPU's memory: a number without a unit
_MIN_GPU_MEMORY = 1_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(name="train", epilog="Example: visualchat train train-7b --set blend=./blend --out run --dry-run")(
        train
    )


def train(
    recipe: RecipeArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of the run; ./NAME by default.", show_default=False),
    ] = None,
    overrides: SetOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print batches, memory per GPU and whether it fits; load nothing."),
    ] = False,
    gpus: Annotated[int, typer.Option("--gpus", metavar="N", min=1, help="Number of GPUs for --dry-run.")] = 8,
    gpu_memory: Annotated[
        str, typer.Option("--gpu-memory", metavar="SIZE", help="Memory of each GPU for --dry-run, such as 24GB.")
    ] = "80GB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete another run that is in DIR.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train as a recipe says. Stopped or killed, the same command goes on from the latest checkpoint.

    On several GPUs: deepspeed --num_gpus N cli.py train RECIPE, or torchrun --nproc_per_node N cli.py train RECIPE.
    """
    from blender.train.recipe import load_train_recipe

    loaded = load_train_recipe(recipe, overrides or [])
    if dry_run:
        size = _read_size(gpu_memory)
        from blender.train.dry_run import dry_run as compute_dry_run

        _print_dry_run(compute_dry_run(loaded, gpus, size), as_json)
        return
    from blender.train.run import train as run_training

    ended = run_training(loaded, out or Path(loaded.name), run_display(as_json), overwrite=overwrite)
    if ended.signal:
        raise typer.Exit(128 + ended.signal)


def _read_size(text: str) -> int:
    """Parse the memory of a GPU.

    Raises:
        BadParameter: It is not a size, or has no unit.
    """
    from pydantic import TypeAdapter, ValidationError

    from blender.recipe.fields import Size

    try:
        size: int = TypeAdapter(Size).validate_python(text)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise typer.BadParameter(message, param_hint="--gpu-memory") from error
    if size < _MIN_GPU_MEMORY:
        raise typer.BadParameter(f"{text} is {size:,} bytes; name a unit, such as 24GB", param_hint="--gpu-memory")
    return size


def run_display(as_json: bool) -> "_RunDisplay":
    """Return a function that prints the events of a run to the terminal."""
    from blender.cli.output import Meter

    return _RunDisplay(Meter(quiet=as_json), as_json)


class _RunDisplay:
    """Prints the events of a run: progress and figures for people; with ``--json``, the last event alone."""

    def __init__(self, meter: "Meter", as_json: bool) -> None:
        self._meter, self._as_json = meter, as_json
        self._progress = meter.running()
        self._first_step = 0

    def __call__(self, event: "Event") -> None:
        from blender.train.events import CheckpointSaved, EvaluationDone, MetricsLogged, RunEnded, RunStarted, StepDone

        match event:
            case RunStarted():
                self._first_step = event.step
                self._progress.__enter__()
                self._meter.say(_started(event.name, event.step, event.num_steps, event.world, event.device))
                trained = ", ".join(f"{name} {count:,}" for name, count in event.trained.items())
                self._meter.say(f"trained: {trained} of {event.num_weights:,} weights")
                cut = f"{event.micro} x {event.accumulation} micro-batches x {event.world} ranks"
                self._meter.say(f"a step: {event.rows} rows = {cut}")
            case StepDone():
                self._meter.set(f"training, loss {event.loss:.3f}", event.step, event.num_steps, self._first_step)
            case MetricsLogged():
                self._meter.say(_logged(event))
            case EvaluationDone():
                self._meter.say(_evaluated(event))
            case CheckpointSaved():
                self._meter.say(f"step {event.step:,}: {event.path} written in {event.seconds:.1f} s")
            case RunEnded():
                if not event.was_complete:
                    self._progress.__exit__(None, None, None)
                self._end(event)

    def _end(self, event: "RunEnded") -> None:
        from blender.cli.output import console, print_json, titled, warn

        if self._as_json:
            print_json(
                {
                    "step": event.step,
                    "steps": event.num_steps,
                    "signal": event.signal,
                    "model": str(event.model) if event.model else None,
                    "best": str(event.best) if event.best else None,
                    "skipped": dict(event.skipped),
                }
            )
            return
        if event.skipped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(event.skipped.items()))
            warn([f"samples not used: {reasons}"])
        screen = console()
        if event.signal:
            screen.print(
                f"stopped after step {event.step:,} of {event.num_steps:,}; the same command goes on from there"
            )
            return
        done = "complete already, nothing was trained" if event.was_complete else f"{event.step:,} steps"
        screen.print(titled(event.model, done))
        if event.best:
            screen.print(titled(event.best, "the model with the lowest eval loss"))


def _started(name: str, step: int, num_steps: int, world: int, device: str) -> str:
    devices = f"{world} x {device}" if world > 1 else device
    start = f"goes on after step {step:,}" if step else "begins"
    return f"{name} {start}: {num_steps:,} steps in all, on {devices}"


def _logged(event: "MetricsLogged") -> str:
    from blender.cli.output import num_bytes

    mfu = f", {event.mfu:.0%} MFU" if event.mfu is not None else ""
    norm = f", gradient {event.grad_norm:.2f}" if event.grad_norm is not None else ""
    return (
        f"step {event.step:,}: loss {event.loss:.4f}, lr {event.lr:.2e}{norm}, "
        f"{event.tokens_per_second:,.0f} tokens/s, {event.samples_per_second:,.1f} samples/s{mfu}, "
        f"{event.data_wait_share:.0%} waiting for data, {num_bytes(event.memory)}"
    )


def _evaluated(event: "EvaluationDone") -> str:
    by_dataset = ", ".join(f"{name} {loss:.4f}" for name, loss in sorted(event.datasets.items()))
    return f"step {event.step:,}: eval loss {event.loss:.4f} ({by_dataset}) in {event.seconds:.1f} s"


def _print_dry_run(result: "DryRun", as_json: bool) -> None:
    from dataclasses import asdict

    from blender.cli.output import console, num_bytes, print_json, table, titled, warn

    if as_json:
        verdict, remedy = asdict(result.verdict), result.verdict.remedy
        verdict["remedy"] = None if result.verdict.fits or remedy is None else asdict(remedy)
        print_json({**asdict(result), "total": result.total, "verdict": verdict})
        return
    screen = console()
    plan = result.plan
    screen.print(
        titled(
            result.name,
            f"{plan.world} GPUs: {plan.rows} rows a step = {plan.micro} x {plan.accumulation} micro-batches x "
            f"{plan.world}; up to {result.positions:,} positions a row, {result.image_positions} an image",
        )
    )
    weights = ", ".join(f"{name} {count / 1e6:,.1f}M" for name, count in result.weights.items())
    trained = ", ".join(f"{name} {count / 1e6:,.1f}M" for name, count in result.trained.items())
    screen.print(f"weights  {weights}\ntrained  {trained}\n")
    rows = [[name, num_bytes(size), what] for name, (size, what) in result.memory.items()]
    rows.append(["in all", num_bytes(result.total), ""])
    memory = table("memory of each GPU", ["part", "bytes", "what it is"], rows)
    memory.columns[2].justify = "left"
    screen.print(memory)
    if result.host:
        screen.print(f"\nhost memory of each GPU's process, for what is offloaded: {num_bytes(result.host)}")
    screen.print(f"\n{_verdict(result)}")
    warn(result.warnings)


def _verdict(result: "DryRun") -> str:
    """Say whether a run fits, and what would help."""
    from blender.cli.output import num_bytes

    verdict = result.verdict
    limit = num_bytes(verdict.gpu_memory)
    if verdict.fits:
        share = result.total / verdict.gpu_memory
        return f"fits on GPUs of {limit}: {num_bytes(result.total)} of each, {share:.0%}"
    lacks = f"does not fit on GPUs of {limit}: {num_bytes(result.total)} of each"
    remedy = verdict.remedy
    if remedy is None:
        least = min(verdict.settings, key=lambda setting: setting.total)
        part = max(result.memory.items(), key=lambda item: item[1][0])[0]
        return (
            f"{lacks}; no ZeRO stage is enough ({num_bytes(least.total)} with {least}): use more GPUs, a smaller "
            f"batch.micro or data.max_tokens; most of it now is {part}"
        )
    host = f" and {num_bytes(remedy.host)} of the host" if remedy.host else ""
    return f"{lacks}; it would with {remedy}: {num_bytes(remedy.total)} of each{host}"
