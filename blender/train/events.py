"""What a run tells while it goes on; commands show it, tests look at it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Begun:
    """A run is about to take its first step."""

    name: str
    #: optimizer steps that were taken before, and in all
    step: int
    num_steps: int
    world: int
    device: str
    #: trained weights by group, and all weights
    trained: Mapping[str, int]
    num_weights: int
    #: rows of a step, of a micro-batch, and micro-batches of a rank
    rows: int
    micro: int
    accumulation: int


@dataclass(frozen=True)
class Stepped:
    """An optimizer step was taken."""

    #: steps taken so far
    step: int
    num_steps: int
    loss: float


@dataclass(frozen=True)
class Logged:
    """Figures of the steps since the last ones, means over them."""

    step: int
    #: mean loss of a trained token over these steps
    loss: float
    lr: float
    #: length of the gradient at the last step, before clipping; None where DeepSpeed does not know it
    grad_norm: float | None
    #: since the run's beginning, over all ranks
    samples: int
    tokens: int
    epoch: int
    seconds_per_step: float
    samples_per_second: float
    tokens_per_second: float
    #: share of the time spent waiting for data, on the slowest rank
    data_wait_share: float
    #: share of the devices' peak that the model's arithmetic made use of; None where the peak is not known
    mfu: float | None
    #: bytes on the fullest device, or of the largest process on CPU
    memory: int
    #: share of positions that are padding
    padding_share: float
    #: share of images whose features were kept; None without a cache
    cache_share: float | None


@dataclass(frozen=True)
class Evaluated:
    """Loss on the eval splits."""

    step: int
    loss: float
    datasets: Mapping[str, float]
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    path: Path
    seconds: float


@dataclass(frozen=True)
class Ended:
    """The run has come to its end, or to a stop."""

    step: int
    num_steps: int
    #: signal that stopped it; None at the end
    signal: int | None
    #: folder of the final model, and of the best one when it is another; None when stopped
    model: Path | None = None
    best: Path | None = None
    #: samples that could not be used, by reason
    skipped: Mapping[str, int] = field(default_factory=dict)
    #: nothing was to be done
    was_complete: bool = False


Event = Begun | Stepped | Logged | Evaluated | Saved | Ended
Tell = Callable[[Event], None]
