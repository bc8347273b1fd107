"""Open the port, and serve until told to stop."""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from blender.core.errors import ServeError
from blender.serve.http.connections import WatchedProtocol

_BACKLOG = 256
#: seconds that streams may go on when the server stops
_SHUTDOWN_SECONDS = 3
#: seconds that an idle connection is kept open
_KEEP_ALIVE_SECONDS = 30


def bind(host: str, port: int) -> socket.socket:
    """Bind a port without listening yet, before a large model is loaded for nothing.

    Args:
        host: An address or a name of this machine.
        port: The port; 0 for a free one.

    Raises:
        ServeError: The address or the port is not available.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ServeError(f"there is no address {host}: {error.strerror or error}", "name another --host") from error
    try:
        # a port whose last connections are in TIME_WAIT is free
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        reason = error.strerror or error
        raise ServeError(
            f"cannot listen at {host} port {port}: {reason}", "name another --port, or 0 for a free one"
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address of the page of a server."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class Server(uvicorn.Server):
    """A server of one application.

    Args:
        app: The application.
        bound: The bound port.
        is_ready: Called once requests are answered.
    """

    def __init__(self, app: FastAPI, bound: socket.socket, is_ready: Callable[[], None] = lambda: None) -> None:
        self._bound, self._is_ready = bound, is_ready
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                http=WatchedProtocol,
                ws="none",
                lifespan="on",
                # anybody can send such headers
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and report that requests are answered."""
        await super().startup(sockets=sockets)
        if not self.should_exit:
            self._is_ready()

    def serve_port(self) -> None:
        """Serve until interrupted."""
        self.run(sockets=[self._bound])
