"""Slow, greedy and broken clients beside an honest one.

In each try some of them act at once, and an honest client asks meanwhile: it gets its answer, every time, and the
server neither prints a traceback nor keeps open what the others left. Waiting is measured in ``benchmarks.serving``.
"""

import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import numpy as np

from benchmarks.campaign.corpus import complaint
from benchmarks.campaign.outcome import Outcome, expect, repeat
from benchmarks.serving import make_model, serving

_NUM_HOSTILE = 30
_SECONDS = 1.0
#: for an answer of a few tokens; an idle server takes a fraction of a second
_PATIENCE = 20.0
#: sockets of clients that have gone may take so long to be noticed
_CLOSE_SECONDS = 10.0
_MOST_OPEN = 60

_PATH = "/v1/chat/completions"


def _body(**changes: object) -> bytes:
    message = {"role": "user", "content": "what is one"}
    return json.dumps({"model": "tiny", "messages": [message], "max_tokens": 4, **changes}).encode()


def _head(length: int, *more: str) -> bytes:
    lines = [f"POST {_PATH} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def _half_a_header(random: np.random.Generator) -> bytes:
    return _head(10)[: int(random.integers(1, 40))]


def _half_a_body(random: np.random.Generator) -> bytes:
    body = _body()
    return _head(len(body)) + body[: int(random.integers(len(body)))]


def _whole(random: np.random.Generator) -> bytes:
    body = _body(max_tokens=int(random.integers(1, 64)), stream=bool(random.integers(2)), user="greedy")
    return _head(len(body)) + body


def _garbage(random: np.random.Generator) -> bytes:
    return random.bytes(int(random.integers(1, 3_000)))


def _wrong_length(random: np.random.Generator) -> bytes:
    return _head(int(random.integers(0, 10_000_000_000))) + _body()


def _strange_header(random: np.random.Generator) -> bytes:
    strange = ("Origin: http://[", "Host: [", "Authorization: Bearer \xff", "X: " + "a" * 20_000, "Content-Length: -1")
    return _head(len(_body()), strange[random.integers(len(strange))]) + _body()


def _strange_body(random: np.random.Generator) -> bytes:
    strange = (b"[" * 100_000, b"\xff\xfe", b'{"messages": NaN}', b"null", _body(messages=[]), _body(max_tokens=-1))
    body = strange[random.integers(len(strange))]
    return _head(len(body)) + body


_KINDS: tuple[Callable[[np.random.Generator], bytes], ...] = (
    _half_a_header,
    _half_a_body,
    _whole,
    _garbage,
    _wrong_length,
    _strange_header,
    _strange_body,
)


def annoy(numbers: Iterable[int], seed: int) -> Outcome:
    """Serve a tiny model to bad clients and a good one."""
    with (
        tempfile.TemporaryDirectory(prefix="clients-") as folder,
        tempfile.TemporaryFile("w+") as complaints,
        serving(make_model(Path(folder)), complaints=complaints) as url,
    ):
        address = urlsplit(url)
        assert address.hostname and address.port
        host = (address.hostname, address.port)
        expect(_ask(host) == 200, "the server answers nobody")
        outcome = repeat("clients", lambda random: _try(host, random), numbers, seed)
        outcome.failures += repeat("clients", lambda _: _closed(host), [-1], seed).failures
        outcome.failures += repeat("clients", lambda _: _quiet(complaints), [-1], seed).failures
    return outcome


def _try(host: tuple[str, int], random: np.random.Generator) -> str:
    kind = _KINDS[random.integers(len(_KINDS))]
    sent = [kind(random) for _ in range(_NUM_HOSTILE)]
    pauses = random.uniform(0, _SECONDS, _NUM_HOSTILE).tolist()
    threads = [threading.Thread(target=_send, args=(host, *pair)) for pair in zip(sent, pauses, strict=True)]
    for thread in threads:
        thread.start()
    status = _ask(host)
    for thread in threads:
        thread.join()
    expect(status == 200, f"beside clients of the kind {kind.__name__} the honest one gets {status}")
    return f"answered beside {kind.__name__.strip('_').replace('_', ' ')}"


def _send(host: tuple[str, int], content: bytes, pause: float) -> None:
    """Send in two pieces, with a pause; go away without waiting for the answer's end."""
    with suppress(OSError), socket.create_connection(host, timeout=_SECONDS) as connection:
        connection.sendall(content[: len(content) // 2])
        time.sleep(pause)
        connection.sendall(content[len(content) // 2 :])
        connection.recv(1)


def _ask(host: tuple[str, int]) -> int | str:
    connection = http.client.HTTPConnection(*host, timeout=_PATIENCE)
    try:
        connection.request("POST", _PATH, _body(user="honest"), {"Content-Type": "application/json"})
        return connection.getresponse().status
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def _quiet(complaints: IO[str]) -> str:
    """Look whether the server has printed a traceback."""
    complaints.seek(0)
    traceback = complaint(complaints.read())
    expect(not traceback, f"the server prints a traceback: {traceback}")
    return "no traceback"


def _closed(host: tuple[str, int]) -> str:
    """Look whether the server has closed what bad clients left."""
    deadline, num_open = time.monotonic() + _CLOSE_SECONDS, 0
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(*host, timeout=_PATIENCE)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        num_open = int(next(float(line.split()[1]) for line in lines if line.startswith("process_open_fds")))
        if num_open <= _MOST_OPEN:
            return "closed"
        time.sleep(0.2)
    expect(False, f"{num_open} files are open after the bad clients have gone")
    raise AssertionError
