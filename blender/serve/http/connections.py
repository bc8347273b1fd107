"""Time limits of connections, and a limit on idle ones.

uvicorn closes connections that idle between two requests, but not those that have sent half of a head. So each
connection has a timer from its beginning, and again from the first byte of every further head. If too many
connections wait for a head, the longest waiting of whoever has most is closed, so that file descriptors are left for
the others.

Nor does uvicorn close a connection whose client reads nothing of its response, or was refused and goes on sending a
body. So each connection is checked periodically, and closed if nothing has moved since the last check.
"""

import resource
from collections import Counter
from time import monotonic
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: seconds that a head may take
HEAD_SECONDS = 10.0
#: seconds after which a connection is closed whose client has read nothing of what was written
SENT_SECONDS = 20.0
#: connections that may wait for a head, and which part of this process's file descriptors they may take
_MOST_IDLE, _PART_OF_FILES = 512, 4
_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class WatchedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with time limits and a limit on idle connections."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: Any = None
        self._sent_timer: Any = None
        #: bytes that were waiting to be read at the last check
        self._unsent = 0
        self.idle_since = monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Start the timers."""
        super().connection_made(transport)
        self._watch()
        self._sent_timer = self.loop.call_later(SENT_SECONDS, self._check_progress)
        _close_some(self.connections)

    def handle_events(self) -> None:
        """Handle received bytes."""
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_head_timer()
        if self._sent_timer is not None:
            self._sent_timer.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Write again: the client reads."""
        self._unsent = 0
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = monotonic()
        self._unsent = 0
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP; in the middle of a request, end that request as if its client had disconnected."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _watch(self) -> None:
        """Run the timer while a head is incomplete; between two requests a connection may idle for longer."""
        has_begun = self.timeout_keep_alive_task is None or self.conn.trailing_data[0]
        awaited = self.conn.their_state is h11.IDLE and has_begun
        if not awaited or self.transport.is_closing():
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._time_out)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _time_out(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_LATE)
            self.transport.close()

    def _check_progress(self) -> None:
        """Close if the client reads nothing, or still sends the body of a request that was answered long ago."""
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
        self._sent_timer = self.loop.call_later(SENT_SECONDS, self._check_progress)


def _close_some(connections: set[Any]) -> None:
    """Close the longest waiting connections of whoever has most, down to the limit."""
    idle = [each for each in connections if isinstance(each, WatchedProtocol) and each.is_idle and each.transport]
    for _ in range(len(idle) - most_idle()):
        counts = Counter(map(_address, idle))
        chosen = min(idle, key=lambda each: (-counts[_address(each)], each.idle_since))
        idle.remove(chosen)
        connections.discard(chosen)
        chosen.transport.abort()


def most_idle() -> int:
    """Return how many connections may wait for a head."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_IDLE if files == resource.RLIM_INFINITY else max(1, min(_MOST_IDLE, files // _PART_OF_FILES))


def _address(connection: WatchedProtocol) -> str:
    return connection.client[0] if connection.client else ""
