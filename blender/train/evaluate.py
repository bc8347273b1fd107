"""Loss on the eval splits: over all tokens, and over those of each dataset of each blend."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import torch

from blender.stream.collate import Batch
from blender.stream.loader import StreamLoader
from blender.stream.sampler import START
from blender.train.batches import check_images
from blender.train.events import Evaluated
from blender.train.loop import Runner


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated."""

    loader: StreamLoader
    #: what to call each dataset, by its blend and its own name; the same on every rank
    datasets: Mapping[tuple[str, str], str]
    #: rows of a batch over all ranks, and at most how many in all
    rows: int
    most: int | None

    def run(self, runner: Runner, step: int) -> Evaluated:
        """Evaluate; all ranks together.

        Args:
            runner: The model.
            step: Optimizer steps taken so far.
        """
        begun = time.perf_counter()
        self.loader.position = START
        limit = None if self.most is None else -(-self.most // self.rows)
        places = {name: number for number, name in enumerate(self.datasets)}
        sums = torch.zeros(len(places), 2, dtype=torch.float64)
        runner.engine.eval()
        with torch.no_grad():
            for batch in islice(self.loader, limit):
                check_images(batch, runner.image_positions)
                output = runner.forward(batch)
                _add(sums, batch, output.token_losses.cpu(), output.trained.cpu(), places)
        runner.engine.train()
        added = torch.tensor(runner.ranks.sum(sums.flatten().tolist())).view(-1, 2)
        total, tokens = added.sum(0).tolist()
        losses = {
            name: loss / count
            for name, (loss, count) in zip(self.datasets.values(), added.tolist(), strict=True)
            if count
        }
        return Evaluated(step, total / max(1.0, tokens), losses, int(tokens), time.perf_counter() - begun)


def _add(
    sums: torch.Tensor, batch: Batch, losses: torch.Tensor, trained: torch.Tensor, places: Mapping[tuple[str, str], int]
) -> None:
    """Add token losses and their number to the sums of their samples' datasets."""
    numbers = torch.zeros(batch.segment_ids.shape[0], int(batch.segment_ids.max()) + 1, dtype=torch.int64)
    for row, (datasets, tags) in enumerate(zip(batch.datasets, batch.tags, strict=True)):
        for segment, (dataset, said) in enumerate(zip(datasets, tags, strict=True), 1):
            numbers[row, segment] = places[said.get("blend", ""), dataset]
    segments = batch.segment_ids[trained[:, 0], trained[:, 1]]
    where = numbers[trained[:, 0], segments]
    sums[:, 0].index_add_(0, where, losses.double())
    sums[:, 1].index_add_(0, where, torch.ones(len(where), dtype=torch.float64))
