"""Take in the bodies of requests: within a time, within bytes, and a limited number at once.

A body that comes slowly holds no place among the questions, and no other client up. Where too many come at once, the
slowest of whoever sends most gives way; a body that comes at the speed of a network is never that one for long.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from blender.serve.http.faults import RequestError

#: seconds that a body may take to come
_SECONDS = 60.0
#: seconds for which the rest of a body that is too large is thrown away, so that its sender reads the refusal
_DRAIN_SECONDS = 5.0
#: bodies that may come at once, and how many times the largest body their bytes may be
_MOST, _MOST_BYTES = 128, 8
#: seconds before a body can be called slow
_PATIENCE = 1.0


class _Body:
    """A body that is coming."""

    def __init__(self, client: str, seconds: float) -> None:
        self.client = client
        self.content = bytearray()
        self.begun = time.monotonic()
        self.clock = asyncio.timeout(seconds)
        self.is_large = self.gave_way = False

    @property
    def rate(self) -> float:
        """Bytes a second so far."""
        return len(self.content) / max(_PATIENCE, time.monotonic() - self.begun)

    def give_way(self) -> None:
        """Have its reading end now."""
        self.gave_way = True
        self.clock.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """All bodies that are coming.

    Args:
        limit: Bytes of one.
        seconds: That one may take.
    """

    def __init__(self, limit: int, seconds: float = _SECONDS) -> None:
        self._limit, self._seconds = limit, seconds
        self._coming: dict[_Body, None] = {}

    def __len__(self) -> int:
        return len(self._coming)

    async def read(self, request: Request, client: str) -> bytes:
        """Return a request's body once it is whole.

        Args:
            request: The request.
            client: Whose it is.

        Raises:
            RequestError: It is no JSON by its type, too large, or comes too slowly.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            told = "the body must be JSON: send Content-Type: application/json"
            raise RequestError(told, code="invalid_content_type")
        length = request.headers.get("content-length", "0")
        is_large = length.isdecimal() and int(length) > self._limit
        with self._one(client, _DRAIN_SECONDS if is_large else self._seconds) as body:
            body.is_large = is_large
            try:
                await self._fill(body, request)
            except TimeoutError as error:
                if body.gave_way or not body.is_large:
                    raise _too_slow(body) from error
            if body.is_large:
                told = f"the request is too large: {self._limit:,} bytes are allowed, images in base64 included"
                raise RequestError(told, status=413, code="request_too_large")
            return bytes(body.content)

    async def _fill(self, body: _Body, request: Request) -> None:
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
    def _one(self, client: str, seconds: float) -> Iterator[_Body]:
        if len(self._coming) >= _MOST and not self._make_room():
            told = f"{len(self._coming)} requests are being sent already: try again in a second"
            raise RequestError(told, status=429, code="rate_limit_exceeded", wait=1)
        body = _Body(client, seconds)
        self._coming[body] = None
        try:
            yield body
        finally:
            self._coming.pop(body, None)

    def _require_memory(self) -> None:
        while sum(len(body.content) for body in self._coming) > _MOST_BYTES * self._limit and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Let the slowest body of whoever sends most give way; return whether there was one."""
        counts = Counter(body.client for body in self._coming)
        slow = [body for body in self._coming if time.monotonic() - body.begun > _PATIENCE]
        if not slow:
            return False
        chosen = min(slow, key=lambda body: (-counts[body.client], body.rate))
        del self._coming[chosen]
        chosen.give_way()
        return True


def _too_slow(body: _Body) -> RequestError:
    more = ": others had to be read" if body.gave_way else ""
    return RequestError(f"the body took too long to come{more}", status=408, code="timeout")
