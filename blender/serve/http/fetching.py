"""Fetch images from the public internet on behalf of strangers, and from nowhere else.

A name is resolved once, all of its addresses must be public, and the connection goes to one of these addresses, so
that a later answer of the name server (DNS rebinding) has no effect. Redirects follow the same rules. One deadline
covers all of it, so that a server that sends a byte at a time holds nothing up.
"""

import socket
import ssl
import threading
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import monotonic
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from blender.serve.http.addresses import IsPublic, is_public
from blender.serve.http.request_errors import RequestError

_MAX_REDIRECTS = 3
_PIECE = 65_536
#: characters of a URL
_MAX_URL = 8_192
#: ports below 1,024 that are allowed: the others belong to mail, remote shells and other services that are not the web
_WEB_PORTS = (80, 443)
#: what a path may contain unquoted
_SAFE = "%/:=&?~#+!$,;'@()*[]"


def fetch_image(url: str, max_bytes: int, seconds: float, allowed: IsPublic = is_public) -> bytes:
    """Fetch a file.

    Args:
        url: An http or https address.
        max_bytes: Its bytes at most.
        seconds: The time that it may take, redirects included.
        allowed: Decides whether a connection to an address is allowed.

    Raises:
        RequestError: It cannot be fetched; the message names the URL as the client gave it.
    """
    deadline = monotonic() + seconds
    location = url
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            content, location = _get(location, max_bytes, deadline, allowed)
            if content is not None:
                return content
    except (OSError, ValueError) as error:
        is_late = monotonic() >= deadline
        reason = f"it took longer than {seconds:g} s" if is_late else (getattr(error, "strerror", None) or str(error))
        raise _unfetched(url, reason or type(error).__name__) from error
    raise _unfetched(url, f"more than {_MAX_REDIRECTS} redirections")


def _unfetched(url: str, reason: str) -> RequestError:
    shown = url if len(url) <= 200 else f"{url[:200]}..."
    return RequestError(f"the image {shown} cannot be fetched: {reason}", code="invalid_image_url")


def _get(url: str, max_bytes: int, deadline: float, allowed: IsPublic) -> tuple[bytes | None, str]:
    """Return the content, or None and the URL of a redirect."""
    # Python caches what it splits
    if len(url) > _MAX_URL:
        raise ValueError(f"its address has more than {_MAX_URL:,} characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("it is no plain http or https address")
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_SAFE)
    connection = _PinnedConnection(parts, _address(parts, allowed), deadline)
    try:
        connection.request("GET", path, headers={"User-Agent": "visualchat", "Accept": "image/*"})
        with closing(connection.getresponse()) as answer:
            return _content_of(answer, url, max_bytes, deadline)
    except HTTPException as error:
        # its text would show what the other side has sent
        raise ValueError("its server sends no valid HTTP response") from error
    finally:
        connection.end()


def _content_of(answer: HTTPResponse, url: str, max_bytes: int, deadline: float) -> tuple[bytes | None, str]:
    if answer.status in (301, 302, 303, 307, 308) and (target := answer.getheader("Location")):
        return None, urljoin(url, target)
    if answer.status != 200:
        raise ValueError(f"its server answers with status {answer.status}")
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
    port = (443 if parts.scheme == "https" else 80) if parts.port is None else parts.port
    if port < 1_024 and port not in _WEB_PORTS:
        raise ValueError(f"port {port} is no port of web servers")
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)}
    except UnicodeError as error:
        raise ValueError("its host name is invalid") from error
    if not addresses or not all(map(allowed, addresses)):
        raise ValueError("it is not on the public internet")
    # IPv4 first: many machines have IPv6 addresses without a route
    return min(addresses, key=lambda address: (":" in address, address)), port


class _PinnedConnection(HTTPConnection):
    """A connection to a checked address, which is cut at a deadline."""

    def __init__(self, parts: SplitResult, address: tuple[str, int], deadline: float) -> None:
        assert parts.hostname
        super().__init__(parts.hostname, address[1])
        self._secure = parts.scheme == "https"
        self._address = address
        self._deadline = deadline
        self._timer: threading.Timer | None = None
        #: the socket; ``sock`` moves to the response
        self._open: socket.socket | None = None
        # decides whether the Host header names the port
        self.default_port = 443 if self._secure else 80

    def connect(self) -> None:
        """Connect to the address, without resolving the name again."""
        plain = socket.create_connection(self._address, timeout=self._left())
        self.sock = plain
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        self._open = self.sock
        self._timer = threading.Timer(self._left(), self._cut)
        self._timer.daemon = True
        self._timer.start()
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()

    def _left(self) -> float:
        return max(0.01, self._deadline - monotonic())

    def _cut(self) -> None:
        """Shut the connection down under its reader; a TLS shutdown would wait for the other side."""
        if self._open is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._open, socket.SHUT_RDWR)

    def end(self) -> None:
        """Close the connection and stop the timer; ``close`` is called earlier, when a response begins."""
        if self._timer is not None:
            self._timer.cancel()
        self.close()
