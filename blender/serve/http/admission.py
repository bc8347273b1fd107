"""Who may wait, and who is prepared next. All of it belongs to the event loop.

A request takes a place only when its body is whole. When all places are taken, a newcomer gets the newest waiting one
of whoever holds most, if that makes the shares more even: so one client may use all of the server as long as nobody
else wants it, and cannot lock anybody out. A displaced request is refused as it would have been had it come later.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from blender.serve.http.fairness import FairQueue, Who
from blender.serve.http.faults import RequestError


class Admission:
    """A request's place among those that wait or are being answered.

    Args:
        who: Whose it is.
    """

    def __init__(self, who: Who) -> None:
        self.who = who
        #: whether its answer has begun, so that it is not displaced any more
        self.has_begun: Callable[[], bool] = lambda: False
        #: done once the place is somebody else's
        self.displaced: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Admissions:
    """All places.

    Args:
        most: How many there are.
        seconds_to_wait: Estimates after how many seconds there will be room.
    """

    def __init__(self, most: int, seconds_to_wait: Callable[[], int]) -> None:
        self._most, self._seconds_to_wait = most, seconds_to_wait
        #: in the order in which they were taken
        self._taken: dict[Admission, None] = {}

    def __len__(self) -> int:
        return len(self._taken)

    @contextmanager
    def take(self, who: Who) -> Iterator[Admission]:
        """Take a place, for as long as the block lasts.

        Raises:
            RequestError: There is none.
        """
        if len(self._taken) >= self._most:
            self._displace_for(who)
        place = Admission(who)
        self._taken[place] = None
        try:
            yield place
        finally:
            self._taken.pop(place, None)

    def refusal(self) -> RequestError:
        """Return what a request without a place is refused with."""
        wait = self._seconds_to_wait()
        told = f"{len(self._taken)} questions are waiting already: try again in {wait} s"
        return RequestError(told, status=429, code="rate_limit_exceeded", wait=wait)

    def _displace_for(self, who: Who) -> None:
        clients = Counter(place.who[0] for place in self._taken)
        users = Counter(place.who for place in self._taken)
        fairer = [
            place
            for place in reversed(self._taken)
            if not place.has_begun() and _is_fairer(place.who, who, clients, users)
        ]
        if fairer:
            # another client's before another user's; of these, the newest of whoever holds most
            place = max(fairer, key=lambda place: (place.who[0] != who[0], users[place.who]))
            del self._taken[place]
            place.displaced.set_result(None)
            return
        raise self.refusal()


def _is_fairer(holder: Who, newcomer: Who, clients: Counter[str], users: Counter[Who]) -> bool:
    """Say whether shares are more even once one who holds most has given a place to a newcomer."""
    if holder[0] != newcomer[0]:
        most, own = max(clients.values()), clients[newcomer[0]]
        return clients[holder[0]] == most and own + 1 < most
    most = max(count for who, count in users.items() if who[0] == newcomer[0])
    return users[holder] == most and users[newcomer] + 1 < most


class Gate:
    """Lets a few in at a time, in fair order.

    Args:
        most: How many; no client has all of them where there are several.
    """

    def __init__(self, most: int) -> None:
        self._most, self._most_each = most, max(1, most - 1)
        self._inside: Counter[str] = Counter()
        #: clients, with what is done once it is their turn
        self._waiting: FairQueue[tuple[str, asyncio.Future[None]]] = FairQueue()

    @asynccontextmanager
    async def turn(self, who: Who) -> AsyncIterator[None]:
        """Wait for one's turn; the next one's comes when the block ends."""
        client, user = who
        waiting = client, asyncio.get_running_loop().create_future()
        self._waiting.put(client, waiting, user)
        self._let_in()
        try:
            await waiting[1]
            yield
        finally:
            if not self._waiting.discard(client, waiting, user):
                self._inside[client] -= 1
                self._let_in()

    def _let_in(self) -> None:
        while self._inside.total() < self._most:
            full = {client for client, count in self._inside.items() if count >= self._most_each}
            for client, turn in (taken := self._waiting.take(1, clients_without=full)):
                self._inside[client] += 1
                if not turn.done():
                    turn.set_result(None)
            if not taken:
                break
        self._inside = +self._inside
