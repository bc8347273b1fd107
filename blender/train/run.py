"""A training run, from its recipe to the folder of the trained model.

All inputs are checked before weights are loaded (``inputs``). Then the model is built (``build``) and the loop takes
steps until the last one or a signal. The same recipe and folder resume from the latest checkpoint.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blender.core.faults import full_disk_told
from blender.core.folder import hold_folder
from blender.model import trainable_parameters
from blender.stream.killed_workers import explaining_killed_workers
from blender.train.build import build
from blender.train.checkpoint import (
    VERSION,
    Checkpoint,
    CheckpointState,
    prune,
    save_checkpoint,
)
from blender.train.data import eval_loader, num_steps, train_loader
from blender.train.deepspeed_internals import full_size
from blender.train.device import peak_flops, peak_memory
from blender.train.distributed import Ranks, join_ranks
from blender.train.engine import join_deepspeed, quieten
from blender.train.evaluate import Evaluator
from blender.train.events import (
    CheckpointSaved,
    EvaluationDone,
    Event,
    MetricsLogged,
    OnEvent,
    RunEnded,
    RunStarted,
    StepDone,
)
from blender.train.export import export_model
from blender.train.flops import count_flops
from blender.train.folder import RUN, RunFolder
from blender.train.inputs import RunInputs, open_inputs
from blender.train.loop import Loop, Runner, Totals
from blender.train.metrics import MetricsWriter, read_metrics
from blender.train.plots import plot_loss
from blender.train.recipe import TrainRecipe
from blender.train.schedule import LearningRateSchedule, num_warmup
from blender.train.signals import StopSignal
from blender.train.vision_cache import VisionCache


def train(
    recipe: TrainRecipe, out: str | Path, on_event: OnEvent | None = None, *, overwrite: bool = False
) -> RunEnded:
    """Train as a recipe says; a run that was stopped resumes from its latest checkpoint.

    Args:
        recipe: The recipe.
        out: Folder of the run, the same for all ranks.
        on_event: Called with every event (:mod:`blender.train.events`), on rank 0 only.
        overwrite: Delete another run that is in the folder.

    Returns:
        The last event.

    Raises:
        BlenderError: The run cannot start or continue: a fault in recipe, data, folder, checkpoint or machine.
    """
    quieten()
    ranks = join_ranks()
    join_deepspeed()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    folder = RunFolder(Path(out))
    inputs = open_inputs(recipe, ranks.world)
    stop = StopSignal()
    with (
        _held(folder, recipe, ranks, overwrite=overwrite),
        full_disk_told(folder.path),
        explaining_killed_workers(),
        stop.watching(),
    ):
        run = _TrainingRun(recipe, folder, inputs, ranks, on_event if on_event and ranks.is_first else _ignore)
        return run.run(stop)


def _ignore(event: Event) -> None:
    """Do nothing with an event."""


@contextmanager
def _held(folder: RunFolder, recipe: TrainRecipe, ranks: Ranks, *, overwrite: bool) -> Iterator[None]:
    """Lock and prepare the folder on rank 0; an error there is raised on every rank."""
    with ExitStack() as stack:

        def prepare_folder() -> None:
            with full_disk_told(folder.path):
                owned = stack.enter_context(hold_folder(folder.path, RUN))
                if overwrite:
                    owned.clear()
                folder.check(recipe)
                folder.keep_recipe(recipe)

        ranks.on_first(prepare_folder)
        yield


@dataclass
class _TrainingRun:
    """A run in its folder."""

    recipe: TrainRecipe
    folder: RunFolder
    inputs: RunInputs
    ranks: Ranks
    on_event: OnEvent

    def run(self, stop: StopSignal) -> RunEnded:
        loader = train_loader(
            self.recipe, self.inputs.sources.train, self.inputs.encoder, self.inputs.collator,
            self.inputs.plan, self.ranks,
        )  # fmt: skip
        total = num_steps(self.recipe, loader)
        latest = self.ranks.on_first(self.folder.verified_latest)
        if latest is not None:
            loader.load_state_dict(latest.state.stream)
            if latest.state.step >= total and self.ranks.on_first(self.folder.has_model):
                return self._ended(total, total, dict(latest.state.skipped), was_complete=True)
        self.built = build(self.recipe, self.inputs, self.ranks, latest)
        self._make_loop(loader, total, latest, stop)
        with _writer(self.folder, self.recipe, self.loop.step, self.ranks) as writer:
            self.writer = writer
            signal = self._steps(total)
        if signal:
            ended = RunEnded(self.loop.step, total, signal, skipped=self._skipped())
            self.on_event(ended)
            return ended
        self._export()
        return self._ended(self.loop.step, total, self._skipped())

    def _make_loop(self, loader: Any, total: int, latest: Checkpoint | None, stop: StopSignal) -> None:
        """Make the loop and the evaluator, in the state of a checkpoint."""
        recipe, plan = self.recipe, self.inputs.plan
        decay = recipe.schedule
        schedule = LearningRateSchedule(decay.kind, total, num_warmup(decay.warmup, total), decay.floor)
        cache = VisionCache(recipe.vision_cache, self._encode_images) if recipe.vision_cache else None
        self.runner = Runner(self.built.engine, self.ranks, self.built.model.image_positions, cache)
        self.loop = Loop(
            self.runner, loader, plan, schedule, count_flops(self.built.model), recipe.seed, stop_signal=stop
        )
        #: samples that could not be used before the run was resumed
        self.skipped_before: Counter[str] = Counter()
        if latest is not None:
            state = latest.state
            self.loop.step, self.loop.samples, self.loop.tokens = state.step, state.samples, state.tokens
            self.skipped_before = Counter(state.skipped)
        self.evaluator: Evaluator | None = None
        if recipe.evaluation is not None and self.inputs.sources.evaluation is not None:
            source = self.inputs.sources.evaluation
            samples = eval_loader(recipe, source, self.inputs.encoder, self.inputs.collator, plan, self.ranks)
            rows = (recipe.evaluation.micro or plan.micro) * self.ranks.world
            self.evaluator = Evaluator(samples, self.inputs.sources.datasets, rows, recipe.evaluation.samples)

    def _encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features: torch.Tensor = self.built.model.encode_images(pixels)
        return features

    def _steps(self, total: int) -> int:
        """Take all remaining steps; returns the number of the signal that stopped the run, or 0."""
        self._report_start(total)
        recipe, loop = self.recipe, self.loop
        evaluation, checkpoints = recipe.evaluation, recipe.checkpoints
        if loop.step == 0:
            self._evaluate()
        while loop.step < total:
            signal = loop.take_step()
            self.on_event(StepDone(loop.step, total, loop.loss))
            is_last = loop.step == total
            if loop.step % recipe.logging.every == 0 or is_last or signal:
                self._log()
            loss, is_best = None, False
            if is_last or (evaluation and evaluation.every and loop.step % evaluation.every == 0):
                loss, is_best = self._evaluate()
            due = checkpoints.every is not None and loop.step % checkpoints.every == 0
            if due or is_last or signal or (is_best and checkpoints.best):
                self._save(loss)
            if signal and not is_last:
                return signal
        return 0

    def _report_start(self, total: int) -> None:
        plan, model = self.inputs.plan, self.built.model
        groups = trainable_parameters(model)
        trained = {name: sum(full_size(weight) for _, weight in members) for name, members in groups.items()}
        num_weights = sum(map(full_size, model.parameters()))
        device = torch.cuda.get_device_name() if self.ranks.device.type == "cuda" else "CPU"
        self.on_event(
            RunStarted(
                self.recipe.name, self.loop.step, total, plan.world, device, trained, num_weights,
                plan.rows, plan.micro, plan.accumulation,
            )
        )  # fmt: skip

    def _log(self) -> None:
        totals, self.loop.totals = self.loop.totals, Totals()
        samples, tokens, positions, flops = self.ranks.sum(
            [totals.samples, totals.tokens, totals.positions, totals.flops]
        )
        slowest = self.ranks.gather((totals.data_wait / totals.seconds, peak_memory(self.ranks.device)))
        peak = peak_flops(self.ranks.device)
        cache = self.runner.cache
        event = MetricsLogged(
            step=self.loop.step,
            loss=totals.loss / max(1, totals.trained),
            lr=max(group["lr"] for group in self.built.engine.optimizer.param_groups),
            grad_norm=totals.grad_norm,
            samples=self.loop.samples,
            tokens=self.loop.tokens,
            epoch=self.loop.loader.position.epoch,
            seconds_per_step=totals.seconds / totals.steps,
            samples_per_second=samples / totals.seconds,
            tokens_per_second=tokens / totals.seconds,
            data_wait_share=max(wait for wait, _ in slowest),
            mfu=flops / totals.seconds / (peak * self.ranks.world) if peak else None,
            memory=max(memory for _, memory in slowest),
            padding_share=1 - tokens / positions,
            cache_share=cache.num_hits / max(1, cache.num_requests) if cache else None,
        )
        self._record(event)

    def _evaluate(self) -> tuple[float | None, bool]:
        """Evaluate; returns the loss, and whether it is the lowest so far."""
        if self.evaluator is None:
            return None, False
        event = self.evaluator.run(self.runner, self.loop.step)
        self._record(event)
        best = self.ranks.on_first(self.folder.best)
        lowest = None if best is None else best.state.eval_loss
        return event.loss, self.loop.step > 0 and (lowest is None or event.loss < lowest)

    def _record(self, event: MetricsLogged | EvaluationDone) -> None:
        if self.writer is not None:
            self.writer.write(event)
        self.on_event(event)

    def _save(self, eval_loss: float | None) -> None:
        begin = time.perf_counter()
        loop = self.loop
        state = CheckpointState(
            version=VERSION,
            step=loop.step,
            stream=loop.loader.state_dict(),
            loss_scale=self.built.masters.loss_scale(),
            recipe_hash=self.recipe.hash(),
            identity=self.recipe.identity(),
            samples=loop.samples,
            tokens=loop.tokens,
            skipped=dict(self._skipped()),
            num_parts=self.ranks.world,
            shapes={name: list(shape) for name, shape in self.built.masters.shapes.items()},
            eval_loss=eval_loss,
        )
        path = save_checkpoint(self.folder.checkpoints, state, self.built.masters, self.ranks)
        if self.ranks.is_first:
            prune(self.folder.checkpoints, self.recipe.checkpoints.keep, self.recipe.checkpoints.best)
        self.ranks.barrier()
        self.on_event(CheckpointSaved(loop.step, path, time.perf_counter() - begin))

    def _skipped(self) -> Counter[str]:
        """Count the samples that could not be used, over all ranks, which must call this together."""
        counts = self.ranks.gather(dict(self.loop.loader.skipped))
        return sum(map(Counter, counts), self.skipped_before.copy())

    def _export(self) -> None:
        """Write the final model, and the best one if it is not the final one."""
        self.built.engine.eval()
        final, best = self.ranks.on_first(lambda: (self.folder.latest(), self.folder.verified_best()))
        assert final is not None
        exports = [(final, self.folder.model)]
        if self.recipe.checkpoints.best and best is not None and best.path != final.path:
            exports.insert(0, (best, self.folder.best_model))
        for checkpoint, folder in exports:
            export_model(self.built.model, self.inputs.processor, checkpoint, folder, self.ranks)
        if self.ranks.is_first:
            plot_loss(read_metrics(self.folder.path), self.recipe.name, self.folder.path)

    def _ended(self, step: int, total: int, skipped: dict[str, int], *, was_complete: bool = False) -> RunEnded:
        best = self.folder.best_model if self.folder.best_model.is_dir() else None
        ended = RunEnded(step, total, None, self.folder.model, best, skipped, was_complete)
        self.on_event(ended)
        return ended


@contextmanager
def _writer(folder: RunFolder, recipe: TrainRecipe, step: int, ranks: Ranks) -> Iterator[MetricsWriter | None]:
    if not ranks.is_first:
        yield None
        return
    with MetricsWriter(folder.path, recipe, step) as writer:
        yield writer
