"""Serve the page over a blend, to browsers on this machine.

The standard library's server is enough: pages and pictures are read only, there are a few readers at most, and the base
install has no web framework. What it must be careful about is other people's web pages, which run in the same browser:
a request is answered only when its ``Host`` is an address or a name of this machine, so that no name that is made to
point here later (DNS rebinding) reaches the samples, and no page from elsewhere may embed what is served.
"""

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from blender.core.errors import BlenderError, InspectionError
from blender.inspect.browse import Browser, NotFoundError, NotReadyError, number_of, query_of
from blender.inspect.page import served_policy
from blender.web.hosts import knows
from blender.web.page import shown_json

_log = logging.getLogger(__name__)
_JSON = "application/json"
#: seconds that a connection may be silent
_PATIENCE = 60

#: type and content of an answer
_Answer = tuple[str, bytes]


class PageServer(ThreadingHTTPServer):
    """A server of one blend's page.

    Args:
        browser: What answers.
        host: The address to listen at.
        port: The port; 0 for a free one.

    Raises:
        InspectionError: The address or port cannot be had.
    """

    daemon_threads = True

    def __init__(self, browser: Browser, host: str = "127.0.0.1", port: int = 0) -> None:
        self.browser = browser
        self.host = host
        self._gathering: threading.Thread | None = None
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise InspectionError(
                f"cannot listen at {host} port {port}: {error.strerror or error}",
                "name another --port, or 0 for a free one",
            ) from error

    @property
    def url(self) -> str:
        """The page's address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def knows(self, host: str) -> bool:
        """Say whether a request's ``Host`` is one that nobody else can make point here: an address, or our own name."""
        return knows(host, (self.host,))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a bug of ours, and nothing of a reader who sends no HTTP, or goes in the middle of it."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("a request was not answered", exc_info=error)

    def server_close(self) -> None:
        """Give the address back, and gathering up."""
        self.browser.stop()
        if self._gathering is not None:
            self._gathering.join()
        super().server_close()

    def start(self) -> threading.Thread:
        """Gather the search index and answer requests, both in threads of their own; return the answering one."""
        self._gathering = threading.Thread(target=self.browser.gather, daemon=True)
        self._gathering.start()
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        return thread


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer a request."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this page is served to this machine only")
            return
        try:
            kind, content = self._answer()
        except NotReadyError as error:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, error.message, wait=True)
        except NotFoundError as error:
            self._refuse(HTTPStatus.NOT_FOUND, error.message)
        except InspectionError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.message)
        except BlenderError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, error.message)
        else:
            self._send(HTTPStatus.OK, kind, content)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""
        _log.debug(format, *args)

    def _answer(self) -> _Answer:
        try:
            address = urlsplit(self.path)
        except ValueError as error:
            raise InspectionError("the address cannot be read") from error
        said = dict(parse_qsl(address.query, keep_blank_values=True))
        first, *rest = [unquote(part) for part in address.path.strip("/").split("/")]
        routes: dict[tuple[str, int], Callable[[], _Answer]] = {
            ("", 0): self._start_page,
            ("api/overview", 0): lambda: self._json(self.server.browser.overview()),
            ("api/samples", 0): lambda: self._samples(said),
            ("api/sample", 1): lambda: self._json(self.server.browser.sample(rest[-1])),
            ("image", 2): lambda: self._image(rest[0], rest[1], "thumb" in said),
        }
        name = f"{first}/{rest.pop(0)}" if first == "api" and rest else first
        route = routes.get((name, len(rest)))
        if route is None:
            raise NotFoundError(f"there is nothing at {address.path}")
        return route()

    def _start_page(self) -> _Answer:
        return "text/html; charset=utf-8", self.server.browser.start_page()

    def _samples(self, said: dict[str, str]) -> _Answer:
        return self._json(self.server.browser.page(query_of(said), number_of(said, "page") or 0, said.get("at", "")))

    def _image(self, key: str, number: str, small: bool) -> _Answer:
        picture = self.server.browser.picture(key, number_of({"number": number}, "number") or 0, small=small)
        return picture.type, picture.content

    def _json(self, value: object) -> _Answer:
        return _JSON, shown_json(value)

    def _refuse(self, status: HTTPStatus, message: str, wait: bool = False) -> None:
        self._send(status, _JSON, json.dumps({"error": message, "wait": wait}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": f"{served_policy()}; frame-ancestors 'none'",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            # a blend may be written anew at the same place
            "Cache-Control": "private, max-age=300"
            if kind.startswith("image/") and status == HTTPStatus.OK
            else "no-store",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                # the reader has gone on to something else
                self.close_connection = True
