"""Loss on the eval splits: over all trained tokens, and over those of each dataset of each blend."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch

from blender.stream.collate import Batch
from blender.stream.loader import StreamLoader
from blender.stream.sampler import START
from blender.train.events import EvaluationDone
from blender.train.loop import Runner
from blender.train.micro_batches import check_images


@dataclass(frozen=True)
class Evaluator:
    """Evaluates the model of a run on the eval splits."""

    loader: StreamLoader
    #: display name of each dataset, by its blend and its own name; the same on every rank
    datasets: Mapping[tuple[str, str], str]
    #: rows of a batch, over all ranks
    rows: int
    #: rows that are evaluated at most; None for all
    max_rows: int | None

    def run(self, runner: Runner, step: int) -> EvaluationDone:
        """Evaluate; all ranks must call this together.

        Args:
            runner: Runs the model.
            step: Optimizer steps taken so far.
        """
        begin = time.perf_counter()
        self.loader.position = START
        limit = None if self.max_rows is None else -(-self.max_rows // self.rows)
        numbers = {name: number for number, name in enumerate(self.datasets)}
        sums = torch.zeros(len(numbers), 2, dtype=torch.float64)
        runner.engine.eval()
        with torch.no_grad():
            for batch in islice(self.loader, limit):
                check_images(batch, runner.image_positions)
                output = runner.forward(batch)
                _add(sums, batch, output.token_losses.cpu(), output.trained.cpu(), numbers)
        runner.engine.train()
        totals = torch.tensor(runner.ranks.sum(sums.flatten().tolist())).view(-1, 2)
        total, tokens = totals.sum(0).tolist()
        losses = {
            name: loss / count
            for name, (loss, count) in zip(self.datasets.values(), totals.tolist(), strict=True)
            if count
        }
        return EvaluationDone(step, total / max(1.0, tokens), losses, int(tokens), time.perf_counter() - begin)


def _add(
    sums: torch.Tensor,
    batch: Batch,
    losses: torch.Tensor,
    trained: torch.Tensor,
    numbers: Mapping[tuple[str, str], int],
) -> None:
    """Add token losses and their count to the sums (datasets, 2) of the samples' datasets."""
    of_segment = torch.zeros(batch.segment_ids.shape[0], int(batch.segment_ids.max()) + 1, dtype=torch.int64)
    for row, (datasets, tags) in enumerate(zip(batch.datasets, batch.tags, strict=True)):
        for segment, (dataset, tag) in enumerate(zip(datasets, tags, strict=True), 1):
            of_segment[row, segment] = numbers[tag.get("blend", ""), dataset]
    segments = batch.segment_ids[trained[:, 0], trained[:, 1]]
    datasets_of_losses = of_segment[trained[:, 0], segments]
    sums[:, 0].index_add_(0, datasets_of_losses, losses.double())
    sums[:, 1].index_add_(0, datasets_of_losses, torch.ones(len(losses), dtype=torch.float64))
