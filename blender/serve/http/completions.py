"""Answers as OpenAI's clients read them: one JSON object, or server-sent events."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from blender.serve.generate import Answer
from blender.serve.http.engine import AnswerEvent
from blender.serve.http.request_errors import RequestError, out_of_time, to_request_error

_FINISH_REASONS = {"end": "stop", "marker": "stop", "length": "length", "cancelled": "length"}


class EventQueue:
    """Passes the events of an answer from the engine's thread to the event loop.

    Args:
        deadline: By ``time.monotonic``: when to stop waiting for events.
    """

    def __init__(self, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[AnswerEvent] = asyncio.Queue()
        self._deadline = deadline

    def put(self, event: AnswerEvent) -> None:
        """Add an event, from any thread."""
        # the loop may have been closed in the meantime; then nobody waits
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self) -> str | Answer:
        """Wait for the next piece of text, or for the whole answer at the end.

        Raises:
            RequestError: The answer failed, or took too long.
        """
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                event = await self._events.get()
        except TimeoutError as error:
            raise out_of_time() from error
        if isinstance(event, Exception):
            raise to_request_error(event) from event
        return event

    async def last(self) -> Answer:
        """Wait for the whole answer.

        Raises:
            RequestError: The answer failed, or took too long.
        """
        while isinstance(event := await self.next(), str):
            pass
        return event


class Completion:
    """OpenAI's JSON objects of one answer.

    Args:
        model: Name of the model.
    """

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """Return an answer that is sent at once."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH_REASONS[answer.finish]}
        return self._common | {
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(answer),
            "rounds_dropped": answer.num_turns_dropped,
        }

    def chunk(self, delta: dict[str, Any], answer: Answer | None = None) -> dict[str, Any]:
        """Return a piece of an answer; the last one with the answer."""
        finish = _FINISH_REASONS[answer.finish] if answer else None
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"rounds_dropped": answer.num_turns_dropped} if answer else {}
        return self._common | {"object": "chat.completion.chunk", "choices": [choice]} | more

    def usage_chunk(self, answer: Answer) -> dict[str, Any]:
        """Return the last piece, which has no text but the counts."""
        return self._common | {"object": "chat.completion.chunk", "choices": [], "usage": _usage(answer)}


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_new_tokens,
        "total_tokens": answer.num_prompt_tokens + answer.num_new_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.num_cached_tokens},
    }


async def stream_events(
    first: str | Answer, events: EventQueue, completion: Completion, include_usage: bool
) -> AsyncIterator[bytes]:
    """Yield an answer as server-sent events.

    Args:
        first: Its first event.
        events: Its further events.
        completion: Writes them.
        include_usage: Whether a last piece has the counts.
    """
    yield _event(completion.chunk({"role": "assistant", "content": ""}))
    event = first
    try:
        while isinstance(event, str):
            yield _event(completion.chunk({"content": event}))
            event = await events.next()
    except RequestError as error:
        # the status has been sent already; clients look for an error in the stream
        yield _event(error.body)
        return
    yield _event(completion.chunk({}, event))
    if include_usage:
        yield _event(completion.usage_chunk(event))
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


class EventStream(StreamingResponse):
    """A response of server-sent events, which ends at a deadline even if its client stops reading.

    Args:
        events: What is sent.
        resources: Closed when the response ends, however that is.
        deadline: By ``time.monotonic``.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], resources: ExitStack, deadline: float) -> None:
        # a proxy that buffers would undo the streaming
        super().__init__(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._resources, self._deadline = resources, deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._resources, suppress(TimeoutError):
            async with asyncio.timeout(self._deadline - time.monotonic()):
                await super().__call__(scope, receive, send)
