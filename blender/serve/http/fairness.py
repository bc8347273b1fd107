"""Who is next: clients take turns, and each client's own requests keep their order.

So a client with a hundred requests delays another one's first by a single turn and not by a hundred.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """What waits, by client. Not for several threads at once."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, client: str, item: T) -> None:
        """Let something wait behind what its client has waiting already."""
        self._waiting.setdefault(client, deque()).append(item)

    def take(self, most: int) -> list[T]:
        """Take what is next: one from each client in turn, and who was served goes to the end of the row."""
        taken: list[T] = []
        while self._waiting and len(taken) < most:
            client, own = self._waiting.popitem(last=False)
            taken.append(own.popleft())
            if own:
                self._waiting[client] = own
        return taken

    def discard(self, client: str, item: T) -> bool:
        """Take something out of the row; return whether it was still there."""
        own = self._waiting.get(client)
        if own is None or item not in own:
            return False
        own.remove(item)
        if not own:
            del self._waiting[client]
        return True
