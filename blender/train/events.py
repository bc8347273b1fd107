"""Events of a training run. Commands print them; tests check them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunStarted:
    """Everything is loaded, and the first step follows."""

    name: str
    #: optimizer steps taken before (above 0 when the run resumes)
    step: int
    #: optimizer steps of the whole run
    num_steps: int
    world: int
    device: str
    #: number of trained weights by group
    trained: Mapping[str, int]
    #: number of all weights
    num_weights: int
    #: rows of a step, over all ranks
    rows: int
    #: rows of a micro-batch
    micro: int
    #: micro-batches of each rank in a step
    accumulation: int


@dataclass(frozen=True)
class StepDone:
    """An optimizer step was taken."""

    #: steps taken so far
    step: int
    num_steps: int
    #: mean over the trained tokens of the step
    loss: float


@dataclass(frozen=True)
class MetricsLogged:
    """Figures over the steps since the previous such event."""

    step: int
    #: mean over the trained tokens of these steps
    loss: float
    lr: float
    #: norm of the gradient at the last step, before clipping; None where DeepSpeed does not report it
    grad_norm: float | None
    #: since the beginning of the run, over all ranks
    samples: int
    #: since the beginning of the run, over all ranks
    tokens: int
    epoch: int
    seconds_per_step: float
    samples_per_second: float
    tokens_per_second: float
    #: share of the time spent waiting for data, on the slowest rank
    data_wait_share: float
    #: model FLOPs utilisation; None where the peak of the device is not known
    mfu: float | None
    #: bytes on the fullest device; on CPU, of the largest process
    memory: int
    #: share of positions that are padding
    padding_share: float
    #: share of images whose features were in the cache; None without a cache
    cache_share: float | None


@dataclass(frozen=True)
class EvaluationDone:
    """Loss on the eval splits."""

    step: int
    #: mean over all trained tokens
    loss: float
    #: the same by dataset
    datasets: Mapping[str, float]
    tokens: int
    seconds: float


@dataclass(frozen=True)
class CheckpointSaved:
    """A checkpoint was written."""

    step: int
    path: Path
    seconds: float


@dataclass(frozen=True)
class RunEnded:
    """The run is complete, or a signal stopped it."""

    step: int
    num_steps: int
    #: the signal that stopped it; None when it is complete
    signal: int | None
    #: folder of the final model; None when stopped
    model: Path | None = None
    #: folder of the model with the lowest eval loss, when it is another one
    best: Path | None = None
    #: number of samples that could not be used, by reason
    skipped: Mapping[str, int] = field(default_factory=dict)
    #: the run was complete before, and nothing was trained
    was_complete: bool = False


Event = RunStarted | StepDone | MetricsLogged | EvaluationDone | CheckpointSaved | RunEnded
OnEvent = Callable[[Event], None]
