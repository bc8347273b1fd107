"""Admission of requests, and the order in which they are prepared. Runs in the event loop.

A request is admitted only when its body has arrived. If the server is full, a new request displaces the newest waiting
one of whoever has most, if that makes the shares more even: so one client may use the whole server while nobody else
wants it, and cannot lock anybody out. A displaced request is refused like one that comes too late.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from blender.serve.http.fair_queue import FairQueue, Who
from blender.serve.http.request_errors import RequestError


class Admission:
    """An admitted request.

    Args:
        who: Client and user.
    """

    def __init__(self, who: Who) -> None:
        self.who = who
        #: whether its answer has begun; then it is no longer displaced
        self.has_begun: Callable[[], bool] = lambda: False
        #: done when another request displaces this one
        self.displaced: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Admissions:
    """All admitted requests.

    Args:
        most: How many there may be.
        seconds_to_wait: Estimates after how many seconds there will be room.
    """

    def __init__(self, most: int, seconds_to_wait: Callable[[], int]) -> None:
        self._most, self._seconds_to_wait = most, seconds_to_wait
        #: in the order of their admission
        self._admitted: dict[Admission, None] = {}

    def __len__(self) -> int:
        return len(self._admitted)

    @contextmanager
    def take(self, who: Who) -> Iterator[Admission]:
        """Admit a request for the duration of the context.

        Raises:
            RequestError: The server is full.
        """
        if len(self._admitted) >= self._most:
            self._displace_for(who)
        admission = Admission(who)
        self._admitted[admission] = None
        try:
            yield admission
        finally:
            self._admitted.pop(admission, None)

    def refusal(self) -> RequestError:
        """Return the error of a request that is not admitted."""
        wait = self._seconds_to_wait()
        message = f"{len(self._admitted)} questions are waiting already: try again in {wait} s"
        return RequestError(message, status=429, code="rate_limit_exceeded", wait=wait)

    def _displace_for(self, who: Who) -> None:
        clients = Counter(admission.who[0] for admission in self._admitted)
        users = Counter(admission.who for admission in self._admitted)
        candidates = [
            admission
            for admission in reversed(self._admitted)
            if not admission.has_begun() and _is_fairer(admission.who, who, clients, users)
        ]
        if not candidates:
            raise self.refusal()
        # another client's before another user's; of these, the newest of whoever has most
        displaced = max(candidates, key=lambda admission: (admission.who[0] != who[0], users[admission.who]))
        del self._admitted[displaced]
        displaced.displaced.set_result(None)


def _is_fairer(holder: Who, newcomer: Who, clients: Counter[str], users: Counter[Who]) -> bool:
    """Return whether shares become more even if a request of the holder gives way to the newcomer's."""
    if holder[0] != newcomer[0]:
        most, own = max(clients.values()), clients[newcomer[0]]
        return clients[holder[0]] == most and own + 1 < most
    most = max(count for who, count in users.items() if who[0] == newcomer[0])
    return users[holder] == most and users[newcomer] + 1 < most


class Gate:
    """A semaphore in fair order.

    Args:
        most: How many may be inside; no client takes all of them if there are several.
    """

    def __init__(self, most: int) -> None:
        self._most, self._most_each = most, max(1, most - 1)
        self._inside: Counter[str] = Counter()
        #: clients, each with a future that is done when its turn comes
        self._waiting: FairQueue[tuple[str, asyncio.Future[None]]] = FairQueue()

    @asynccontextmanager
    async def turn(self, who: Who) -> AsyncIterator[None]:
        """Wait for a turn; it ends with the context."""
        client = who[0]
        waiting = client, asyncio.get_running_loop().create_future()
        self._waiting.put(who, waiting)
        self._let_in()
        try:
            await waiting[1]
            yield
        finally:
            if not self._waiting.discard(who, waiting):
                self._inside[client] -= 1
                self._let_in()

    def _let_in(self) -> None:
        while self._inside.total() < self._most:
            full = {client for client, count in self._inside.items() if count >= self._most_each}
            for client, turn in (taken := self._waiting.take(1, without_clients=full)):
                self._inside[client] += 1
                if not turn.done():
                    turn.set_result(None)
            if not taken:
                break
        self._inside = +self._inside
