"""Fetch images from the web for strangers, without lending them our place in the network.

A name is resolved once, every address it has must be a public one, and the connection goes to that very address: a name
that changes its mind in between leads nowhere else. Redirections are followed by the same rules. One clock runs over
all of it, so that a server that answers a byte at a time holds nothing up.
"""

import socket
import ssl
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

from blender.serve.http.addresses import IsPublic, is_public
from blender.serve.http.faults import RequestError

_MAX_REDIRECTIONS = 3
_PIECE = 65_536


def fetch_image(url: str, max_bytes: int, seconds: float, allowed: IsPublic = is_public) -> bytes:
    """Fetch a file.

    Args:
        url: An http or https address.
        max_bytes: How large it may be.
        seconds: How long it may take, redirections included.
        allowed: Says whether an address may be asked.

    Raises:
        RequestError: It cannot be had; the message names the address as the client gave it.
    """
    deadline = monotonic() + seconds
    at = url
    try:
        for _ in range(_MAX_REDIRECTIONS + 1):
            content, at = _get(at, max_bytes, deadline, allowed)
            if content is not None:
                return content
    except (OSError, HTTPException, ValueError) as error:
        late = monotonic() >= deadline
        reason = f"it took longer than {seconds:g} s" if late else (getattr(error, "strerror", None) or str(error))
        raise _unfetched(url, reason or type(error).__name__) from error
    raise _unfetched(url, f"more than {_MAX_REDIRECTIONS} redirections")


def _unfetched(url: str, reason: str) -> RequestError:
    shown = url if len(url) <= 200 else f"{url[:200]}..."
    return RequestError(f"the image {shown} cannot be fetched: {reason}", code="invalid_image_url")


def _get(url: str, max_bytes: int, deadline: float, allowed: IsPublic) -> tuple[bytes | None, str]:
    """Return the content, or None and where to look instead."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("it is no plain http or https address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Pinned(parts, _address(parts, allowed), deadline)
    try:
        connection.request("GET", path, headers={"User-Agent": "visualchat", "Accept": "image/*"})
        with closing(connection.getresponse()) as answer:
            return _content_of(answer, url, max_bytes, deadline)
    finally:
        connection.end()


def _content_of(answer: HTTPResponse, url: str, max_bytes: int, deadline: float) -> tuple[bytes | None, str]:
    if answer.status in (301, 302, 303, 307, 308) and (target := answer.getheader("Location")):
        return None, urljoin(url, target)
    if answer.status != 200:
        raise ValueError(f"its server says {answer.status} {answer.reason}")
    return _read(answer, max_bytes, deadline), url


def _read(answer: HTTPResponse, max_bytes: int, deadline: float) -> bytes:
    pieces, length = [], 0
    while piece := answer.read1(_PIECE):
        pieces.append(piece)
        length += len(piece)
        if length > max_bytes:
            raise ValueError(f"it has more than {max_bytes:,} bytes")
    if answer.length or monotonic() >= deadline:
        raise ValueError("the connection ended too early")
    return b"".join(pieces)


def _address(parts: SplitResult, allowed: IsPublic) -> tuple[str, int]:
    assert parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except UnicodeError as error:
        raise ValueError("its name is no name of a computer") from error
    if not found or not all(map(allowed, found)):
        raise ValueError("it is not on the public internet")
    # IPv4 first: many computers have IPv6 addresses and no way out
    return min(found, key=lambda address: (":" in address, address)), port


class _Pinned(HTTPConnection):
    """A connection to an address that was looked at, cut at a deadline."""

    def __init__(self, parts: SplitResult, address: tuple[str, int], deadline: float) -> None:
        assert parts.hostname
        super().__init__(parts.hostname, address[1])
        self._secure = parts.scheme == "https"
        self._address = address
        self._deadline = deadline
        self._clock: threading.Timer | None = None
        #: the socket; ``sock`` is given away with the answer
        self._open: socket.socket | None = None
        # what goes into the Host header
        self.default_port = 443 if self._secure else 80

    def connect(self) -> None:
        """Connect to the address, whatever the name leads to by now."""
        plain = socket.create_connection(self._address, timeout=self._left())
        self.sock = plain
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self._open = self.sock
        self._clock = threading.Timer(self._left(), self._cut)
        self._clock.daemon = True
        self._clock.start()
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()

    def _left(self) -> float:
        return max(0.01, self._deadline - monotonic())

    def _cut(self) -> None:
        """End it for whoever reads; an encrypted socket's own way would wait for the other side."""
        if self._open is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._open, socket.SHUT_RDWR)

    def end(self) -> None:
        """Close, and stop the clock; ``close`` is called earlier, as soon as an answer begins."""
        if self._clock is not None:
            self._clock.cancel()
        self.close()
