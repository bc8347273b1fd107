"""From a request to its answer: read, prepared, waited for, and sent whole or piece by piece.

What a client must be told with a status is found out before the first byte of an answer; a stream begins with the first
text. A client that goes away takes its question along, wherever that is by then.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from blender.parallel import num_cores
from blender.serve.http.engine import Engine, Heard, Job
from blender.serve.http.faults import RequestError, refusal
from blender.serve.http.fetching import fetch_image
from blender.serve.http.preparing import Conversations
from blender.serve.http.reading import Asked, read_request, web_addresses
from blender.serve.http.schema import ChatRequest, parse_request
from blender.serve.http.settings import Settings
from blender.serve.session import Answer, Session

T = TypeVar("T")
#: seconds that a body may take to come, and a fetched image
_BODY_SECONDS, _FETCH_SECONDS = 60.0, 15.0
#: seconds beyond its time in which an answer may still say that it is over
_GRACE = 5.0
#: seconds for which the rest of a body that is too large is thrown away, so that its sender reads the refusal
_DRAIN_SECONDS = 5.0
_FINISH = {"end": "stop", "marker": "stop", "length": "length", "cancelled": "length"}


class Service:
    """Answers requests.

    Args:
        name: What the model is called.
        settings: What is allowed.
        conversations: Where sessions come from.
        engine: What answers.
    """

    def __init__(self, name: str, settings: Settings, conversations: Conversations, engine: Engine) -> None:
        self._name, self._settings = name, settings
        self._conversations, self._engine = conversations, engine
        self._num_inside = 0
        self._readers = CapacityLimiter(num_cores())
        self._fetchers = CapacityLimiter(16)

    async def answer(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            RequestError: It is refused.
        """
        with ExitStack() as stack:
            deadline = time.monotonic() + self._settings.limits.seconds
            stack.enter_context(self._place())
            asked_for = parse_request(await self._body(request))
            self.require_model(asked_for.model)
            hearing = _Hearing(deadline + _GRACE)
            asked, session = await unless_gone(request, self._prepare(asked_for, _address(request)))
            job = Job(asked, session, hearing.tell, deadline)
            stack.callback(self._engine.withdraw, job)
            self._engine.submit(job)
            written = _Written(self._name)
            first = await unless_gone(request, hearing.first(whole=not asked_for.stream))
            if not asked_for.stream:
                assert isinstance(first, Answer)
                return JSONResponse(written.whole(first))
            wants_usage = asked_for.stream_options is not None and asked_for.stream_options.include_usage
            pieces = _events(first, hearing, written, wants_usage)
            return _EventStream(pieces, stack.pop_all(), deadline + 2 * _GRACE)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take a place among those who wait or are being answered."""
        limits = self._settings.limits
        if self._num_inside >= limits.queue + limits.batch:
            wait = self._engine.seconds_to_wait()
            told = f"{self._num_inside} questions are waiting already: try again in {wait} s"
            raise RequestError(told, status=429, code="rate_limit_exceeded", wait=wait)
        self._num_inside += 1
        try:
            yield
        finally:
            self._num_inside -= 1

    async def _body(self, request: Request) -> bytearray:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(
                "the body must be JSON: send Content-Type: application/json", code="invalid_content_type"
            )
        limit, length = self._settings.limits.body, request.headers.get("content-length", "0")
        body, is_large = bytearray(), length.isdecimal() and int(length) > limit
        try:
            async with asyncio.timeout(_DRAIN_SECONDS if is_large else _BODY_SECONDS):
                async for piece in request.stream():
                    if not is_large:
                        body += piece
                    is_large = is_large or len(body) > limit
        except TimeoutError as error:
            if not is_large:
                raise RequestError("the body took too long to come", status=408, code="timeout") from error
        if is_large:
            told = f"the request is too large: {limit:,} bytes are allowed, images in base64 included"
            raise RequestError(told, status=413, code="request_too_large")
        return body

    def require_model(self, name: str) -> None:
        """Refuse another model's name.

        Raises:
            RequestError: The model is not called that.
        """
        if name != self._name:
            told = f"there is no model {name!r} here: the model is called {self._name!r}"
            raise RequestError(told, status=404, param="model", code="model_not_found")

    async def _prepare(self, request: ChatRequest, address: str) -> tuple[Asked, Session]:
        addresses = web_addresses(request, self._settings)
        fetched = dict(zip((url for url, _ in addresses), await self._fetch(addresses), strict=True))
        return await anyio.to_thread.run_sync(self._read, request, fetched, address, limiter=self._readers)

    def _read(self, request: ChatRequest, fetched: dict[str, bytes], address: str) -> tuple[Asked, Session]:
        asked = read_request(request, self._settings, fetched, address)
        return asked, self._conversations.lend(asked)

    async def _fetch(self, addresses: list[tuple[str, str]]) -> list[bytes]:
        def fetch(url: str, param: str) -> bytes:
            try:
                return fetch_image(url, self._settings.limits.body, _FETCH_SECONDS)
            except RequestError as error:
                raise RequestError(error.message, param=param, code=error.code) from error

        def run(url: str, param: str) -> Coroutine[Any, Any, bytes]:
            return anyio.to_thread.run_sync(fetch, url, param, abandon_on_cancel=True, limiter=self._fetchers)

        return list(await asyncio.gather(*(run(url, param) for url, param in addresses)))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Wait for something as long as the client does.

    Raises:
        ClientDisconnect: It has gone.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leaving(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
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
