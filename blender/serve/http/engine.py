"""The thread that runs the model, and the queue of requests before it.

The thread takes the next requests (:class:`~blender.serve.http.fair_queue.FairQueue`), up to a batch, and answers them
together. Each answer is sent as it grows and as soon as it is over, while others of its batch go on. An answer whose
client has gone or whose deadline has passed stops at the next token.

A batch of one user's requests alone lets the requests of others in between two of its tokens, so that they need not
wait for its end. A long prompt is answered alone, and computed in pieces: between two pieces others are let in as well,
and it stops there if its client has gone or its deadline has passed.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import torch

from blender.serve.generate import Answer, answer_prompts
from blender.serve.http.fair_queue import FairQueue, Who
from blender.serve.http.metrics import ServerMetrics
from blender.serve.http.preparation import PreparedRequest
from blender.serve.http.request_errors import RequestError, out_of_time
from blender.serve.loading import LoadedModel
from blender.serve.prefix_cache import PrefixCaches

_log = logging.getLogger(__name__)
#: pieces of an answer's text, and at the end the whole answer or an error
AnswerEvent = str | Answer | Exception
#: positions above which a prompt is answered alone and in pieces
LONG_PROMPT = 4_096
#: failures in a row after which the model is taken for broken
_MAX_FAILURES = 3
#: how many times its own running time a batch may wait for others that it lets in
_MAX_WAIT_RATIO = 2.0
#: seconds that a client is told to wait, at most
_MAX_RETRY_SECONDS = 60


@dataclass(eq=False)
class QueuedRequest:
    """A request from when it is prepared until it is answered."""

    prepared: PreparedRequest
    #: called with each event of the answer, from the engine's thread
    send: Callable[[AnswerEvent], None]
    #: by ``time.monotonic``
    deadline: float
    #: whether the engine has taken it
    is_taken: bool = False
    gone: threading.Event = field(default_factory=threading.Event)
    queued_at: float = field(default_factory=monotonic)
    first_text_at: float | None = None
    is_over: bool = False
    #: whether it was tried before, with others or with less memory
    is_retried: bool = False

    @property
    def is_long(self) -> bool:
        """Whether its prompt is answered alone and in pieces."""
        return len(self.prepared.prompt) > LONG_PROMPT

    def send_text(self, piece: str) -> None:
        """Send a piece of the answer."""
        self.first_text_at = self.first_text_at or monotonic()
        self.send(piece)

    def end(self, last: Answer | Exception) -> None:
        """Send how it ended, once."""
        if not self.is_over:
            self.is_over = True
            self.send(last)

    def is_cancelled(self) -> bool:
        """Return whether its client has gone or its deadline has passed."""
        return self.gone.is_set() or monotonic() >= self.deadline


class _RunningBatch:
    """Requests that are answered together.

    Args:
        requests: The requests.
        can_wait: Whether it may let others in; not if it was let in itself.
    """

    def __init__(self, requests: Sequence[QueuedRequest], can_wait: bool) -> None:
        who = requests[0].prepared.who
        is_long = requests[0].is_long
        is_one_users = len(requests) > 1 and all(request.prepared.who == who for request in requests)
        self._can_wait = can_wait and (is_one_users or is_long)
        #: users who are not let in: while they have a batch, their other requests wait for it
        self.without: tuple[Who, ...] = () if is_long else (who,)
        self._begun, self._waited = monotonic(), 0.0

    @property
    def may_be_interrupted(self) -> bool:
        """Whether others may be let in now: it waits for a limited multiple of its own running time."""
        return self._can_wait and self._waited <= _MAX_WAIT_RATIO * (monotonic() - self._begun - self._waited)

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Count the time in this context as waiting."""
        begun, self._can_wait = monotonic(), False
        try:
            yield
        finally:
            self._can_wait = True
            self._waited += monotonic() - begun


class Engine:
    """Answers requests.

    Args:
        loaded: The model.
        caches: KV caches of earlier requests.
        batch_size: Requests answered together at most.
        metrics: Counts what happens.
    """

    def __init__(self, loaded: LoadedModel, caches: PrefixCaches, batch_size: int, metrics: ServerMetrics) -> None:
        self._loaded, self._caches = loaded, caches
        self._batch_size, self._metrics = batch_size, metrics
        self._waiting: FairQueue[QueuedRequest] = FairQueue()
        self._running: list[QueuedRequest] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._num_failures = 0
        #: batches that have begun and are not over: two while one is interrupted
        self._num_batches = 0
        self._seconds_per_batch = 1.0
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop what is being answered, and refuse what waits."""
        with self._changed:
            self._is_closing = True
            waiting = self._waiting.take(len(self._waiting))
            for request in self._running:
                request.gone.set()
            self._changed.notify_all()
        for request in waiting:
            request.end(_shutting_down())
        self._thread.join(timeout=10)

    @property
    def is_healthy(self) -> bool:
        """Whether requests are being answered."""
        return self._thread.is_alive() and not self._is_closing and self._num_failures < _MAX_FAILURES

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        with self._changed:
            return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Requests that are being answered."""
        return sum(not request.is_over for request in list(self._running))

    def seconds_to_wait(self) -> int:
        """Estimate after how many seconds there will be room."""
        batches = (self.num_waiting + self.num_running) / self._batch_size
        return max(1, min(_MAX_RETRY_SECONDS, math.ceil(batches * self._seconds_per_batch / 2)))

    def submit(self, request: QueuedRequest) -> None:
        """Add a request to the queue.

        Raises:
            RequestError: The server is shutting down.
        """
        with self._changed:
            if self._is_closing:
                raise _shutting_down()
            self._waiting.put(request.prepared.who, request)
            self._changed.notify_all()

    def withdraw(self, request: QueuedRequest) -> None:
        """Give a request up, whether it waits or is being answered."""
        request.gone.set()
        with self._changed:
            self._waiting.discard(request.prepared.who, request)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or len(self._waiting))
                if self._is_closing:
                    return
                batch = self._begin(self._next_batch())
            self._answer_batch(batch)

    def _next_batch(self) -> list[QueuedRequest]:
        first = self._waiting.take(1)
        if first[0].is_long:
            return first
        return first + self._waiting.take(self._batch_size - 1, where=_is_short)

    def _begin(self, batch: list[QueuedRequest]) -> list[QueuedRequest]:
        for request in batch:
            request.is_taken = True
        self._running = [*self._running, *batch]
        return batch

    def _answer_batch(self, batch: list[QueuedRequest]) -> None:
        wanted = [request for request in batch if not request.is_cancelled()]
        if wanted:
            self._answer_all(wanted)
        for request in batch:
            request.end(out_of_time())
        self._running = [request for request in self._running if request not in batch]

    def _let_others_in(self, batch: _RunningBatch) -> None:
        """Answer the requests of others before a batch goes on."""
        if not batch.may_be_interrupted:
            return
        with self._changed:
            others: list[QueuedRequest] = []
            if not self._is_closing:
                # a long prompt would not let others in itself
                others = self._begin(self._waiting.take(self._batch_size, without=batch.without, where=_is_short))
        if others:
            with batch.interrupted():
                self._answer_batch(others)

    def _answer_all(self, requests: list[QueuedRequest]) -> None:
        begun = monotonic()
        self._metrics.begin([begun - request.queued_at for request in requests])
        try:
            self._ask(requests)
        except Exception as error:
            self._fail(requests, error)
        self._seconds_per_batch += (monotonic() - begun - self._seconds_per_batch) / 4

    def _ask(self, requests: list[QueuedRequest]) -> None:
        batch = _RunningBatch(requests, can_wait=self._num_batches == 0)
        self._num_batches += 1
        try:
            if len(requests) > 1:
                self._ask_batch(requests, batch)
            else:
                self._ask_alone(requests[0], batch)
        finally:
            self._num_batches -= 1

    def _ask_batch(self, requests: list[QueuedRequest], batch: _RunningBatch) -> None:
        answer_prompts(
            self._loaded,
            [request.prepared.prompt for request in requests],
            [request.prepared.sampling for request in requests],
            on_text=[request.send_text for request in requests],
            is_cancelled=[partial(self._is_cancelled, request, batch) for request in requests],
            on_answer=[partial(self._end, request) for request in requests],
        )

    def _ask_alone(self, request: QueuedRequest, batch: _RunningBatch) -> None:
        prepared = request.prepared
        prefix = self._caches.take(prepared.who, prepared.prompt)
        answer = answer_prompts(
            self._loaded,
            [prepared.prompt],
            [prepared.sampling],
            on_text=[request.send_text],
            is_cancelled=[partial(self._is_cancelled, request, batch)],
            prefix=prefix,
        )[0]
        # before the answer is sent, as the next question may come at once
        self._caches.put(prepared.who, prefix)
        self._end(request, answer)

    def _is_cancelled(self, request: QueuedRequest, batch: _RunningBatch) -> bool:
        self._let_others_in(batch)
        return request.is_cancelled()

    def _end(self, request: QueuedRequest, answer: Answer) -> None:
        self._num_failures = 0
        first = request.first_text_at
        self._metrics.end(answer, first and first - request.queued_at, monotonic() - request.queued_at)
        # an answer without a token has spent its time on the prompt
        request.end(answer if answer.num_new_tokens else out_of_time())

    def _fail(self, requests: list[QueuedRequest], error: Exception) -> None:
        """Answer those one by one that have no text yet: the fault may be that of another one."""
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if is_memory:
            # the frames of the traceback hold the tensors of what failed
            error.__traceback__ = None
            self._caches.clear()
            torch.cuda.empty_cache()
            _log.warning("no memory for %d questions together", len(requests))
        else:
            self._num_failures += len(requests) == 1
            _log.error("%d questions together were not answered", len(requests), exc_info=error)
        for request in (request for request in requests if not request.is_over):
            if request.first_text_at is None and (len(requests) > 1 or (is_memory and not request.is_retried)):
                request.is_retried = True
                self._answer_all([request])
            request.end(_out_of_memory() if is_memory else error)


def _is_short(request: QueuedRequest) -> bool:
    return not request.is_long


def _shutting_down() -> RequestError:
    return RequestError("the server is shutting down", status=503, code="shutting_down", wait=5)


def _out_of_memory() -> RequestError:
    message = "the server has not enough memory for this conversation: ask with fewer images, or later"
    return RequestError(message, status=503, code="out_of_memory", wait=30)
