"""The optimizer step: take a global batch, run its micro-batches forward and backward, update the weights.

The loss of a step is the sum of its token losses divided by the number of trained tokens of the whole global batch,
which is therefore counted over all ranks before the first forward pass. DeepSpeed averages gradients over ranks, so
each rank multiplies its loss by their number.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from blender.core.errors import TrainError
from blender.core.randomness import generator
from blender.stream.collate import Batch
from blender.stream.loader import StreamLoader
from blender.train.batch_plan import BatchPlan
from blender.train.deepspeed_internals import grad_norm_before_step
from blender.train.distributed import Ranks
from blender.train.flops import ModelFlops
from blender.train.micro_batches import check_images, micro_batches, num_trained
from blender.train.schedule import LearningRateSchedule
from blender.train.vision_cache import VisionCache

#: samples that a message names, at most
_MAX_NAMED = 8


@dataclass
class Totals:
    """Sums over steps; of this rank where nothing else is stated."""

    steps: int = 0
    seconds: float = 0.0
    #: seconds spent waiting for data
    data_wait: float = 0.0
    #: sum of token losses, over all ranks
    loss: float = 0.0
    #: trained tokens, over all ranks
    trained: int = 0
    samples: int = 0
    tokens: int = 0
    positions: int = 0
    flops: float = 0.0
    grad_norm: float | None = None


@dataclass
class Runner:
    """Runs micro-batches through the model in DeepSpeed's engine."""

    engine: Any
    ranks: Ranks
    #: positions of an image in the model
    image_positions: int
    cache: VisionCache | None = None

    def forward(self, batch: Batch) -> Any:
        """Return the model's output for a micro-batch, with its token losses."""
        device = self.ranks.device
        images: dict[str, torch.Tensor] = {}
        if self.cache is not None and len(batch.pixels):
            images["features"] = self.cache.features(batch.pixels, device)
        else:
            images["pixels"] = batch.pixels.to(device, non_blocking=True)
        # the attention layout is computed on the CPU, so the tensors that describe it stay there
        return self.engine(
            batch.input_ids.to(device, non_blocking=True),
            position_ids=batch.position_ids,
            segment_ids=batch.segment_ids,
            image_index=batch.image_index,
            labels=batch.labels,
            **images,
        )


@dataclass
class Loop:
    """Takes optimizer steps, and counts what they took."""

    runner: Runner
    loader: StreamLoader
    plan: BatchPlan
    schedule: LearningRateSchedule
    flops: ModelFlops
    seed: int
    #: the next step, from 0
    step: int = 0
    #: since the beginning of the run, over all ranks
    samples: int = 0
    #: since the beginning of the run, over all ranks
    tokens: int = 0
    totals: Totals = field(default_factory=Totals)
    #: mean over the trained tokens of the latest step
    loss: float = 0.0
    #: called every step: the number of the signal that stops the run, or 0
    stop_signal: Any = lambda: 0

    def __post_init__(self) -> None:
        self._batches = _endless(self.loader)
        self._rates = [group["lr"] for group in _optimizer_groups(self.runner.engine)]

    def take_step(self) -> int:
        """Take one optimizer step.

        Returns:
            The highest number of a signal that any rank has received; 0 without one.

        Raises:
            TrainError: The loss is not finite; names the samples.
        """
        begin = time.perf_counter()
        batch = next(self._batches)
        data_wait = time.perf_counter() - begin
        parts = micro_batches(batch, self.plan.micro)
        for part in parts:
            check_images(part, self.runner.image_positions)
        own = [num_trained(batch), sum(map(len, batch.keys)), batch.num_tokens]
        ranks = self.runner.ranks
        trained, samples, tokens, *signals = ranks.sum([*own, *_one_hot(self.stop_signal())])
        loss = self._update(parts, int(trained))
        self.loss = loss / max(1.0, trained)
        self.step += 1
        self.samples += int(samples)
        self.tokens += int(tokens)
        self._count(batch, parts, loss, int(trained), time.perf_counter() - begin, data_wait)
        return max((number for number, count in enumerate(signals) if count), default=0)

    def _update(self, parts: list[Batch], trained: int) -> float:
        """Run the micro-batches forward and backward and step; returns the sum of token losses over all ranks."""
        engine, ranks = self.runner.engine, self.runner.ranks
        _seed(self.seed, self.step, ranks.rank)
        for group, rate in zip(_optimizer_groups(engine), self._rates, strict=True):
            group["lr"] = rate * self.schedule.share(self.step)
        engine.train()
        outputs = []
        for number, part in enumerate(parts, 1):
            output = self.runner.forward(part)
            loss = output.token_losses.sum()
            engine.backward(loss * (ranks.world / max(1, trained)), scale_wrt_gas=False)
            outputs.append((loss.detach(), output.token_losses.detach(), output.trained))
            if number == len(parts):
                total = ranks.sum([sum(float(part_loss) for part_loss, *_ in outputs)])[0]
                self._check_finite(total, parts, outputs)
                self.totals.grad_norm = grad_norm_before_step(engine)
            engine.step()
        return total

    def _check_finite(self, total: float, parts: list[Batch], outputs: Sequence[tuple[torch.Tensor, ...]]) -> None:
        """Stop before a loss that is not finite reaches the weights."""
        if torch.isfinite(torch.tensor(total)):
            return
        own = []
        for part, (_, losses, trained) in zip(parts, outputs, strict=True):
            for row, position in trained[~torch.isfinite(losses)].tolist():
                segment = int(part.segment_ids[row, position]) - 1
                own.append((part.tags[row][segment].get("blend", ""), part.keys[row][segment]))
        samples = dict.fromkeys(name for names in self.runner.ranks.gather(own) for name in names)
        named = [f"{key} of {blend}" if blend else key for blend, key in list(samples)[:_MAX_NAMED]]
        more = f" and {len(samples) - _MAX_NAMED} more" if len(samples) > _MAX_NAMED else ""
        raise TrainError(
            f"the loss is no number at step {self.step + 1}, in {', '.join(named)}{more}",
            "look at these samples, lower optimizer.lr, or use bf16 instead of fp16; the last checkpoint is whole",
        )

    def _count(
        self, batch: Batch, parts: list[Batch], loss: float, trained: int, seconds: float, data_wait: float
    ) -> None:
        totals = self.totals
        totals.grad_norm = _norm_after_step(self.runner.engine, totals.grad_norm)
        totals.steps += 1
        totals.seconds += seconds
        totals.data_wait += data_wait
        totals.loss += loss
        totals.trained += trained
        totals.samples += sum(map(len, batch.keys))
        totals.tokens += batch.num_tokens
        totals.positions += sum(part.segment_ids.numel() for part in parts)
        totals.flops += sum(self.flops.of(part, num_trained(part)) for part in parts)


def _endless(loader: StreamLoader) -> Iterator[Batch]:
    while True:
        yield from loader


#: signals have lower numbers
_SIGNALS = 64


def _one_hot(signal: int) -> list[float]:
    hot = [0.0] * _SIGNALS
    if signal:
        hot[signal] = 1.0
    return hot


def _seed(seed: int, step: int, rank: int) -> None:
    """Seed the random numbers of a step (dropout), so that they do not depend on earlier steps."""
    torch.manual_seed(int(generator(seed, "step", step, rank).integers(2**63)))


def _optimizer_groups(engine: Any) -> Any:
    return engine.optimizer.param_groups


def _norm_after_step(engine: Any, before: float | None) -> float | None:
    norm = engine.get_global_grad_norm() if before is None else before
    return None if norm is None else float(norm)
