import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from blender.serve.http.guard import knows

ASK = b'{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}'


def sent(server, method="GET", path="/health", body=None, **headers):
    """Send a request with exactly these headers; return status, headers and body."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    headers.setdefault("Host", address.netloc)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, content


def posted(server, **headers):
    return sent(server, "POST", "/v1/chat/completions", ASK, **{"Content_Type": "application/json", **headers})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:1", "192.168.1.5", "[::1]:80", "model.example"]
)
def test_addresses_and_names_of_ours_are_known(host):
    assert knows(host, ("Model.Example",))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:80", "localhost.evil.example", "[::1", "127.0.0.1.nip.io"]
)
def test_other_names_are_not(host):
    assert not knows(host, ("model.example",))


def test_a_name_that_was_made_to_point_here_is_refused(served):
    status, _, content = sent(served, Host="evil.example")
    assert status == 421
    assert "evil" not in content


def test_other_peoples_pages_may_not_ask(served):
    assert posted(served)[0] == 200
    assert posted(served, Origin=served.url.rstrip("/"))[0] == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert posted(served, Origin=origin)[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["http://[", "http://[::1", "http://]", "[", "https://[::1]x", "http://evil.example\\@127.0.0.1", "\xff", ""],
)
def test_a_page_s_address_that_cannot_be_read_is_another_one(served, caplog, origin):
    for sender in (lambda: posted(served, Origin=origin.encode("latin-1")), lambda: sent(served, Origin=origin)):
        status, _, content = sender()
        assert (status, json.loads(content)["error"]["code"]) == (403, "foreign_origin")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("host", ["[", "[::1", "]", "user@localhost", "localhost:x", "localhost, evil.example"])
def test_a_host_that_cannot_be_read_is_not_ours(served, host):
    assert sent(served, Host=host)[0] == 421


@pytest.mark.parametrize("name", [b"Host", b"Origin"])
def test_two_of_a_header_are_one_too_many(served, caplog, name):
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        lines = [b"GET /health HTTP/1.1", b"Host: localhost", b"Connection: close"]
        connection.sendall(
            b"\r\n".join([*lines, name + b": http://localhost", name + b": http://localhost"]) + b"\r\n\r\n"
        )
        assert b" 400 " in connection.makefile("rb").readline()
    assert "Traceback" not in caplog.text


def test_only_json_is_taken_so_that_other_pages_must_ask_first(served):
    for kind in ("text/plain", "", "application/x-www-form-urlencoded"):
        assert posted(served, Content_Type=kind)[0] == 400
    status, headers, _ = sent(
        served, "OPTIONS", "/v1/chat/completions", Origin="https://evil.example", Access_Control_Request_Method="POST"
    )
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_an_allowed_page_may_ask(serve):
    server = serve(origins=("https://friend.example",))
    status, headers, _ = posted(server, Origin="https://friend.example")
    assert (status, headers["access-control-allow-origin"]) == (200, "https://friend.example")
    asked_first = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    status, headers, _ = sent(server, "OPTIONS", "/v1/chat/completions", Origin="https://friend.example", **asked_first)
    assert (status, headers["access-control-allow-origin"]) == (200, "https://friend.example")
    assert posted(server, Origin="https://evil.example")[0] == 403


def test_without_the_key_there_is_only_the_page_and_health(serve):
    server = serve(api_key="secret")
    assert sent(server, path="/")[0] == 200
    assert sent(server, path="/health")[0] == 200
    for path in ("/metrics", "/v1/models", "/v1/models/tiny", "/nothing"):
        assert sent(server, path=path)[0] == 401, path
    for wrong in ("Bearer wrong", "secret", "Basic secret", "Bearer", "Bearer secre", "Bearer sécret"):
        status, headers, _ = posted(server, Authorization=wrong.encode())
        assert (status, headers["www-authenticate"]) == (401, "Bearer"), wrong
    assert posted(server, Authorization="Bearer secret")[0] == 200
    assert sent(server, path="/v1/models", Authorization="bearer secret")[0] == 200


def test_everything_is_sent_with_care(served):
    for path in ("/", "/health", "/nothing"):
        headers = sent(served, path=path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    policy = sent(served, path="/")[1]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
