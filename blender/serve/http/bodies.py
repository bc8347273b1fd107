"""Read the bodies of requests within limits of time, of bytes, and of bodies at once.

A slow body takes no place in the queue and does not hold up other clients. If too many come at once, the slowest body
of whoever sends most is dropped; a body that comes at the speed of a network is not the slowest for long.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from blender.serve.http.request_errors import RequestError

#: seconds that a body may take
_SECONDS = 60.0
#: seconds for which the rest of a body that is too large is discarded, so that its sender reads the error
_DRAIN_SECONDS = 5.0
#: bodies that may come at once, and how many times the largest body their bytes may be
_MOST, _MOST_BYTES = 128, 8
#: seconds before a body can be called slow
_PATIENCE = 1.0


class _IncomingBody:
    """A body that is being read."""

    def __init__(self, client: str, seconds: float) -> None:
        self.client = client
        self.content = bytearray()
        self.begun = time.monotonic()
        self.clock = asyncio.timeout(seconds)
        self.is_large = self.is_dropped = False

    @property
    def rate(self) -> float:
        """Bytes a second so far."""
        return len(self.content) / max(_PATIENCE, time.monotonic() - self.begun)

    def drop(self) -> None:
        """Stop reading it."""
        self.is_dropped = True
        self.clock.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """All bodies that are being read.

    Args:
        limit: Bytes of one body.
        seconds: Seconds that one may take.
    """

    def __init__(self, limit: int, seconds: float = _SECONDS) -> None:
        self._limit, self._seconds = limit, seconds
        self._coming: dict[_IncomingBody, None] = {}

    def __len__(self) -> int:
        return len(self._coming)

    async def read(self, request: Request, client: str) -> bytes:
        """Return the whole body of a request.

        Args:
            request: The request.
            client: Whose request it is.

        Raises:
            RequestError: The body has another type than JSON, is too large, or takes too long.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            message = "the body must be JSON: send Content-Type: application/json"
            raise RequestError(message, code="invalid_content_type")
        length = request.headers.get("content-length", "0")
        is_large = length.isdecimal() and int(length) > self._limit
        with self._one(client, _DRAIN_SECONDS if is_large else self._seconds) as body:
            body.is_large = is_large
            try:
                await self._fill(body, request)
            except TimeoutError as error:
                if body.is_dropped or not body.is_large:
                    raise _too_slow(body) from error
            if body.is_large:
                message = f"the request is too large: {self._limit:,} bytes are allowed, images in base64 included"
                raise RequestError(message, status=413, code="request_too_large")
            return bytes(body.content)

    async def _fill(self, body: _IncomingBody, request: Request) -> None:
        async with body.clock:
            async for piece in request.stream():
                if body.is_large:
                    continue
                body.content += piece
                if len(body.content) > self._limit:
                    body.is_large = True
                    body.content.clear()
                    body.clock.reschedule(asyncio.get_running_loop().time() + _DRAIN_SECONDS)
                self._require_memory()

    @contextmanager
    def _one(self, client: str, seconds: float) -> Iterator[_IncomingBody]:
        if len(self._coming) >= _MOST and not self._make_room():
            message = f"{len(self._coming)} requests are being sent already: try again in a second"
            raise RequestError(message, status=429, code="rate_limit_exceeded", wait=1)
        body = _IncomingBody(client, seconds)
        self._coming[body] = None
        try:
            yield body
        finally:
            self._coming.pop(body, None)

    def _require_memory(self) -> None:
        while sum(len(body.content) for body in self._coming) > _MOST_BYTES * self._limit and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Drop the slowest body of whoever sends most; return whether there was one."""
        counts = Counter(body.client for body in self._coming)
        slow = [body for body in self._coming if time.monotonic() - body.begun > _PATIENCE]
        if not slow:
            return False
        chosen = min(slow, key=lambda body: (-counts[body.client], body.rate))
        del self._coming[chosen]
        chosen.drop()
        return True


def _too_slow(body: _IncomingBody) -> RequestError:
    reason = ": others had to be read" if body.is_dropped else ""
    return RequestError(f"the body took too long to come{reason}", status=408, code="timeout")
