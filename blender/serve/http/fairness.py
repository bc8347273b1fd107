"""Who is next: clients take turns, a client's users take turns within these, and each one's requests keep their order.

So a client with a hundred requests delays another one's first by a single turn and not by a hundred, and one that names
a hundred users has no more turns than one that names none.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Generic, TypeVar

T = TypeVar("T")
#: a client, which somebody vouches for, and the user that it names
Who = tuple[str, str]


class FairQueue(Generic[T]):
    """What waits, by client and user. Not for several threads at once."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(own) for users in self._waiting.values() for own in users.values())

    def put(self, client: str, item: T, user: str = "") -> None:
        """Let something wait behind what its user has waiting already."""
        self._waiting.setdefault(client, OrderedDict()).setdefault(user, deque()).append(item)

    def take(self, most: int, without: Collection[Who] = (), clients_without: Collection[str] = ()) -> list[T]:
        """Take what is next: one from each client in turn, and who was served goes to the end of the row.

        Args:
            most: How many.
            without: Whose turn it is not.
            clients_without: The same, of whole clients.
        """
        taken: list[T] = []
        while len(taken) < most:
            who = self._next(without, clients_without)
            if who is None:
                break
            taken.append(self._pop(*who))
        return taken

    def _next(self, without: Collection[Who], clients_without: Collection[str]) -> Who | None:
        for client, users in self._waiting.items():
            if client not in clients_without:
                for user in users:
                    if (client, user) not in without:
                        return client, user
        return None

    def _pop(self, client: str, user: str) -> T:
        users = self._waiting.pop(client)
        own = users.pop(user)
        item = own.popleft()
        if own:
            users[user] = own
        if users:
            self._waiting[client] = users
        return item

    def discard(self, client: str, item: T, user: str = "") -> bool:
        """Take something out of the row; return whether it was still there."""
        users = self._waiting.get(client, OrderedDict[str, deque[T]]())
        own = users.get(user)
        if own is None or item not in own:
            return False
        own.remove(item)
        if not own:
            del users[user]
        if not users:
            del self._waiting[client]
        return True
