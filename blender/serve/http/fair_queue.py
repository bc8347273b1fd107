"""A fair queue: clients take turns, users of a client take turns within these, and requests of a user keep their order.

So a client with a hundred requests delays another client's first one by a single turn, and a client that names a
hundred users has no more turns than one that names none.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

T = TypeVar("T")
#: a client, which is authenticated, and the user that it names
Who = tuple[str, str]


class FairQueue(Generic[T]):
    """Items by client and user. Not for several threads at once."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(items) for users in self._waiting.values() for items in users.values())

    def put(self, who: Who, item: T) -> None:
        """Add an item behind those of the same user."""
        client, user = who
        self._waiting.setdefault(client, OrderedDict()).setdefault(user, deque()).append(item)

    def take(
        self,
        most: int,
        *,
        without: Collection[Who] = (),
        without_clients: Collection[str] = (),
        where: Callable[[T], bool] = lambda _: True,
    ) -> list[T]:
        """Remove and return the next items: one from each client in turn, who then goes to the end of the row.

        Args:
            most: How many.
            without: Users who are passed over.
            without_clients: Clients who are passed over.
            where: Users are passed over whose first item does not fulfil this.
        """
        taken: list[T] = []
        while len(taken) < most:
            who = self._next(without, without_clients, where)
            if who is None:
                break
            taken.append(self._pop(who))
        return taken

    def _next(
        self, without: Collection[Who], without_clients: Collection[str], where: Callable[[T], bool]
    ) -> Who | None:
        for client, users in self._waiting.items():
            if client not in without_clients:
                for user, items in users.items():
                    if (client, user) not in without and where(items[0]):
                        return client, user
        return None

    def _pop(self, who: Who) -> T:
        client, user = who
        users = self._waiting.pop(client)
        items = users.pop(user)
        item = items.popleft()
        if items:
            users[user] = items
        if users:
            self._waiting[client] = users
        return item

    def discard(self, who: Who, item: T) -> bool:
        """Remove an item; return whether it was there."""
        client, user = who
        users = self._waiting.get(client, OrderedDict[str, deque[T]]())
        items = users.get(user)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del users[user]
        if not users:
            del self._waiting[client]
        return True
