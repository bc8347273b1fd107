"""``python -m benchmarks.waiting``: how long one client waits while others send slowly, or much, on a tiny model.

One client asks the same question again and again, at first of an idle server, then while another process of this
machine holds 80 bodies that do not come, 1,500 heads that are half sent, keeps 100 questions of one user waiting, or
asks with prompts of 60,000 tokens. The table gives the client's seconds until the end of its answer, and the ratio of
their median to the idle server's.
"""

import argparse
import http.client
import json
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import report
from benchmarks.serving import make_model, serving

_PACKAGES = ("torch", "transformers", "fastapi", "uvicorn", "h11", "pebble")
_BODIES, _HEADS, _QUESTIONS = 80, 1_500, 100
#: words of a long prompt, each about a token, and the positions of the model
_WORDS, _POSITIONS = 60_000, 100_000
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

Crowd = Callable[[str], AbstractContextManager[None]]


def ask(url: str, user: str, tokens: int, text: str = "what is shown in image one") -> int:
    """Ask once; return the status."""
    question = {"role": "user", "content": text}
    body = {"model": "tiny", "messages": [question], "max_tokens": tokens, "temperature": 0, "user": user}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def waits(url: str, rounds: int) -> list[float]:
    """Ask again and again, with a pause; return the seconds that each answer took."""
    found = []
    for _ in range(rounds):
        time.sleep(0.1)
        begun = time.monotonic()
        status = ask(url, "modest", 32)
        found.append(time.monotonic() - begun if status == 200 else float("inf"))
    return found


@contextmanager
def holding(url: str, num: int, content: bytes) -> Iterator[None]:
    """Open connections that send this, and then nothing."""
    address = urlsplit(url)
    with ExitStack() as stack:
        for _ in range(num):
            with suppress(OSError):
                opened = stack.enter_context(socket.create_connection((address.hostname or "", address.port or 80)))
                opened.sendall(content)
        yield


@contextmanager
def asking(url: str, num: int, text: str) -> Iterator[None]:
    """Keep questions of one user waiting."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            with suppress(OSError, http.client.HTTPException):
                # a refused client waits before it asks again: 100 threads of this process need the same cores
                if ask(url, "greedy", 64, text) != 200:
                    over.wait(1)

    threads = [threading.Thread(target=run) for _ in range(num)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def measure(rounds: int) -> list[list[object]]:
    """Measure all crowds; return rows of a table."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowds: dict[str, Crowd] = {
        "nobody": lambda _: nullcontext(),
        f"{_BODIES} bodies that do not come": lambda url: holding(
            url, _BODIES, _HEAD + b"Content-Length: 100000\r\n\r\n{"
        ),
        f"{_HEADS:,} half-sent heads": lambda url: holding(url, _HEADS, _HEAD),
        f"{_QUESTIONS} questions of one user": lambda url: asking(url, _QUESTIONS, "what is shown in image one"),
        f"prompts of {_WORDS:,} tokens": lambda url: asking(url, 1, "red " * _WORDS),
    }
    rows, idle = list[list[object]](), 0.0
    with tempfile.TemporaryDirectory(prefix="waiting-") as name, serving(make_model(Path(name), _POSITIONS)) as url:
        # the server keeps the limit that it began with
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096) if hard >= 0 else 4_096, hard))
        waits(url, 3)
        for told, crowd in crowds.items():
            with crowd(url):
                found = waits(url, rounds)
            middle, worst = median(found), sorted(found)[int(0.9 * len(found))]
            idle = idle or middle
            rows.append([told, f"{middle:.2f} s", f"{worst:.2f} s", f"{middle / idle:.2f}"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return rows


def main() -> None:
    """Measure, print and, with ``--keep``, keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="put the results into benchmarks/RESULTS.md")
    options = parser.parse_args()
    rows = measure(options.rounds)
    told = report.circumstances(_PACKAGES, f"python -m benchmarks.waiting --rounds {options.rounds}")
    head = ["meanwhile there is", "wait, median", "90th percentile", "ratio to an idle server"]
    text = f"{told}\n\n{report.table(head, rows)}"
    print(text)
    if options.keep:
        report.keep("waiting", text)


if __name__ == "__main__":
    main()
