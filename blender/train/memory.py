"""Memory: how much a process has used at most."""

import resource
import sys

import torch


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that tensors have taken on a device so far; on CPU, that the process has."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
