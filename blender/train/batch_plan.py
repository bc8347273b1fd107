"""How a global batch is divided among ranks and micro-batches."""

from dataclasses import dataclass

from blender.core.errors import TrainError


@dataclass(frozen=True)
class BatchPlan:
    """Rows of a step: ``rows = micro * accumulation * world``."""

    #: rows of a step, over all ranks
    rows: int
    #: rows of a micro-batch: one forward pass of one rank
    micro: int
    #: micro-batches of one rank in a step
    accumulation: int
    world: int

    @property
    def rows_per_rank(self) -> int:
        """Rows of a step on one rank."""
        return self.micro * self.accumulation


def plan_batch(rows: int, micro: int, world: int) -> BatchPlan:
    """Divide a global batch.

    Args:
        rows: Rows of a step, over all ranks.
        micro: Rows of a micro-batch.
        world: Number of ranks.

    Raises:
        TrainError: The rows do not divide evenly among the ranks, or into such micro-batches.
    """
    if rows % world:
        divisors = [number for number in range(1, world + 1) if rows % number == 0]
        raise TrainError(
            f"a global batch of {rows} rows cannot be divided among {world} ranks",
            f"start {divisors[-1]} ranks, or set batch.global to {rows // world * world or world}",
        )
    share = rows // world
    if share % micro:
        divisors = [number for number in range(1, min(micro, share) + 1) if share % number == 0]
        raise TrainError(
            f"the {share} rows of each of {world} ranks cannot be cut into micro-batches of {micro}",
            f"set batch.micro to {divisors[-1]}",
        )
    return BatchPlan(rows, micro, share // micro, world)
