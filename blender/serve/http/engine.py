"""The one model, and those who wait for it.

A thread of its own takes what is next (:class:`~blender.serve.http.fairness.FairQueue`), up to a batch of it, and has
it answered together; each answer is told as it grows and as soon as it is over, however long others of its batch go on.
Who has gone away, or has run out of time, stops being answered at the next token. A batch that is one user's alone lets
the questions of others in between two of its tokens, so that they do not wait for its end.
"""

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import torch

from blender.core.errors import SessionError
from blender.serve.http.fairness import FairQueue, Who
from blender.serve.http.faults import RequestError
from blender.serve.http.measures import Measures
from blender.serve.http.preparing import Conversations
from blender.serve.http.reading import Asked
from blender.serve.session import Answer, Ready, Session, ask_together

_log = logging.getLogger(__name__)
#: what comes of a question: pieces of text, and at the end the whole answer or what went wrong
Heard = str | Answer | Exception
#: failures in a row that mean that the model will not recover
_HOPELESS = 3
#: how many times as long as a batch has run it may wait for others between two of its tokens
_INTERRUPTED = 2.0
#: seconds that a client is told to wait, at most
_LONGEST_WAIT = 60


@dataclass(eq=False)
class Job:
    """A question that waits for its answer."""

    asked: Asked
    session: Session
    #: called with what is heard, from the engine's thread
    tell: Callable[[Heard], None]
    #: by ``time.monotonic``
    deadline: float
    #: its tokens and pixels, where they were made before
    ready: Ready | None = None
    #: whether its turn has come
    is_taken: bool = False
    gone: threading.Event = field(default_factory=threading.Event)
    begun: float = field(default_factory=monotonic)
    first: float | None = None
    is_over: bool = False
    #: whether it was tried before, together with others or with less memory
    is_retried: bool = False
    #: whether its session is no longer this one's
    is_back: bool = False

    def hear(self, piece: str) -> None:
        """Pass a piece of the answer on."""
        self.first = self.first or monotonic()
        self.tell(piece)

    def end(self, last: Answer | Exception) -> None:
        """Pass on how it ended, once."""
        if not self.is_over:
            self.is_over = True
            self.tell(last)

    def is_cancelled(self) -> bool:
        """Say whether nobody waits any more."""
        return self.gone.is_set() or monotonic() >= self.deadline


class _Batch:
    """Jobs that are answered together.

    Args:
        jobs: The jobs.
        can_wait: Whether others may be let in between; not where these were let in themselves.
    """

    def __init__(self, jobs: Sequence[Job], can_wait: bool) -> None:
        self.who: Who = (jobs[0].asked.client, jobs[0].asked.user)
        is_one_users = len(jobs) > 1 and all((job.asked.client, job.asked.user) == self.who for job in jobs)
        self._can_wait = can_wait and is_one_users
        self._begun, self._waited = monotonic(), 0.0

    @property
    def may_be_interrupted(self) -> bool:
        """Whether others may be answered now: in all at most for some times the time that it has had itself."""
        return self._can_wait and self._waited <= _INTERRUPTED * (monotonic() - self._begun - self._waited)

    @contextmanager
    def interrupted(self) -> Iterator[None]:
        """Count the time of a block as the others'."""
        begun, self._can_wait = monotonic(), False
        try:
            yield
        finally:
            self._can_wait = True
            self._waited += monotonic() - begun


class Engine:
    """Answers jobs.

    Args:
        conversations: Where sessions go back to.
        batch: How many are answered together at most.
        measures: What counts.
    """

    def __init__(self, conversations: Conversations, batch: int, measures: Measures) -> None:
        self._conversations, self._batch, self._measures = conversations, batch, measures
        self._waiting: FairQueue[Job] = FairQueue()
        self._running: list[Job] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._failures = 0
        #: batches that have begun and are not over: two where one is interrupted
        self._batches = 0
        self._seconds_each = 1.0
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop what is being answered, and refuse what waits."""
        with self._changed:
            self._is_closing = True
            left = self._waiting.take(len(self._waiting))
            for job in self._running:
                job.gone.set()
            self._changed.notify_all()
        for job in left:
            job.end(RequestError("the server is shutting down", status=503, code="shutting_down", wait=5))
        self._thread.join(timeout=10)

    @property
    def is_well(self) -> bool:
        """Whether questions are being answered."""
        return self._thread.is_alive() and not self._is_closing and self._failures < _HOPELESS

    @property
    def num_waiting(self) -> int:
        """Jobs that wait."""
        with self._changed:
            return len(self._waiting)

    @property
    def num_running(self) -> int:
        """Jobs that are being answered."""
        return sum(not job.is_over for job in list(self._running))

    def seconds_to_wait(self) -> int:
        """Estimate after how many seconds there will be room."""
        rounds = (self.num_waiting + self.num_running) / self._batch
        return max(1, min(_LONGEST_WAIT, math.ceil(rounds * self._seconds_each / 2)))

    def submit(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            RequestError: The server is shutting down.
        """
        with self._changed:
            if self._is_closing:
                raise RequestError("the server is shutting down", status=503, code="shutting_down", wait=5)
            self._waiting.put(job.asked.client, job, job.asked.user)
            self._changed.notify_all()

    def withdraw(self, job: Job) -> None:
        """Give a job up, wherever it is."""
        job.gone.set()
        with self._changed:
            if self._waiting.discard(job.asked.client, job, job.asked.user):
                self._give_back(job)

    def _give_back(self, job: Job) -> None:
        if not job.is_back:
            job.is_back = True
            self._conversations.give_back(job.asked, job.session)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or len(self._waiting))
                if self._is_closing:
                    return
                batch = self._take(self._batch)
            self._answer_batch(batch)

    def _take(self, most: int, without: Collection[Who] = ()) -> list[Job]:
        """Take jobs whose turn it is."""
        batch = self._waiting.take(most, without)
        for job in batch:
            job.is_taken = True
        self._running = [*self._running, *batch]
        return batch

    def _answer_batch(self, batch: list[Job]) -> None:
        wanted = [job for job in batch if not job.is_cancelled()]
        if wanted:
            self._answer_all(wanted)
        for job in batch:
            self._give_back(job)
            job.end(_late())
        self._running = [job for job in self._running if job not in batch]

    def _let_others_in(self, batch: "_Batch") -> None:
        """Between two tokens of a batch that is one user's alone, answer the questions of others."""
        if not batch.may_be_interrupted:
            return
        with self._changed:
            others = [] if self._is_closing else self._take(self._batch, {batch.who})
        if others:
            with batch.interrupted():
                self._answer_batch(others)

    def _answer_all(self, jobs: list[Job]) -> None:
        begun = monotonic()
        self._measures.begin([begun - job.begun for job in jobs])
        try:
            self._ask(jobs)
            self._failures = 0
        except Exception as error:
            self._fail(jobs, error)
        self._seconds_each += (monotonic() - begun - self._seconds_each) / 4

    def _is_cancelled(self, job: Job, batch: "_Batch") -> bool:
        self._let_others_in(batch)
        return job.is_cancelled()

    def _ask(self, jobs: list[Job]) -> None:
        batch = _Batch(jobs, can_wait=self._batches == 0)
        self._batches += 1
        try:
            self._ask_batch(jobs, batch)
        finally:
            self._batches -= 1

    def _ask_batch(self, jobs: list[Job], batch: "_Batch") -> None:
        answers = ask_together(
            [job.session for job in jobs],
            [(job.asked.question, job.asked.images) for job in jobs],
            [job.asked.sampling for job in jobs],
            on_text=[job.hear for job in jobs],
            cancelled=[partial(self._is_cancelled, job, batch) for job in jobs],
            on_end=[partial(self._end, job) for job in jobs] if len(jobs) > 1 else None,
            ready=[job.ready for job in jobs],
        )
        if len(jobs) > 1:
            # nothing is kept of a batch: it would only take the place of what is
            for job in jobs:
                job.is_back = True
        else:
            # before it is told: the next question may come at once, and go on with what was kept
            self._give_back(jobs[0])
            self._end(jobs[0], answers[0])

    def _end(self, job: Job, answer: Answer) -> None:
        self._measures.end(answer, job.first and job.first - job.begun, monotonic() - job.begun)
        job.end(answer)

    def _fail(self, jobs: list[Job], error: Exception) -> None:
        """Answer one by one those who have heard nothing yet: the fault may be another one's."""
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if is_memory:
            # what failed holds its tensors through the frames of its traceback
            error.__traceback__ = None
            self._conversations.forget()
            torch.cuda.empty_cache()
            _log.warning("no memory for %d questions together", len(jobs))
        elif not isinstance(error, SessionError):
            self._failures += len(jobs) == 1
            _log.error("%d questions together were not answered", len(jobs), exc_info=error)
        for job in (job for job in jobs if not job.is_over):
            if job.first is None and (len(jobs) > 1 or (is_memory and not job.is_retried)):
                job.is_retried = True
                self._answer_all([job])
            job.end(_no_memory() if is_memory else error)


def _late() -> RequestError:
    return RequestError("there was no time left to answer", status=503, code="timeout", wait=10)


def _no_memory() -> RequestError:
    told = "the server has not enough memory for this conversation: ask with fewer images, or later"
    return RequestError(told, status=503, code="out_of_memory", wait=30)
