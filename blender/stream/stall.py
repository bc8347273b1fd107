"""Report reads that take long, with the shard that is waited for.

A file system that hangs blocks the thread that reads, so another thread watches. It costs a read two assignments.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

#: called with a shard and the seconds waited for it so far
Report = Callable[[str, float], None]


def log_stall(shard: str, seconds: float) -> None:
    """Log a wait for a shard."""
    _log.warning("waiting for shard %s for %.0f s", shard, seconds)


class StallWatch:
    """Reports waits of more than ``seconds``, and again after each further ``seconds``; one thread may wait at a time.

    Args:
        seconds: Length of the first wait that is reported.
        report: Called from the watching thread.
    """

    def __init__(self, seconds: float, report: Report = log_stall) -> None:
        self._seconds = seconds
        self._report = report
        self._process = 0
        self._wait: tuple[str, float] | None = None
        self._stopped = threading.Event()

    def begin(self, shard: str) -> None:
        """Note that a wait for a shard begins."""
        if self._process != os.getpid():
            self._start()
        self._wait = shard, time.monotonic()

    def end(self) -> None:
        """Note that the wait is over."""
        self._wait = None

    def close(self) -> None:
        """Stop watching."""
        # a fork has no thread to stop, and may have inherited a lock that is held for ever
        if self._process == os.getpid():
            self._stopped.set()
        self._process = 0

    def _start(self) -> None:
        """Start the thread, also in a fork, which has none."""
        self._process, self._stopped = os.getpid(), threading.Event()
        threading.Thread(target=self._watch, args=(self._stopped,), name="stall-watch", daemon=True).start()

    def _watch(self, stopped: threading.Event) -> None:
        current, num_reported = None, 0
        while not stopped.wait(self._seconds / 4):
            wait = self._wait
            if wait is not current:
                current, num_reported = wait, 0
            if wait is None or (waited := time.monotonic() - wait[1]) < self._seconds * (num_reported + 1):
                continue
            num_reported += 1
            self._report(wait[0], waited)
