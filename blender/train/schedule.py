"""The learning rate as a pure function of the step: a run that resumes needs no state of a schedule."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class LearningRateSchedule:
    """Linear warm-up from 0, then decay to a floor."""

    kind: Literal["cosine", "linear", "constant"]
    num_steps: int
    num_warmup: int
    #: share of the highest learning rate that the decay ends at
    floor: float

    def share(self, step: int) -> float:
        """Return the share of the highest learning rate at a step.

        Args:
            step: Number of the optimizer step, from 0. The first step of the warm-up has the share 1 / ``num_warmup``,
                its last step 1. The decay would reach ``floor`` one step after the last one, so that no step has a
                rate of 0.
        """
        if step < self.num_warmup:
            return (step + 1) / self.num_warmup
        if self.kind == "constant":
            return 1.0
        num_decay = max(1, self.num_steps - self.num_warmup)
        progress = min(1.0, (step - self.num_warmup) / num_decay)
        decay = (1 + math.cos(math.pi * progress)) / 2 if self.kind == "cosine" else 1 - progress
        return self.floor + (1 - self.floor) * decay


def num_warmup(warmup: int | str, num_steps: int) -> int:
    """Return the steps of a warm-up, given as a number of steps or as a share of all steps (``"10%"``)."""
    if isinstance(warmup, int):
        return min(warmup, num_steps)
    return round(num_steps * float(warmup.rstrip("%")) / 100)
