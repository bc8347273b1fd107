"""Fetching, from real servers on this machine; that these may be asked at all is what the tests grant."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from blender.serve.http.fetching import fetch_image, is_public
from blender.serve.http.request_errors import RequestError

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

    def send_escapes(self):
        self.wfile.write(b"HTTP/1.0 404 \x1b[2J cleared\r\n\r\n")

    def send_banner(self):
        self.wfile.write(b"SSH-2.0-secret \x1b[2J\r\n")

    def send_endless(self):
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            while True:
                self.wfile.write(gzip.compress(bytes(1_000_000)))
        except OSError:
            return

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


def test_letters_that_no_request_line_may_have_are_escaped(source):
    assert fetched(f"{source}/image?q=é b") == CONTENT
    assert Handler.asked[-1][0] == "/image?q=%C3%A9%20b"


def test_nothing_that_its_server_says_reaches_the_client(source):
    for path, words in (("escapes", "answers with status 404"), ("banner", "sends no valid HTTP response")):
        message = reason(f"{source}/{path}")
        assert words in message
        assert "\x1b" not in message
        assert "secret" not in message


def test_a_body_without_end_is_cut_and_never_unpacked(source):
    assert "more than 10,000 bytes" in reason(f"{source}/endless", max_bytes=10_000)


@pytest.mark.parametrize("port", [22, 25, 0, 1023])
def test_ports_of_other_services_are_not_asked(port):
    assert f"port {port} is no port of web servers" in reason(f"http://localhost:{port}/image")


def test_an_address_of_megabytes_is_refused_before_it_is_parsed():
    with pytest.raises(RequestError, match="more than 8,192 characters") as caught:
        fetched("http://localhost/" + "a" * 1_000_000)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "0", "localhost.", "LOCALHOST",
     "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "\uff11\uff12\uff17.0.0.1",
     "127\u30020\u30020\u30021", "[fe80::1%25lo]", "3232235777", "0xA9FEA9FE"],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_written(host):
    with pytest.raises(RequestError, match=r"not on the public internet|cannot be fetched"):
        fetch_image(f"http://{host}/image", 1_000, 5)


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
    assert "no plain http or https address" in reason("http://name:word@localhost/image")
    assert "no plain http or https address" in reason("http://@localhost/image")
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
