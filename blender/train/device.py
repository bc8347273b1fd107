"""What a device can compute, and how much memory was used."""

import resource
import sys

import torch

#: peak of dense 16-bit arithmetic in FLOP/s, as the maker states it, by a part of the device's name; the first match
_PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H800": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A40": 150e12,
    "A10": 125e12,
    "V100": 125e12,
    "T4": 65e12,
    "4090": 165e12,
    "3090": 71e12,
    "MI300X": 1307e12,
    "MI250": 362e12,
}


def peak_flops(device: torch.device) -> float | None:
    """Return the peak of a device in 16-bit arithmetic, in FLOP/s; None where it is not known, as for CPUs."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in _PEAKS.items() if known in name), None)


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that tensors have taken on a device so far; on CPU, that the process has taken."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
