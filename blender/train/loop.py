"""The training loop: take a global batch, go through its micro-batches, step; now and then evaluate, log, save.

The loss of a step is the sum of its tokens' losses over the number of trained tokens of the whole global batch. So the
batch is cut, counted and counted together over all ranks before anything is worked out. DeepSpeed averages gradients
over ranks; each rank multiplies by their number.
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
from blender.train.arithmetic import BatchPlan
from blender.train.batches import check_images, micro_batches, num_trained
from blender.train.flops import Arithmetic
from blender.train.ranks import Ranks
from blender.train.schedule import Schedule
from blender.train.vision_cache import VisionCache

#: most keys that a message names
_MOST_KEYS = 8


@dataclass
class Totals:
    """Sums over steps, of this rank alone unless said."""

    steps: int = 0
    seconds: float = 0.0
    #: of them, waiting for data
    waited: float = 0.0
    #: of losses, over all ranks
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
    """A model in DeepSpeed's engine, fed with micro-batches."""

    engine: Any
    ranks: Ranks
    #: positions that an image takes
    image_positions: int
    cache: VisionCache | None = None

    def forward(self, batch: Batch) -> Any:
        """Run the model on a micro-batch with labels."""
        device = self.ranks.device
        shown: dict[str, torch.Tensor] = {}
        if self.cache is not None and len(batch.pixels):
            shown["features"] = self.cache.features(batch.pixels, device)
        else:
            shown["pixels"] = batch.pixels.to(device, non_blocking=True)
        # layouts are worked out on the CPU: what says where things stand stays there
        return self.engine(
            batch.input_ids.to(device, non_blocking=True),
            position_ids=batch.position_ids,
            segment_ids=batch.segment_ids,
            image_index=batch.image_index,
            labels=batch.labels,
            **shown,
        )


@dataclass
class Loop:
    """Takes steps."""

    runner: Runner
    loader: StreamLoader
    plan: BatchPlan
    schedule: Schedule
    arithmetic: Arithmetic
    seed: int
    #: the next step, from 0
    step: int = 0
    #: over all ranks, since the run's beginning
    samples: int = 0
    tokens: int = 0
    totals: Totals = field(default_factory=Totals)
    #: mean loss of a trained token in the latest step
    loss: float = 0.0
    #: asked each step: the number of the signal that wants the run to stop, or 0
    wants_stop: Any = lambda: 0

    def __post_init__(self) -> None:
        self._batches = _endless(self.loader)
        self._rates = [group["lr"] for group in _optimizer_groups(self.runner.engine)]

    def take_step(self) -> int:
        """Take one optimizer step.

        Returns:
            The largest number of a signal that any rank was sent; 0 without one.

        Raises:
            TrainError: The loss is not a number; names the samples.
        """
        begun = time.perf_counter()
        batch = next(self._batches)
        waited = time.perf_counter() - begun
        parts = micro_batches(batch, self.plan.micro)
        for part in parts:
            check_images(part, self.runner.image_positions)
        own = [num_trained(batch), sum(map(len, batch.keys)), batch.num_tokens]
        ranks = self.runner.ranks
        trained, samples, tokens, *signals = ranks.sum([*own, *_one_hot(self.wants_stop())])
        loss = self._learn(parts, int(trained))
        self.loss = loss / max(1.0, trained)
        self.step += 1
        self.samples += int(samples)
        self.tokens += int(tokens)
        self._count(batch, parts, loss, int(trained), time.perf_counter() - begun, waited)
        return max((number for number, count in enumerate(signals) if count), default=0)

    def _learn(self, parts: list[Batch], trained: int) -> float:
        """Go forward and backward through the micro-batches and step; returns the sum of losses over all ranks."""
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
                self.totals.grad_norm = _grad_norm(engine)
            engine.step()
        return total

    def _check_finite(self, total: float, parts: list[Batch], outputs: Sequence[tuple[torch.Tensor, ...]]) -> None:
        """Stop before a loss that is no number reaches the weights."""
        if torch.isfinite(torch.tensor(total)):
            return
        mine = []
        for part, (_, losses, trained) in zip(parts, outputs, strict=True):
            for row, position in trained[~torch.isfinite(losses)].tolist():
                segment = int(part.segment_ids[row, position]) - 1
                mine.append((part.tags[row][segment].get("blend", ""), part.keys[row][segment]))
        found = dict.fromkeys(name for names in self.runner.ranks.gather(mine) for name in names)
        named = [f"{key} of {blend}" if blend else key for blend, key in list(found)[:_MOST_KEYS]]
        more = f" and {len(found) - _MOST_KEYS} more" if len(found) > _MOST_KEYS else ""
        raise TrainError(
            f"the loss is no number at step {self.step + 1}, in {', '.join(named)}{more}",
            "look at these samples, lower optimizer.lr, or use bf16 instead of fp16; the last checkpoint is whole",
        )

    def _count(
        self, batch: Batch, parts: list[Batch], loss: float, trained: int, seconds: float, waited: float
    ) -> None:
        totals = self.totals
        totals.grad_norm = _norm_after(self.runner.engine, totals.grad_norm)
        totals.steps += 1
        totals.seconds += seconds
        totals.waited += waited
        totals.loss += loss
        totals.trained += trained
        totals.samples += sum(map(len, batch.keys))
        totals.tokens += batch.num_tokens
        totals.positions += sum(part.segment_ids.numel() for part in parts)
        totals.flops += sum(self.arithmetic.of(part, num_trained(part)) for part in parts)


def _endless(loader: StreamLoader) -> Iterator[Batch]:
    while True:
        yield from loader


#: highest number of a signal
_SIGNALS = 64


def _one_hot(signal: int) -> list[float]:
    hot = [0.0] * _SIGNALS
    if signal:
        hot[signal] = 1.0
    return hot


def _seed(seed: int, step: int, rank: int) -> None:
    """Make what is drawn in a step (dropout) depend on nothing that came before it."""
    torch.manual_seed(int(generator(seed, "step", step, rank).integers(2**63)))


def _optimizer_groups(engine: Any) -> Any:
    return engine.optimizer.param_groups


def _grad_norm(engine: Any) -> float | None:
    """Return the length of the gradient before a step, where DeepSpeed does not tell it afterwards (stage 0)."""
    if hasattr(engine.optimizer, "_global_grad_norm"):
        return None
    gradients = [
        weight.grad for group in _optimizer_groups(engine) for weight in group["params"] if weight.grad is not None
    ]
    return float(torch.nn.utils.get_total_norm(gradients))


def _norm_after(engine: Any, before: float | None) -> float | None:
    norm = engine.get_global_grad_norm() if before is None else before
    return None if norm is None else float(norm)
