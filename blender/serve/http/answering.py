"""From a request to its answer: read, prepared, waited for, and sent whole or piece by piece.

What a client must be told with a status is found out before the first byte of an answer; a stream begins with the first
text. A client that goes away takes its question along, wherever that is by then.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from blender.serve.http.admission import Admission, Admissions, Gate
from blender.serve.http.bodies import Bodies
from blender.serve.http.engine import Engine, Heard, Job
from blender.serve.http.fairness import Who
from blender.serve.http.faults import RequestError, refusal
from blender.serve.http.fetching import fetch_image
from blender.serve.http.guard import client_of
from blender.serve.http.preparation import Preparation, PreparedRequest, user_of
from blender.serve.http.preparing import Conversations
from blender.serve.http.settings import Settings
from blender.serve.session import Answer

T = TypeVar("T")
#: seconds that a fetched image may take
_FETCH_SECONDS = 15.0
#: seconds beyond its time in which an answer may still say that it is over
_GRACE = 5.0
_FINISH = {"end": "stop", "marker": "stop", "length": "length", "cancelled": "length"}


class Service:
    """Answers requests.

    Args:
        name: What the model is called.
        settings: What is allowed.
        conversations: Where sessions come from.
        engine: What answers.
        preparation: What makes prompts of requests.
    """

    def __init__(
        self, name: str, settings: Settings, conversations: Conversations, engine: Engine, preparation: Preparation
    ) -> None:
        self._name, self._settings = name, settings
        self._conversations, self._engine, self._preparation = conversations, engine, preparation
        limits = settings.limits
        self._bodies = Bodies(limits.body)
        self._admissions = Admissions(limits.queue + limits.batch, engine.seconds_to_wait)
        self._gate = Gate(preparation.num_workers)
        self._fetchers = CapacityLimiter(16)

    async def answer(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            RequestError: It is refused.
        """
        deadline = time.monotonic() + self._settings.limits.seconds
        client = client_of(request, self._settings)
        body = await self._bodies.read(request, client)
        with ExitStack() as stack:
            who = client, user_of(body)
            admission = stack.enter_context(self._admissions.take(who))
            prepared = await self._while_wanted(request, admission, self._prepare(body, who, deadline))
            del body
            hearing = _Hearing(deadline + _GRACE)
            ready = prepared.ready
            job = Job(prepared.asked, self._conversations.lend(prepared.asked, ready), hearing.tell, deadline, ready)
            stack.callback(self._engine.withdraw, job)
            admission.has_begun = lambda: job.is_taken
            self._engine.submit(job)
            written = _Written(self._name)
            first = await self._while_wanted(request, admission, hearing.first(whole=not prepared.stream))
            if not prepared.stream:
                assert isinstance(first, Answer)
                return JSONResponse(written.whole(first))
            pieces = _events(first, hearing, written, prepared.include_usage)
            return _EventStream(pieces, stack.pop_all(), deadline + 2 * _GRACE)

    async def _while_wanted(self, request: Request, admission: Admission, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something as long as the client does and has its place.

        Raises:
            ClientDisconnect: It has gone.
            RequestError: Somebody else has its place.
        """
        done = await unless_gone(request, work, admission.displaced)
        if done is None:
            raise self._admissions.refusal()
        return done

    async def _prepare(self, body: bytes, who: Who, deadline: float) -> PreparedRequest:
        fetched: dict[str, bytes] = {}
        while True:
            async with self._turn(who, deadline):
                left = deadline - time.monotonic()
                prepared = await self._preparation.prepare(body, fetched, who[0], left)
            if isinstance(prepared, PreparedRequest):
                return prepared
            addresses = list(prepared.addresses)
            fetched |= zip((url for url, _ in addresses), await self._fetch(addresses), strict=True)

    @asynccontextmanager
    async def _turn(self, who: Who, deadline: float) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await stack.enter_async_context(self._gate.turn(who))
            except TimeoutError as error:
                raise RequestError("there was no time left to answer", status=503, code="timeout", wait=10) from error
            yield

    async def _fetch(self, addresses: list[tuple[str, str]]) -> list[bytes]:
        def fetch(url: str, param: str) -> bytes:
            try:
                return fetch_image(url, self._settings.limits.body, _FETCH_SECONDS)
            except RequestError as error:
                raise RequestError(error.message, param=param, code=error.code) from error

        def run(url: str, param: str) -> Coroutine[Any, Any, bytes]:
            return anyio.to_thread.run_sync(fetch, url, param, abandon_on_cancel=True, limiter=self._fetchers)

        return list(await asyncio.gather(*(run(url, param) for url, param in addresses)))


async def unless_gone(
    request: Request, work: Coroutine[Any, Any, T], unwanted: "asyncio.Future[None] | None" = None
) -> T | None:
    """Wait for something as long as the client does.

    Args:
        request: Whose client is watched.
        work: What is waited for.
        unwanted: Done once it is of no use any more; then the result is None.

    Raises:
        ClientDisconnect: It has gone.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leaving(request))
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


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Hearing:
    """Brings what the engine's thread tells to the loop that waits for it."""

    def __init__(self, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[Heard] = asyncio.Queue()
        self._deadline = deadline

    def tell(self, heard: Heard) -> None:
        """Take something, from any thread."""
        # a loop that was closed in the meantime has nobody waiting
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heard.put_nowait, heard)

    async def next(self) -> str | Answer:
        """Wait for the next piece, or the end.

        Raises:
            RequestError: It went wrong, or took too long.
        """
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                heard = await self._heard.get()
        except TimeoutError as error:
            raise RequestError("there was no time left to answer", status=503, code="timeout", wait=10) from error
        if isinstance(heard, Exception):
            raise refusal(heard) from heard
        return heard

    async def first(self, whole: bool) -> str | Answer:
        """Wait for the first piece; or for the whole answer.

        Raises:
            RequestError: It went wrong, or took too long.
        """
        while isinstance(heard := await self.next(), str):
            if not whole:
                break
        return heard


class _Written:
    """One answer as OpenAI's clients read it.

    Args:
        model: What the model is called.
    """

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return an answer that is sent at once."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[answer.finish]}
        return self._common | {
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(answer),
            "rounds_dropped": answer.num_rounds_dropped,
        }

    def piece(self, delta: dict[str, Any], answer: Answer | None = None) -> dict[str, Any]:
        """Return a piece of an answer; the last one with the answer."""
        finish = _FINISH[answer.finish] if answer else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"rounds_dropped": answer.num_rounds_dropped} if answer else {}
        return self._common | {"object": "chat.completion.chunk", "choices": [choice]} | more

    def counts(self, answer: Answer) -> dict[str, Any]:
        """Return the last piece, which has no text and tells the counts."""
        return self._common | {"object": "chat.completion.chunk", "choices": [], "usage": _usage(answer)}


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_new_tokens,
        "total_tokens": answer.num_prompt_tokens + answer.num_new_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.num_cached_tokens},
    }


async def _events(first: str | Answer, hearing: _Hearing, written: _Written, wants_usage: bool) -> AsyncIterator[bytes]:
    """Yield an answer as server-sent events."""
    yield _event(written.piece({"role": "assistant", "content": ""}))
    heard = first
    try:
        while isinstance(heard, str):
            yield _event(written.piece({"content": heard}))
            heard = await hearing.next()
    except RequestError as error:
        # the status is gone; clients look for an error in the stream
        yield _event(error.body)
        return
    yield _event(written.piece({}, heard))
    if wants_usage:
        yield _event(written.counts(heard))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


class _EventStream(StreamingResponse):
    """Server-sent events; whatever ends them, what was held for them is let go.

    A client that stops reading, and does not go either, is left at the deadline.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], held: ExitStack, deadline: float) -> None:
        # a proxy that gathers what it passes on would undo the streaming
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._held, self._deadline = held, deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        with self._held, suppress(TimeoutError):
            async with asyncio.timeout(self._deadline - time.monotonic()):
                await super().__call__(scope, receive, send)
