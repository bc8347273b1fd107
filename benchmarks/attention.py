"""``python -m benchmarks.attention``: one attention layer, forward and backward, three ways in the same run.

``causal`` is PyTorch's own attention over all positions, what any decoder does. ``plain lines`` is the formula of
``mmca`` written out, with masks over all pairs of positions, as the released code has it. ``fast`` is what the model
runs. Rounds are interleaved; a figure is the median of its rounds: the clock's on a GPU, and processor time on a CPU,
which others may be using. Memory is what PyTorch holds at most beside queries, keys and values.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks import report
from blender.model.block_attention import attend_blocks
from blender.model.block_layout import arrange_packed
from blender.model.mmca_reference import mmca_reference

_IMAGES, _IMAGE = 8, 256
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """Eight images of 256 positions, each followed by an eighth of the text."""

    num_text: int
    num_heads: int
    width: int
    dtype: torch.dtype
    device: str

    @property
    def image_index(self) -> torch.Tensor:
        """(1, T): which image has its features at each position; -1 at text."""
        each = [*range(_IMAGE)], [-1] * (self.num_text // _IMAGES)
        numbers = [number if place >= 0 else -1 for number in range(_IMAGES) for part in each for place in part]
        return torch.tensor([numbers])

    def tensors(self) -> list[torch.Tensor]:
        """Queries, keys, values and what the output is multiplied with, (1, H, T, D)."""
        generator = torch.Generator().manual_seed(0)
        shape = 1, self.num_heads, self.image_index.shape[1], self.width
        made = [torch.randn(shape, generator=generator).to(self.device, self.dtype) for _ in range(4)]
        return [*(tensor.requires_grad_() for tensor in made[:3]), made[3]]

    def ways(self) -> dict[str, Attend]:
        """The three ways; the fast one wants and gives positions in the order of its layout."""
        index = self.image_index
        segments = torch.ones_like(index)
        layout = arrange_packed(segments, index, "mmca")
        on_device = segments.to(self.device), (index >= 0).to(self.device)
        return {
            "causal": lambda query, key, value: scaled_dot_product_attention(query, key, value, is_causal=True),
            "fast": lambda query, key, value: attend_blocks(query, key, value, layout).transpose(1, 2),
            "plain lines": lambda query, key, value: mmca_reference(query, key, value, *on_device),
        }


def _step(attend: Attend, tensors: list[torch.Tensor]) -> None:
    *inputs, weights = tensors
    for tensor in inputs:
        tensor.grad = None
    torch.dot(attend(*inputs).flatten(), weights.flatten()).backward()


def _seconds(attend: Attend, tensors: list[torch.Tensor]) -> float:
    if not tensors[0].is_cuda:
        begun = time.process_time()
        _step(attend, tensors)
        return time.process_time() - begun
    torch.cuda.synchronize()
    begun = time.perf_counter()
    _step(attend, tensors)
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def _peak_bytes(attend: Attend, tensors: list[torch.Tensor]) -> int:
    for tensor in tensors:
        tensor.grad = None
    if tensors[0].is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        _step(attend, tensors)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        _step(attend, tensors)
    changes = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = largest = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        largest = max(largest, held)
    return largest


def measure(case: Case, rounds: int) -> list[list[str]]:
    """Return a row per way: milliseconds, times as fast as causal, peak megabytes."""
    tensors, ways = case.tensors(), case.ways()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, attend in ways.items():
            seconds = _seconds(attend, tensors)
            if number:
                taken[name].append(seconds)
    middle = {name: statistics.median(times) for name, times in taken.items()}
    return [
        [
            f"{_IMAGES} x {_IMAGE} image, {case.num_text} text: {name}",
            f"{1e3 * middle[name]:.1f}",
            f"{middle['causal'] / middle[name]:.2f}",
            f"{_peak_bytes(attend, tensors) / 2**20:.0f}",
        ]
        for name, attend in ways.items()
    ]


def run(rounds: int, small: bool) -> str:
    """Measure and return a Markdown table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    heads, width = (8, 64) if small else (32, 128)
    rows = []
    for num_text in (2048, 512):
        rows += measure(Case(num_text, heads, width, dtype, device), rounds)
    where = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    told = report.circumstances(("torch",), f"python -m benchmarks.attention{' --small' if small else ''}")
    head = ("positions: way", "ms", "times as fast as causal", "peak MB")
    return f"{told}\n{where}, {heads} heads x {width}, {dtype}\n\n{report.table(head, rows)}"


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measure each so many times, in turn")
    parser.add_argument("--small", action="store_true", help="8 heads of 64 in place of 32 of 128")
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--keep", action="store_true", help="put the results into benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = run(options.rounds, options.small)
    print(text)
    if options.keep:
        report.keep("attention", text)


if __name__ == "__main__":
    main()
