"""Which of how many processes this is, on which device.

Launchers (``torchrun``, ``deepspeed``) say so in the environment. Without one there is one process, which talks to
nobody: its process group lives in memory, and no port is opened.
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

#: filling caches and reading blends for the first time may keep one rank waiting for another
_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class Ranks:
    """This process among all."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Add up numbers over all ranks, exactly for whole numbers."""
        total = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        added: list[float] = total.tolist()
        return added

    def gather(self, value: Any) -> list[Any]:
        """Give every rank's value to all, in the order of ranks."""
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def agree(self, find: Callable[[], T]) -> T:
        """Let the first rank find something out, and give it to all: file systems may show ranks different things.

        Raises:
            BlenderError: What the first rank raised, on every rank.
        """
        values: list[Any] = [_attempt(find) if self.is_first else None]
        dist.broadcast_object_list(values, src=0)
        if isinstance(values[0], BlenderError):
            raise values[0]
        found: T = values[0]
        return found

    def wait(self) -> None:
        """Wait until all ranks are here."""
        self.sum([0.0])


def _attempt(find: Callable[[], T]) -> T | BlenderError:
    try:
        return find()
    except BlenderError as error:
        return error


def world_size() -> int:
    """Return the number of ranks that the launcher has started, before anything is joined."""
    return int(os.environ.get("WORLD_SIZE", 1))


def join_ranks() -> Ranks:
    """Join the process group that the launcher prepared, or one of this process alone."""
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
        # DeepSpeed asks the environment, too
        os.environ.update(RANK="0", LOCAL_RANK=str(local), WORLD_SIZE="1")
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)
