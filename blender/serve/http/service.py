"""From a request to its answer: body, admission, preparation, queue, response.

All errors that have a status are found before the first byte of the response; a stream begins with the first text. If
the client disconnects, its request is given up wherever it is by then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from blender.serve.http.admission import Admission, Admissions, Gate
from blender.serve.http.bodies import Bodies
from blender.serve.http.completions import Completion, EventQueue, EventStream, stream_events
from blender.serve.http.engine import Engine, QueuedRequest
from blender.serve.http.fair_queue import Who
from blender.serve.http.fetching import fetch_image
from blender.serve.http.guard import client_of
from blender.serve.http.preparation import PreparedRequest, user_of
from blender.serve.http.preparation_pool import PreparationPool
from blender.serve.http.request_errors import RequestError, out_of_time
from blender.serve.http.settings import ServerSettings

T = TypeVar("T")
#: seconds that a fetched image may take, and images that are fetched at once
_FETCH_SECONDS, _MAX_FETCHES = 15.0, 16
#: seconds after its deadline in which an answer can still say that it is over
_GRACE_SECONDS = 5.0


class Service:
    """Answers requests.

    Args:
        name: Name of the model.
        settings: What is allowed.
        engine: Runs the model.
        preparation: Prepares requests.
    """

    def __init__(self, name: str, settings: ServerSettings, engine: Engine, preparation: PreparationPool) -> None:
        self._name, self._settings = name, settings
        self._engine, self._preparation = engine, preparation
        limits = settings.limits
        self._bodies = Bodies(limits.body)
        self._admissions = Admissions(limits.queue + limits.batch, engine.seconds_to_wait)
        self._gate = Gate(preparation.num_workers)
        self._fetch_gate, self._fetch_threads = Gate(_MAX_FETCHES), CapacityLimiter(2 * _MAX_FETCHES)

    async def answer(self, request: HttpRequest) -> Response:
        """Answer a request.

        Raises:
            RequestError: The request is refused.
        """
        deadline = time.monotonic() + self._settings.limits.seconds
        client = client_of(request, self._settings)
        body = await self._bodies.read(request, client)
        with ExitStack() as stack:
            who = client, user_of(body)
            admission = stack.enter_context(self._admissions.take(who))
            prepared = await self._while_admitted(request, admission, self._prepare(body, who, deadline))
            del body
            events = EventQueue(deadline + _GRACE_SECONDS)
            queued = QueuedRequest(prepared, events.put, deadline)
            stack.callback(self._engine.withdraw, queued)
            admission.has_begun = lambda: queued.is_taken
            self._engine.submit(queued)
            completion = Completion(self._name)
            if not prepared.stream:
                answer = await self._while_admitted(request, admission, events.last())
                return JSONResponse(completion.whole(answer))
            first = await self._while_admitted(request, admission, events.next())
            stream = stream_events(first, events, completion, prepared.include_usage)
            return EventStream(stream, stack.pop_all(), deadline + 2 * _GRACE_SECONDS)

    async def _while_admitted(self, request: HttpRequest, admission: Admission, work: Coroutine[Any, Any, T]) -> T:
        """Run work as long as the client is connected and not displaced.

        Raises:
            ClientDisconnect: The client has disconnected.
            RequestError: Another request has its place.
        """
        result = await unless_gone(request, work, admission.displaced)
        if result is None:
            raise self._admissions.refusal()
        return result

    async def _prepare(self, body: bytes, who: Who, deadline: float) -> PreparedRequest:
        fetched: dict[str, bytes] = {}
        while True:
            async with _turn(self._gate, who, deadline):
                prepared = await self._preparation.prepare(body, fetched, who, deadline - time.monotonic())
            if isinstance(prepared, PreparedRequest):
                return prepared
            addresses = list(prepared.addresses)
            fetched |= zip((url for url, _ in addresses), await self._fetch(addresses, who, deadline), strict=True)

    async def _fetch(self, addresses: list[tuple[str, str]], who: Who, deadline: float) -> list[bytes]:
        """Fetch the images of a request, which together may be as large as its body.

        Raises:
            RequestError: One cannot be fetched, or they are too large.
        """
        left = limit = self._settings.limits.body

        async def fetch(url: str, param: str) -> bytes:
            nonlocal left
            async with _turn(self._fetch_gate, who, deadline):
                seconds = min(_FETCH_SECONDS, deadline - time.monotonic())
                try:
                    content = await anyio.to_thread.run_sync(
                        fetch_image, url, limit, seconds, abandon_on_cancel=True, limiter=self._fetch_threads
                    )
                except RequestError as error:
                    raise RequestError(error.message, param=param, code=error.code) from error
            left -= len(content)
            if left < 0:
                message = f"the images have more than the {limit:,} bytes that a request may have"
                raise RequestError(message, param=param, code="invalid_image_url")
            return content

        try:
            async with asyncio.timeout(deadline - time.monotonic()), asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch(*address)) for address in addresses]
        except TimeoutError as error:
            raise out_of_time() from error
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error
        return [task.result() for task in tasks]


@asynccontextmanager
async def _turn(gate: Gate, who: Who, deadline: float) -> AsyncIterator[None]:
    """Wait for a turn until a deadline.

    Raises:
        RequestError: The deadline has passed.
    """
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await stack.enter_async_context(gate.turn(who))
        except TimeoutError as error:
            raise out_of_time() from error
        yield


async def unless_gone(
    request: HttpRequest, work: Coroutine[Any, Any, T], unwanted: "asyncio.Future[None] | None" = None
) -> T | None:
    """Run work as long as the client is connected.

    Args:
        request: The client's request.
        work: What to run.
        unwanted: Done when the work is no longer wanted; then the result is None.

    Raises:
        ClientDisconnect: The client has disconnected.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        watched: set[asyncio.Future[Any]] = {task, leaving, unwanted or leaving}
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if leaving.done():
            raise ClientDisconnect
        return None
    finally:
        for each in (task, leaving):
            each.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _disconnected(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
