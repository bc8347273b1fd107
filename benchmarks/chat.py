"""What a round of chat costs when the conversation before it is kept, and when it is computed anew.

The same questions are asked in two sessions with the same model, in turn; one of them forgets keys and values before
every question. Prompts grow by an image each round. The model has real architectures and random weights.
"""

import io
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import report

_ROUNDS, _NEW_TOKENS = 6, 8
_PACKAGES = ("torch", "transformers")


def run(rounds: int = 3) -> str:
    """Measure, and return the results as Markdown.

    Args:
        rounds: How many conversations; medians count.
    """
    from blender.serve.loading import open_model
    from blender.serve.session import Session

    torch.set_num_threads(1)
    images = [_photograph(number) for number in range(_ROUNDS)]
    kept: list[list[tuple[float, int, int]]] = []
    anew: list[list[tuple[float, int, int]]] = []
    with tempfile.TemporaryDirectory(prefix="chat-") as folder:
        loaded = open_model(_write_model(Path(folder)), device="cpu")
        for _ in range(rounds):
            keeping, forgetting = Session(loaded), Session(loaded)
            pairs = [(_ask(keeping, image, False), _ask(forgetting, image, True)) for image in images]
            kept.append([first for first, _ in pairs])
            anew.append([second for _, second in pairs])
    rows = [_row(number, [one[number] for one in kept], [one[number] for one in anew]) for number in range(_ROUNDS)]
    head = ["round", "positions", "computed when kept", "seconds, kept", "seconds, anew", "anew / kept"]
    told = report.circumstances(_PACKAGES, "python -m benchmarks chat")
    shape = f"6 decoder layers, width 384; an image of 256 positions a round; {_NEW_TOKENS} new tokens; one thread."
    return f"{told}\n\n{shape}\n\n{report.table(head, rows)}"


def _ask(session: object, image: bytes, forget: bool) -> tuple[float, int, int]:
    from blender.serve.sampling import Sampling
    from blender.serve.session import Session

    assert isinstance(session, Session)
    if forget:
        session.release()
    answer = session.ask("What is in this image, and how many of them?", [image], sampling=Sampling(_NEW_TOKENS))
    return answer.seconds, answer.num_prompt_tokens, answer.num_prompt_tokens - answer.num_cached_tokens


def _row(number: int, kept: list[tuple[float, int, int]], anew: list[tuple[float, int, int]]) -> list[object]:
    ours, theirs = (statistics.median(seconds for seconds, _, _ in some) for some in (kept, anew))
    _, positions, computed = kept[0]
    return [number + 1, f"{positions:,}", f"{computed:,}", f"{ours:.3f}", f"{theirs:.3f}", f"{theirs / ours:.1f}"]


def _photograph(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).resize((320, 240)).save(content, "JPEG")
    return content.getvalue()


def _write_model(folder: Path) -> Path:
    from blender.model import VisualChatModel, VisualChatProcessor
    from blender.train.tiny_models import make_tiny_parts

    texts = ["What is in this image, and how many of them? ### Question: ### Answer: a red circle\n"] * 50
    language, vision = make_tiny_parts(folder, texts, width=384, layers=6, image_size=224, patch=14)
    model = VisualChatModel.from_parts(language, vision, attention="mmca")
    model.save_pretrained(folder / "model")
    processor = VisualChatProcessor.from_parts(language, vision, model.config, "deepspeed-visualchat")
    processor.save_pretrained(folder / "model")
    return folder / "model"
