"""SIGTERM and SIGINT stop a run after its current step: the loop asks once a step, and saves a checkpoint.

A second signal has its usual effect at once.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Remembers the signal that asks the run to stop."""

    def __init__(self) -> None:
        self.number = 0
        self._handlers: dict[int, Any] = {}

    def __call__(self) -> int:
        """Return the number of the signal that arrived, or 0."""
        return self.number

    @contextmanager
    def watching(self) -> Iterator["StopSignal"]:
        """Handle the signals inside the block; the previous handlers are restored after it."""
        # Python allows signal handlers in the main thread only
        for number in _SIGNALS if threading.current_thread() is threading.main_thread() else ():
            self._handlers[number] = signal.signal(number, self._note)
        try:
            yield self
        finally:
            self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
