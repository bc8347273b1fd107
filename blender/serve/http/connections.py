"""Connections that ask for nothing: given a time to send a head in, and let go where there are too many.

uvicorn times connections out between two requests, and not before the head of one is whole. So each connection has a
clock from its beginning, and again from the first byte of every further head. Where too many wait for a head, as one
client that holds a thousand would have them, the longest waiting of whoever holds most is closed: files are left for
the others, whose heads take no time.

Nor does uvicorn leave a client that takes nothing of its answer, or that was refused and goes on sending a body: so
each connection is looked at again and again, and closed where nothing moved since the last time.
"""

import resource
from collections import Counter
from time import monotonic
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: seconds that a head may take to come
HEAD_SECONDS = 10.0
#: seconds after which a client that took nothing of what was written is left
SENT_SECONDS = 20.0
#: connections that may wait for a head, and how many of the files that this process may open they may take
_MOST_IDLE, _PART_OF_FILES = 512, 4
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class WatchedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a clock on heads and a bound on idle connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_clock: Any = None
        self._sent_clock: Any = None
        #: bytes that waited to be taken when the connection was last looked at
        self._unsent = 0
        self.idle_since = monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self._watch()
        self._sent_clock = self.loop.call_later(SENT_SECONDS, self._look_again)
        _close_some(self.connections)

    def handle_events(self) -> None:
        """Take what has come."""
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_clock()
        if self._sent_clock is not None:
            self._sent_clock.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Write again: the client takes what comes."""
        self._unsent = 0
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = monotonic()
        self._unsent = 0
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of a request, end that one as if its client had gone."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _watch(self) -> None:
        """Run the clock while a head is awaited; the next one on a connection may first rest for a while."""
        has_begun = self.timeout_keep_alive_task is None or self.conn.trailing_data[0]
        awaited = self.conn.their_state is h11.IDLE and has_begun
        if not awaited or self.transport.is_closing():
            self._stop_clock()
        elif self._head_clock is None:
            self._head_clock = self.loop.call_later(HEAD_SECONDS, self._end_late)

    def _stop_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None

    def _end_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()

    def _look_again(self) -> None:
        """Leave a client that takes nothing, or that still sends the body of a request that was answered long ago."""
        waiting = self.transport.get_write_buffer_size()
        # otherwise more may have been written in the meantime
        only_sends = self.transport.is_closing() or self.is_idle or self.flow.write_paused
        if only_sends and 0 < self._unsent <= waiting:
            self.transport.abort()
            return
        self._unsent = waiting if only_sends else 0
        has_more = self.conn.their_state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete
        if has_more and monotonic() - self.idle_since > SENT_SECONDS:
            self.transport.close()
        self._sent_clock = self.loop.call_later(SENT_SECONDS, self._look_again)


def _close_some(connections: set[Any]) -> None:
    """Close the longest waiting connections of whoever holds most, down to what is allowed."""
    idle = [
        one for one in connections if isinstance(one, WatchedProtocol) and one.is_idle and one.transport is not None
    ]
    for _ in range(len(idle) - most_idle()):
        held = Counter(_address(one) for one in idle)
        chosen = min(idle, key=lambda one: (-held[_address(one)], one.idle_since))
        idle.remove(chosen)
        connections.discard(chosen)
        chosen.transport.abort()


def most_idle() -> int:
    """Return how many connections may wait for a head."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_IDLE if files == resource.RLIM_INFINITY else max(1, min(_MOST_IDLE, files // _PART_OF_FILES))


def _address(connection: WatchedProtocol) -> str:
    return connection.client[0] if connection.client else ""
