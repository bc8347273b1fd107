"""Who may ask what: looked at before anything else of a request is.

A page from elsewhere runs in the same browser as the user's own and can send requests here. So a request is answered
only under an address or a name of ours (a name that is made to point here later is refused), from no page but our own
and those that were allowed, and an API call only as JSON, which a foreign page cannot send without being asked first.
"""

import hmac
import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blender.serve.http.faults import RequestError
from blender.serve.http.measures import Measures
from blender.serve.http.settings import Settings
from blender.web.hosts import authority_of, knows

#: what everybody may see who may see anything
_OPEN = ("/", "/health")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Looks at every request first, and counts it.

    Args:
        app: What answers.
        settings: Who may ask.
        measures: What counts.
        paths: What there is; everything else counts as one.
    """

    def __init__(self, app: ASGIApp, settings: Settings, measures: Measures, paths: frozenset[str]) -> None:
        self._app, self._settings, self._measures, self._paths = app, settings, measures, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else "other"

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._measures.request(path, message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except RequestError as error:
            await JSONResponse(error.body, error.status, error.headers)(scope, receive, watched)
            return
        await self._app(scope, receive, watched)

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


def client_of(request: Request, settings: Settings) -> str:
    """Return who asks: the key where there are several, or else the address, of which a network of IPv6 has one.

    A user of a house has as many IPv6 addresses as it likes, all of which share their first 64 bits.
    """
    if len(settings.keys) > 1:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return f"key {given.strip()}"
    address = request.client.host if request.client else ""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)


def check_key(authorization: str | None, keys: Sequence[str]) -> None:
    """Look at what a request brings as its key.

    Raises:
        RequestError: It is none of the right ones.
    """
    if not keys:
        return
    scheme, _, given = (authorization or "").partition(" ")
    # in the same time, however much of it is right
    is_right = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    if scheme.lower() != "bearer" or not any(is_right):
        told = "the API key is missing or wrong: send it as `Authorization: Bearer KEY`"
        raise RequestError(told, status=401, code="invalid_api_key")
