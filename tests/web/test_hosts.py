"""What strangers can send as ``Host`` and ``Origin``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.web.hosts import authority_of, knows


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.:80", "10.1.2.3:1", "[::1]:80", "[fe80::1]", "Model.Example:"]
)
def test_addresses_and_own_names_are_known(host):
    assert knows(host, ("model.example",))


@pytest.mark.parametrize(
    "host",
    ["", "[", "]", "[:", "[::1", "::1]", "[localhost]x", "user@localhost", "localhost/x", "localhost?", "localhost:x",
     "localhost:80:80", "loc\u0430lhost", "evil.example", "127.0.0.1.evil.example", "[::1%25eth0]", "\x00",
     "localhost\n"],
)  # fmt: skip
def test_everything_else_is_not(host):
    assert not knows(host, ("model.example",))


def test_an_address_that_is_listened_at_is_known_in_brackets():
    assert knows("[::1]:8000", ("::1",))


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        ("http://A.example:80", "a.example:80"),
        ("https://[::1]:8000", "[::1]:8000"),
        *(
            (wrong, None)
            for wrong in ("http://[", "http://[::1", "null", "", "a.example", "//a.example", "[", "http://")
        ),
        ("http://a.example/path", None),
        ("file://a.example", None),
    ],
)
def test_an_origin_is_read_or_is_none(origin, authority):
    assert authority_of(origin) == authority


@given(st.text(alphabet="[]:/@%.\\?#1al\ud800\u2100", max_size=12))
def test_nothing_raises(text):
    knows(text, ())
    authority_of(text)
    authority_of(f"http://{text}")
