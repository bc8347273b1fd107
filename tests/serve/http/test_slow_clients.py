"""Clients that send slowly, much, or no HTTP at all, and what another one notices of them."""

import json
import socket
import struct
import threading
import time
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from blender.serve.http import bodies, connections
from blender.serve.http.settings import RequestLimits

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n"
)


@contextmanager
def senders(server, num, content):
    """Open connections that send this, and then nothing."""
    address = urlsplit(server.url)
    with ExitStack() as stack:
        opened = [socket.create_connection((address.hostname, address.port)) for _ in range(num)]
        for each in opened:
            stack.enter_context(each)
            each.sendall(content)
        yield opened


def is_closed(connection):
    """Say whether the server has ended a connection, after whatever it said."""
    connection.settimeout(10)
    try:
        while connection.recv(1000):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def answer(connection):
    """Return an answer whose body is a JSON object, head included; the two may come apart."""
    connection.settimeout(10)
    come = b""
    while not come.endswith(b"}"):
        come += connection.recv(10_000)
    return come


def greedily(server, num, **more):
    """Ask from many threads at once; return these and the statuses that come."""
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(server.ask(**more)[0])) for _ in range(num)]
    for thread in threads:
        thread.start()
    return threads, statuses


def test_bodies_that_do_not_come_hold_no_place(serve):
    server = serve(RequestLimits(queue=1, batch=1))
    with senders(server, 80, HEAD + b'{"model": '):
        for _ in range(3):
            assert server.ask(max_tokens=2)[0] == 200


def test_where_too_many_bodies_come_the_slowest_gives_way(serve, monkeypatch):
    monkeypatch.setattr(bodies, "_MOST", 10)
    monkeypatch.setattr(bodies, "_PATIENCE", 0.2)
    server = serve()
    with senders(server, 10, HEAD + b'{"model": ') as slow:
        slow[3].sendall(b" " * 1000)
        time.sleep(0.4)
        assert server.ask(max_tokens=2)[0] == 200
        answers = [each for each in slow if each is not slow[3]]
        gone = next(each for each in answers if has_answer(each))
        assert b" 408 " in gone.recv(1000)
        assert not has_answer(slow[3])


def has_answer(connection):
    connection.settimeout(0.05)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_a_body_that_takes_too_long_is_told(serve, monkeypatch):
    monkeypatch.setattr(bodies.Bodies.__init__, "__defaults__", (0.3,))
    with senders(serve(), 1, HEAD + b"{") as (slow,):
        assert b" 408 " in slow.recv(1000)


def test_a_head_that_does_not_come_is_timed_out(serve, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    server = serve()
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for content in (b"", b"GET / HT", HEAD[:-2], whole + b"GET /"):
        with senders(server, 1, content) as (slow,):
            begun = time.monotonic()
            assert is_closed(slow)
            assert time.monotonic() - begun < 5
    # between two heads a connection may rest for longer
    with senders(server, 1, whole) as (resting,):
        assert b" 200 " in answer(resting)
        time.sleep(0.8)
        resting.sendall(whole)
        assert b" 200 " in answer(resting)


def test_a_head_that_trickles_is_timed_out_all_the_same(serve, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    with senders(serve(), 1, b"GET / HTTP/1.1\r\n") as (slow,), pytest.raises(ConnectionError):
        for number in range(100):
            slow.sendall(f"X-{number}: a\r\n".encode())
            time.sleep(0.05)


@contextmanager
def never_reading(server, content):
    """Open a connection that takes next to nothing of what it asks for; its kernel keeps little, too."""
    address = urlsplit(server.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect((address.hostname, address.port))
        connection.sendall(content)
        yield connection


# one answer of /metrics is kept by the kernels whole
@pytest.mark.parametrize(("path", "ending"), [("/", ""), ("/metrics", ""), ("/", "Connection: close\r\n")])
def test_who_takes_nothing_of_an_answer_is_left(serve, monkeypatch, path, ending):
    monkeypatch.setattr(connections, "SENT_SECONDS", 0.2)
    server = serve()
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{ending}\r\n".encode()
    # many in a row, so that more waits than the kernels keep
    with never_reading(server, request if ending else request * 2_000) as connection:
        server.wait(lambda: not held(connection), 20)
    assert server.ask(max_tokens=2)[0] == 200


def held(connection):
    """Say whether the other side still has a connection."""
    connection.settimeout(0.05)
    try:
        connection.send(b"G")
    except ConnectionError:
        return False
    except TimeoutError:
        pass
    return True


def test_who_takes_an_answer_slowly_gets_all_of_it(serve, monkeypatch):
    monkeypatch.setattr(connections, "SENT_SECONDS", 0.2)
    content = b""
    with never_reading(serve(), b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") as connection:
        while piece := connection.recv(2_000):
            content += piece
            time.sleep(0.02)
    assert content.endswith(b"</html>\n")


def test_who_was_refused_and_goes_on_sending_is_left(serve, monkeypatch):
    monkeypatch.setattr(connections, "SENT_SECONDS", 0.2)
    with senders(serve(), 1, HEAD.replace(b"/v1/chat/completions", b"/nowhere")) as (slow,):
        assert b" 404 " in slow.recv(1_000)
        with pytest.raises(ConnectionError):
            for _ in range(60):
                slow.sendall(b" ")
                time.sleep(0.05)


def test_too_many_half_sent_heads_are_let_go_the_oldest_first(serve, monkeypatch):
    monkeypatch.setattr(connections, "_MOST_IDLE", 20)
    server = serve()
    with senders(server, 60, b"GET / HT") as slow:
        for _ in range(3):
            assert server.ask(max_tokens=2)[0] == 200
        assert is_closed(slow[0])
        assert not has_answer(slow[-1])


def test_one_user_s_many_questions_lock_nobody_out(serve):
    server = serve(RequestLimits(queue=8, batch=2, new_tokens=1_500))
    threads, statuses = greedily(server, 40, user="greedy", temperature=0, max_tokens=60)
    server.wait(lambda: server.metric("waiting") >= 4)
    modest = [server.ask(user="modest", max_tokens=2)[0] for _ in range(3)]
    for thread in threads:
        thread.join()
    assert modest == [200] * 3
    # some came too late, and one or more gave their places up
    assert sorted(set(statuses)) == [200, 429]
    assert server.ask(max_tokens=2)[0] == 200


def test_others_are_let_in_between_two_tokens_of_one_user_s_batch(serve):
    server = serve(RequestLimits(queue=40, batch=8, new_tokens=1_500))
    server.ask(max_tokens=2)
    threads, statuses = greedily(server, 8, user="greedy", temperature=0, max_tokens=300)
    server.wait(lambda: server.metric("running") >= 2, 60)
    assert server.ask(user="modest", max_tokens=2)[0] == 200
    running = sum(thread.is_alive() for thread in threads)
    for thread in threads:
        thread.join()
    assert running >= 2
    assert set(statuses) == {200}


BAD_JSON = [
    b"", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"model": NaN}', b'{"model": "\\ud800"}', b"null", b"[]",
    b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', b'{"user": 1, "model": "tiny"}',
    b"1" * 5_000,
    b'{"model": "tiny", "messages": [{"role": "user", "content": "\\u0000\\ufdd0"}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_JSON)
def test_what_is_no_request_is_refused_and_leaves_no_trace(served, caplog, body):
    status, _, answer = served.post(body)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert caplog.text == ""


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        HEAD.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked") + b"zz\r\n",
        HEAD.replace(b"Content-Length: 100000", b"Content-Length: -1"),
        HEAD.replace(b"Content-Length: 100000", b"Content-Length: 5\r\nContent-Length: 6"),
        HEAD.replace(b"Content-Length: 100000", b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2")
        + b"{}",
    ],
)  # fmt: skip
def test_what_is_no_http_leaves_no_traceback(served, caplog, content):
    address = urlsplit(served.url)
    for is_reset in (False, True):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.settimeout(5)
            if is_reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                connection.sendall(content)
                connection.recv(10) if not is_reset else time.sleep(0.05)
            except (ConnectionError, TimeoutError):
                pass
    assert served.ask(max_tokens=2)[0] == 200
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
def test_who_hangs_up_at_any_time_leaves_no_traceback(served, caplog, stream, seconds):
    body = json.dumps(
        {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400, "stream": stream}
    ).encode()
    for length in (10, len(body)):
        with senders(served, 1, HEAD.replace(b"100000", str(len(body)).encode()) + body[:length]) as (connection,):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(seconds)
    served.wait(lambda: served.metric("running") == 0)
    assert "Traceback" not in caplog.text
