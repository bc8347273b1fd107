"""What a training step costs with each attention: forward, backward and optimizer of a small model, in turn.

The model has real architectures and random weights: a CLIP tower, the default projector, a Llama. Projector and
embedding are trained, as by default. Half of the positions are images.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks import report

_ATTENTIONS = ("causal", "mmca", "cross")
_WIDTH, _LAYERS = 512, 4
_IMAGES, _POSITIONS, _TEXT = 6, 256, 1536


def run(rounds: int = 5) -> str:
    """Measure, and return the results as Markdown.

    Args:
        rounds: How many steps of each, in turn; medians count, of the process's processor time on a CPU.
    """
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory(prefix="step-") as folder:
        models = {attention: _model(Path(folder), attention, device) for attention in _ATTENTIONS}
    batch = _batch(device)
    seconds: dict[str, list[float]] = {attention: [] for attention in models}
    for turn in range(rounds + 1):
        for attention, (model, optimizer) in models.items():
            taken = _step(model, optimizer, batch)
            if turn:  # the first turn warms up
                seconds[attention].append(taken)
    causal = seconds["causal"]
    rows = [
        [
            name,
            f"{statistics.median(taken):.2f}",
            f"{statistics.median(c / t for c, t in zip(causal, taken, strict=True)):.2f}",
        ]
        for name, taken in seconds.items()
    ]
    told = report.circumstances(("torch", "transformers"), "python -m benchmarks step")
    shape = (
        f"{device}, one thread: a row of {_IMAGES} x {_POSITIONS} image and {_TEXT:,} text positions, "
        f"a Llama of {_LAYERS} layers, width {_WIDTH}; processor seconds."
    )
    return f"{told}\n\n{shape}\n\n{report.table(['attention', 'seconds a step', 'times as fast as causal'], rows)}"


def _model(folder: Path, attention: str, device: str) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    from blender.model import VisualChatModel
    from blender.train.tiny_models import make_tiny_parts

    texts = ["What is in this image? ### Question: ### Answer: a red circle\n"] * 50
    language, vision = make_tiny_parts(
        folder / attention, texts, width=_WIDTH, layers=_LAYERS, image_size=224, patch=14
    )
    model = VisualChatModel.from_parts(language, vision, attention=attention, cross_every=2)  # type: ignore[arg-type]
    model.to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return model, torch.optim.AdamW(trained, lr=1e-4)


def _batch(device: str) -> dict[str, torch.Tensor]:
    """Make one row in which every image stands before an equal part of the text."""
    generator = torch.Generator().manual_seed(0)
    part = _TEXT // _IMAGES
    image = torch.cat([torch.cat([torch.full((_POSITIONS,), n), torch.full((part,), -1)]) for n in range(_IMAGES)])[
        None
    ]
    ids = torch.randint(4, 250, image.shape, generator=generator).masked_fill(image >= 0, 3)
    labels = ids.masked_fill((image >= 0) | (torch.rand(image.shape, generator=generator) < 0.5), -100)
    pixels = torch.randint(0, 256, (_IMAGES, 3, 224, 224), generator=generator, dtype=torch.uint8)
    return {
        "input_ids": ids.to(device),
        "position_ids": torch.arange(image.shape[1])[None],
        "segment_ids": torch.ones_like(image),
        "image_index": image,
        "pixels": pixels.to(device),
        "labels": labels,
    }


def _step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> float:
    clock = time.perf_counter if batch["pixels"].is_cuda else time.process_time
    begun = clock()
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if batch["pixels"].is_cuda:
        torch.cuda.synchronize()
    return clock() - begun
