"""SIGTERM and SIGINT as a wish to stop after the step: noted, asked for once a step, obeyed with a checkpoint.

A second one is not waited for: it has its usual effect.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Remembers the signal that wants the run to stop."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __call__(self) -> int:
        """Return the number of the signal that came, or 0."""
        return self.number

    @contextmanager
    def watching(self) -> Iterator["StopSignal"]:
        """Take signals within; the handlers that were there are put back."""
        # Python lets no other thread take signals
        for number in _SIGNALS if threading.current_thread() is threading.main_thread() else ():
            self._before[number] = signal.signal(number, self._note)
        try:
            yield self
        finally:
            self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.number = number
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
