"""Check host, origin and key of every request before anything else.

Any web page that a user opens can send requests to this server. So a request is answered only under an address or one
of our host names (against DNS rebinding), and only from our own page and allowed origins. An API call must be JSON,
which another page cannot send without a preflight request.
"""

import hmac
import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blender.serve.http.metrics import ServerMetrics
from blender.serve.http.request_errors import RequestError
from blender.serve.http.settings import ServerSettings
from blender.web.hosts import authority_of, knows

#: paths that need no key
_OPEN = ("/", "/health")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware that checks and counts every request.

    Args:
        app: The application.
        settings: Whom it answers.
        metrics: Counts requests.
        paths: Paths that are counted by name; all others count as one.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: ServerMetrics, paths: frozenset[str]) -> None:
        self._app, self._settings, self._metrics, self._paths = app, settings, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"

        async def counted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.request(path, message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except RequestError as error:
            await JSONResponse(error.body, error.status, error.headers)(scope, receive, counted_send)
            return
        await self._app(scope, receive, counted_send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) > 1 or len(origins) > 1:
            raise RequestError("a request has one Host and one Origin at most", code="invalid_header")
        host = hosts[0] if hosts else ""
        if not knows(host, self._settings.hosts):
            raise RequestError("this server is not known by that name", status=421, code="unknown_host")
        if origins and not self._is_ours(origins[0], host):
            raise RequestError("this page may not use this server", status=403, code="foreign_origin")
        if scope["path"] not in _OPEN:
            check_key(headers.get("authorization"), self._settings.keys)

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._settings.origins or authority_of(origin) == host.lower()


def client_of(request: Request, settings: ServerSettings) -> str:
    """Return the client: its key if there are several keys, or else its address; for IPv6, the network of its address.

    One machine can have any number of IPv6 addresses, which share their first 64 bits.
    """
    if len(settings.keys) > 1:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return f"key {given.strip()}"
    address = request.client.host if request.client else ""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


def check_key(authorization: str | None, keys: Sequence[str]) -> None:
    """Check the key of a request.

    Raises:
        RequestError: It is missing or wrong.
    """
    if not keys:
        return
    scheme, _, given = (authorization or "").partition(" ")
    # in constant time
    matches = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(matches):
        message = "the API key is missing or wrong: send it as `Authorization: Bearer KEY`"
        raise RequestError(message, status=401, code="invalid_api_key")
