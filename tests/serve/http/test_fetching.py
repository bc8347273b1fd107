"""Fetching, from real servers on this machine; that these may be asked at all is what the tests grant."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from blender.serve.http.faults import RequestError
from blender.serve.http.fetching import fetch_image, is_public

CONTENT = bytes(range(256)) * 100


class Handler(BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append((self.path, self.headers["Host"]))
        getattr(self, f"send_{self.path.strip('/').split('?')[0]}")()

    def send_image(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def send_moved(self):
        self.send_response(302)
        self.send_header("Location", "/image")
        self.end_headers()

    def send_private(self):
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.2/secret")
        self.end_headers()

    def send_file(self):
        self.send_response(302)
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def send_circle(self):
        self.send_response(302)
        self.send_header("Location", "/circle")
        self.end_headers()

    def send_missing(self):
        self.send_error(404)

    def send_short(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT) + 1))
        self.end_headers()
        self.wfile.write(CONTENT)

    def send_slow(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(200):
            try:
                self.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def source():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def is_here(address):
    """Let the tests' own server be asked, and nothing else."""
    return address in ("127.0.0.1", "::1")


def fetched(url, max_bytes=1_000_000, seconds=10.0):
    return fetch_image(url, max_bytes, seconds, is_here)


def reason(url, **limits):
    with pytest.raises(RequestError) as caught:
        fetched(url, **limits)
    assert url in caught.value.message
    return caught.value.message


def test_an_image_is_fetched_under_its_own_name(source):
    assert fetched(f"{source}/image?a=1") == CONTENT
    assert Handler.asked[-1] == ("/image?a=1", source.removeprefix("http://"))


def test_redirections_are_followed(source):
    assert fetched(f"{source}/moved") == CONTENT


def test_a_redirection_to_a_private_address_is_not(source):
    assert "not on the public internet" in reason(f"{source}/private")
    assert "no plain http or https address" in reason(f"{source}/file")
    assert "more than 3 redirections" in reason(f"{source}/circle")


def test_what_is_not_there_or_not_whole_is_told(source):
    assert "404" in reason(f"{source}/missing")
    assert "ended too early" in reason(f"{source}/short")
    assert reason("http://localhost:1/image")
    assert reason("http://name:word@localhost/image")
    assert reason("http://nowhere.invalid/image")


def test_no_more_is_read_than_allowed(source):
    assert fetched(f"{source}/image", max_bytes=len(CONTENT)) == CONTENT
    assert "more than" in reason(f"{source}/image", max_bytes=len(CONTENT) - 1)


def test_a_server_that_trickles_is_left_in_time(source):
    begun = time.monotonic()
    assert "longer than 0.5 s" in reason(f"{source}/slow", seconds=0.5)
    assert time.monotonic() - begun < 3


def test_this_machine_is_not_asked(source):
    before = len(Handler.asked)
    with pytest.raises(RequestError, match="not on the public internet"):
        fetch_image(f"{source}/image", 1_000_000, 5)
    assert len(Handler.asked) == before


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "ff02::1",
        # what carries an IPv4 address of this machine or of its neighbours
        "::127.0.0.1", "::10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808",
        "2002:a00:1::1", "2002:c058:6301::", "2606:2800:21f::5efe:7f00:1", "2606:2800:21f::200:5efe:a00:1",
        # what registries keep for something else
        "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.1",
        "198.51.100.7", "203.0.113.7", "239.1.1.1", "240.0.0.1", "0.1.2.3", "100.127.255.255", "172.31.255.255",
        "fec0::1", "fc00::1", "100::1", "100:0:0:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
        "3fff::1", "3ffe::1", "5f00::1", "4000::1", "1::1", "::8.8.8.8", "2606:2800:21f:cb07::1%eth0",
    ],
)  # fmt: skip
def test_private_addresses_are_known(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "192.0.1.1", "172.32.0.1",
     "100.128.0.1", "198.20.0.1", "2001:4860:4860::8888", "2a00:1450::1", "2606:2800:21f::5efe:808:808"],
)  # fmt: skip
def test_public_addresses_are_known(address):
    assert is_public(address)
