"""The learning rate as a pure function of the step, so that there is no schedule state to lose."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Warm-up from 0, then a way down to a floor."""

    kind: Literal["cosine", "linear", "constant"]
    num_steps: int
    num_warmup: int
    #: share of the highest rate that is left at the end
    floor: float

    def share(self, step: int) -> float:
        """Return the share of the highest learning rate at a step.

        Args:
            step: Number of the optimizer step, from 0. The warm-up's first step has the share 1 / ``num_warmup``, its
                last one 1; ``floor`` would be reached right after the last step: none is wasted on a rate of 0.
        """
        if step < self.num_warmup:
            return (step + 1) / self.num_warmup
        if self.kind == "constant":
            return 1.0
        way = max(1, self.num_steps - self.num_warmup)
        done = min(1.0, (step - self.num_warmup) / way)
        down = (1 + math.cos(math.pi * done)) / 2 if self.kind == "cosine" else 1 - done
        return self.floor + (1 - self.floor) * down


def num_warmup(said: int | str, num_steps: int) -> int:
    """Work out the warm-up's length from a number of steps or a share of them all."""
    if isinstance(said, int):
        return min(said, num_steps)
    return round(num_steps * float(said.rstrip("%")) / 100)
