"""This process among the ranks of a run: its number, its device, and the collectives that training needs.

Launchers (``torchrun``, ``deepspeed``) describe the ranks in the environment. Without a launcher there is one process;
its process group lives in memory, and no port is opened.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from blender.core.errors import BlenderError

T = TypeVar("T")

#: one rank may wait this long for another, which fills caches or reads blends for the first time
_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class Ranks:
    """This process among the ranks of a run. All ranks must call each method together."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes files and reports events."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Add up numbers over all ranks; exact for whole numbers."""
        total = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in the order of ranks."""
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def on_first(self, call: Callable[[], T]) -> T:
        """Call a function on rank 0 and return its result on all: a file system may show ranks different things.

        Raises:
            BlenderError: What the function raised on rank 0, on every rank.
        """
        results: list[Any] = [_result_or_error(call) if self.is_first else None]
        dist.broadcast_object_list(results, src=0)
        if isinstance(results[0], BlenderError):
            raise results[0]
        result: T = results[0]
        return result

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.sum([0.0])


def _result_or_error(call: Callable[[], T]) -> T | BlenderError:
    try:
        return call()
    except BlenderError as error:
        return error


def join_ranks() -> Ranks:
    """Join the process group of the launcher, or create one of this process alone."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        if "RANK" in os.environ:
            dist.init_process_group(backend, timeout=_TIMEOUT)
        else:
            store = torch._C._distributed_c10d.HashStore()
            dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=_TIMEOUT)
    if dist.get_world_size() == 1:
        # DeepSpeed reads the environment, too
        os.environ.update(RANK="0", LOCAL_RANK=str(local), WORLD_SIZE="1")
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)
