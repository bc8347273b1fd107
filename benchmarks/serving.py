"""``python -m benchmarks.serving``: many clients at once for a while, on a tiny model.

What is measured is the server and not the model: the queue, the batches, the streams. Clients are threads of another
process; each asks, waits for its whole answer, and asks again: short and long, with images and without, some of them
going on with the conversation. Told are errors, waiting, how evenly clients were served, and memory early and late, so
that a leak would show.
"""

import argparse
import base64
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import IO
from urllib.parse import urlsplit

from PIL import Image

from benchmarks import report

ROOT = Path(__file__).parents[1]
_PACKAGES = ("torch", "transformers", "fastapi", "uvicorn")
_WORDS = ("what", "is", "shown", "in", "image", "one", "two", "how", "do", "they", "differ", "red", "or", "blue")


@dataclass
class Client:
    """One client, and what it went through."""

    name: str
    #: seconds to the first text, and to the end, of each answer
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    num_tokens: int = 0
    errors: list[str] = field(default_factory=list)


def make_model(folder: Path, positions: int | None = None) -> Path:
    """Write a tiny model with random weights; return its folder.

    Args:
        folder: Where it is written.
        positions: Longest conversation; the default of the tiny model if None.
    """
    from blender.model import VisualChatModel, VisualChatProcessor
    from blender.train.tiny_models import make_tiny_parts

    language, vision = make_tiny_parts(folder, [" ".join(_WORDS)] * 10)
    model = VisualChatModel.from_parts(language, vision, seed=0)
    if positions is not None:
        model.config.text_config.max_position_embeddings = positions
    model.save_pretrained(folder / "model")
    processor = VisualChatProcessor.from_parts(language, vision, model.config, "deepspeed-visualchat")
    processor.save_pretrained(folder / "model")
    return folder / "model"


@contextmanager
def serving(model: Path, *options: str, complaints: IO[str] | None = None) -> Iterator[str]:
    """Serve a model in a process of its own; yield its address.

    Args:
        model: The model's folder.
        options: Further options of `visualchat serve`.
        complaints: Where standard error goes; to this process' own by default.
    """
    command = [sys.executable, ROOT / "cli.py", "serve", model, "--port", "0", "--name", "tiny", *options]
    # with as many clients as this, more threads for one tiny matrix cost more than they bring
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=complaints, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def run_client(client: Client, url: str, until: float, pictures: list[str]) -> None:
    """Ask again and again until a time."""
    draw = random.Random(client.name)
    address = urlsplit(url).netloc
    history: list[dict[str, object]] = []
    while time.monotonic() < until:
        if len(history) >= 6 or draw.random() < 0.5:
            history = []
        shown = [
            {"type": "image_url", "image_url": {"url": draw.choice(pictures)}} for _ in range(draw.choice((0, 0, 1, 2)))
        ]
        question = " ".join(draw.choices(_WORDS, k=draw.randint(3, 20)))
        history.append({"role": "user", "content": [*shown, {"type": "text", "text": question}]})
        body = {
            "model": "tiny",
            "messages": history,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": draw.choice((8, 16, 32, 64)),
            "user": client.name,
        }
        try:
            history.append({"role": "assistant", "content": _ask(client, address, body)})
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            client.errors.append(f"{type(error).__name__}: {error}")
            history = []


def _ask(client: Client, address: str, body: dict[str, object]) -> str:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.read().decode()}")
    text, first, ended = "", None, False
    for line in answer:
        if line.startswith(b"data: [DONE]"):
            ended = True
        elif line.startswith(b"data: "):
            piece = json.loads(line[6:])
            if "error" in piece:
                raise RuntimeError(piece["error"]["message"])
            words = piece["choices"][0]["delta"].get("content") if piece["choices"] else None
            first = first or (time.monotonic() - begun if words else None)
            text += words or ""
            client.num_tokens += (piece.get("usage") or {}).get("completion_tokens", 0)
    connection.close()
    if not ended:
        raise RuntimeError("the stream ended early")
    whole = time.monotonic() - begun
    client.first.append(first or whole)
    client.whole.append(whole)
    return text


def _pictures() -> list[str]:
    draw, made = random.Random(0), []
    for _ in range(8):
        content = BytesIO()
        Image.frombytes("RGB", (80, 60), draw.randbytes(80 * 60 * 3)).resize((640, 480)).save(content, "JPEG")
        made.append(f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}")
    return made


def _metrics(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (re.split(r" (?=\S+$)", line) for line in lines if line[0] != "#")}


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def measure(num_clients: int, seconds: float, batch: int) -> list[list[object]]:
    """Let clients ask for a while; return rows of a table."""
    clients = [Client(f"client-{number}") for number in range(num_clients)]
    pictures = _pictures()
    with (
        tempfile.TemporaryDirectory(prefix="serving-") as name,
        serving(make_model(Path(name)), "--max-batch", str(batch)) as url,
    ):
        # the first questions fill what is filled once
        warm = Client("warm")
        run_client(warm, url, time.monotonic() + min(5, seconds / 4), pictures)
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=run_client, args=(one, url, until, pictures)) for one in clients]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 4)
        early = _metrics(url)
        for thread in threads:
            thread.join()
        late = _metrics(url)
    return _rows(clients, seconds, early, late)


def _rows(clients: list[Client], seconds: float, early: dict[str, float], late: dict[str, float]) -> list[list[object]]:
    errors = [error for client in clients for error in client.errors]
    for error in sorted(set(errors))[:5]:
        print(f"error: {error}", file=sys.stderr)
    whole = [value for client in clients for value in client.whole]
    first = [value for client in clients for value in client.first]
    counts = [len(client.whole) for client in clients]
    jain = sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts))
    memory = [figures["process_resident_memory_bytes"] / 1e6 for figures in (early, late)]
    files = [int(figures["process_open_fds"]) for figures in (early, late)]
    together = [
        late[f"visualchat_batch_size_{name}"] - early[f"visualchat_batch_size_{name}"] for name in ("sum", "count")
    ]
    return [
        ["answers", f"{len(whole):,} in {seconds:.0f} s ({len(whole) / seconds:.1f} a second)"],
        ["errors", len(errors)],
        ["tokens a second", f"{sum(client.num_tokens for client in clients) / seconds:,.0f}"],
        ["answered together, mean", f"{together[0] / together[1]:.1f}"],
        ["until the first text: median, p95", f"{median(first):.2f} s, {_percentile(first, 0.95):.2f} s"],
        ["until the end: median, p95", f"{median(whole):.2f} s, {_percentile(whole, 0.95):.2f} s"],
        ["answers of a client: fewest, most", f"{min(counts)}, {max(counts)} (Jain's fairness {jain:.3f})"],
        ["memory after a quarter of the time, at the end", f"{memory[0]:.0f} MB, {memory[1]:.0f} MB"],
        ["open files during it, after it", f"{files[0]}, {files[1]}"],
    ]


def main() -> None:
    """Measure, print and, with ``--keep``, keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--batch", type=int, default=8, help="questions answered together at most")
    parser.add_argument("--keep", action="store_true", help="put the results into benchmarks/RESULTS.md")
    options = parser.parse_args()
    rows = measure(options.clients, options.seconds, options.batch)
    command = f"python -m benchmarks.serving --clients {options.clients} --seconds {options.seconds:.0f}"
    told = report.circumstances(_PACKAGES, f"{command} --batch {options.batch}")
    text = f"{told}\n\n{report.table(['what', 'measured'], rows)}"
    print(text)
    if options.keep:
        report.keep("serving", text)


if __name__ == "__main__":
    main()
