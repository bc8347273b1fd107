"""A training run from its recipe to the model's folder.

Everything is checked before weights are loaded (``prepare``); then parts become a model, the model an engine, and the
loop takes steps until the recipe's end or a signal. Run again, the same recipe and folder go on from the latest
checkpoint.
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
from blender.train.building import build
from blender.train.checkpoint import (
    VERSION,
    CheckpointState,
    prune,
    save_checkpoint,
)
from blender.train.data import eval_loader, num_steps, train_loader
from blender.train.engine import join_deepspeed, quieten
from blender.train.evaluate import Evaluation
from blender.train.events import Begun, Ended, Evaluated, Event, Logged, Saved, Stepped, Tell
from blender.train.export import export_model
from blender.train.flops import count_arithmetic, peak_flops
from blender.train.folder import RUN, RunFolder
from blender.train.loop import Loop, Runner, Totals
from blender.train.memory import peak_memory
from blender.train.metrics import MetricsWriter, read_metrics
from blender.train.plots import plot_loss
from blender.train.prepare import Prepared, prepare
from blender.train.ranks import Ranks, join_ranks
from blender.train.recipe import TrainRecipe
from blender.train.schedule import Schedule, num_warmup
from blender.train.signals import StopSignal
from blender.train.vision_cache import VisionCache


def train(recipe: TrainRecipe, out: str | Path, tell: Tell | None = None, *, overwrite: bool = False) -> Ended:
    """Train, or go on training, as a recipe says.

    Args:
        recipe: The recipe.
        out: Folder of the run; every rank must see the same one.
        tell: Is told how it goes, on the first rank alone.
        overwrite: Delete another run that is in the folder.

    Returns:
        How it ended.

    Raises:
        BlenderError: Something is wrong; one sentence says what.
    """
    quieten()
    ranks = join_ranks()
    join_deepspeed()
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    folder = RunFolder(Path(out))
    prepared = prepare(recipe, ranks.world)
    stop = StopSignal()
    with (
        _held(folder, recipe, ranks, overwrite=overwrite),
        full_disk_told(folder.path),
        explaining_killed_workers(),
        stop.watching(),
    ):
        run = _Run(recipe, folder, prepared, ranks, tell if tell and ranks.is_first else _silent)
        return run.run(stop)


def _silent(event: Event) -> None:
    """Tell nobody."""


@contextmanager
def _held(folder: RunFolder, recipe: TrainRecipe, ranks: Ranks, *, overwrite: bool) -> Iterator[None]:
    """Hold the folder on the first rank, and prepare it; a fault there is raised on every rank."""
    with ExitStack() as stack:

        def prepare_folder() -> None:
            with full_disk_told(folder.path):
                owned = stack.enter_context(hold_folder(folder.path, RUN))
                if overwrite:
                    owned.clear()
                folder.check(recipe)
                folder.keep_recipe(recipe)

        ranks.agree(prepare_folder)
        yield


@dataclass
class _Run:
    """A run in its folder."""

    recipe: TrainRecipe
    folder: RunFolder
    prepared: Prepared
    ranks: Ranks
    tell: Tell

    def run(self, stop: StopSignal) -> Ended:
        loader = train_loader(
            self.recipe, self.prepared.sources.train, self.prepared.encoder, self.prepared.collator,
            self.prepared.plan, self.ranks,
        )  # fmt: skip
        total = num_steps(self.recipe, loader)
        latest = self.ranks.agree(self.folder.verified_latest)
        if latest is not None:
            loader.load_state_dict(latest[1].stream)
            if latest[1].step >= total and self.ranks.agree(self.folder.has_model):
                return self._ended(total, total, dict(latest[1].skipped), was_complete=True)
        self.built = build(self.recipe, self.prepared, self.ranks, latest)
        self._wire(loader, total, latest, stop)
        with _writer(self.folder, self.recipe, self.loop.step, self.ranks) as writer:
            self.writer = writer
            signal = self._steps(total)
        if signal:
            ended = Ended(self.loop.step, total, signal, skipped=self._skipped())
            self.tell(ended)
            return ended
        self._export()
        return self._ended(self.loop.step, total, self._skipped())

    def _wire(self, loader: Any, total: int, latest: tuple[Path, CheckpointState] | None, stop: StopSignal) -> None:
        """Put loop and evaluation together, where a checkpoint stood."""
        recipe, plan = self.recipe, self.prepared.plan
        said = recipe.schedule
        schedule = Schedule(said.kind, total, num_warmup(said.warmup, total), said.floor)
        cache = VisionCache(recipe.vision_cache, self._see) if recipe.vision_cache else None
        self.runner = Runner(self.built.engine, self.ranks, self.built.model.image_positions, cache)
        self.loop = Loop(
            self.runner, loader, plan, schedule, count_arithmetic(self.built.model), recipe.seed, wants_stop=stop
        )
        self.before: Counter[str] = Counter()
        if latest is not None:
            state = latest[1]
            self.loop.step, self.loop.samples, self.loop.tokens = state.step, state.samples, state.tokens
            self.before = Counter(state.skipped)
        self.evaluation: Evaluation | None = None
        if recipe.evaluation is not None and self.prepared.sources.evaluation is not None:
            source = self.prepared.sources.evaluation
            evaluated = eval_loader(recipe, source, self.prepared.encoder, self.prepared.collator, plan, self.ranks)
            rows = (recipe.evaluation.micro or plan.micro) * self.ranks.world
            self.evaluation = Evaluation(evaluated, self.prepared.sources.datasets, rows, recipe.evaluation.samples)

    def _see(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features: torch.Tensor = self.built.model.encode_images(pixels)
        return features

    def _steps(self, total: int) -> int:
        """Take all steps that are left; returns the number of a signal that wants to stop, or 0."""
        self._begin(total)
        recipe, loop = self.recipe, self.loop
        evaluation, checkpoints = recipe.evaluation, recipe.checkpoints
        if loop.step == 0:
            self._evaluate()
        while loop.step < total:
            signal = loop.take_step()
            self.tell(Stepped(loop.step, total, loop.loss))
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

    def _begin(self, total: int) -> None:
        plan, model = self.prepared.plan, self.built.model
        groups = trainable_parameters(model)
        trained = {name: sum(_size(weight) for _, weight in members) for name, members in groups.items()}
        every = sum(map(_size, model.parameters()))
        device = torch.cuda.get_device_name() if self.ranks.device.type == "cuda" else "CPU"
        self.tell(
            Begun(
                self.recipe.name, self.loop.step, total, plan.world, device, trained, every,
                plan.rows, plan.micro, plan.accumulation,
            )
        )  # fmt: skip

    def _log(self) -> None:
        totals, self.loop.totals = self.loop.totals, Totals()
        samples, tokens, positions, flops = self.ranks.sum(
            [totals.samples, totals.tokens, totals.positions, totals.flops]
        )
        slowest = self.ranks.gather((totals.waited / totals.seconds, peak_memory(self.ranks.device)))
        peak = peak_flops(self.ranks.device)
        cache = self.runner.cache
        event = Logged(
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
            cache_share=cache.num_found / max(1, cache.num_asked) if cache else None,
        )
        self._record(event)

    def _evaluate(self) -> tuple[float | None, bool]:
        """Evaluate; returns the loss, and whether it is the lowest so far."""
        if self.evaluation is None:
            return None, False
        event = self.evaluation.run(self.runner, self.loop.step)
        self._record(event)
        best = self.ranks.agree(self.folder.best)
        lowest = None if best is None else best[1].eval_loss
        return event.loss, self.loop.step > 0 and (lowest is None or event.loss < lowest)

    def _record(self, event: Logged | Evaluated) -> None:
        if self.writer is not None:
            self.writer.write(event)
        self.tell(event)

    def _save(self, eval_loss: float | None) -> None:
        begun = time.perf_counter()
        loop = self.loop
        state = CheckpointState(
            version=VERSION,
            step=loop.step,
            stream=loop.loader.state_dict(),
            loss_scale=self.built.masters.loss_scale(),
            recipe_hash=self.recipe.hash(),
            decisive=self.recipe.decisive(),
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
        self.ranks.wait()
        self.tell(Saved(loop.step, path, time.perf_counter() - begun))

    def _skipped(self) -> Counter[str]:
        """Count the samples that could not be used, over all ranks; all ranks together."""
        every = self.ranks.gather(dict(self.loop.loader.skipped))
        return sum(map(Counter, every), self.before.copy())

    def _export(self) -> None:
        """Write the final model, and the best one where it is another."""
        self.built.engine.eval()
        final, best = self.ranks.agree(lambda: (self.folder.latest(), self.folder.verified_best()))
        assert final is not None
        chosen = [(final, self.folder.model)]
        if self.recipe.checkpoints.best and best is not None and best[0] != final[0]:
            chosen.insert(0, (best, self.folder.best_model))
        for checkpoint, place in chosen:
            export_model(self.built.model, self.prepared.processor, *checkpoint, place, self.ranks)
        if self.ranks.is_first:
            plot_loss(read_metrics(self.folder.path), self.recipe.name, self.folder.path)

    def _ended(self, step: int, total: int, skipped: dict[str, int], *, was_complete: bool = False) -> Ended:
        best = self.folder.best_model if self.folder.best_model.is_dir() else None
        ended = Ended(step, total, None, self.folder.model, best, skipped, was_complete)
        self.tell(ended)
        return ended


@contextmanager
def _writer(folder: RunFolder, recipe: TrainRecipe, step: int, ranks: Ranks) -> Iterator[MetricsWriter | None]:
    if not ranks.is_first:
        yield None
        return
    with MetricsWriter(folder.path, recipe, step) as writer:
        yield writer


def _size(parameter: Any) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel()))
