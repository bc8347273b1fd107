"""One sentence for workers of PyTorch's DataLoader that the system has killed.

PyTorch notices the death of a worker in a signal handler, so its error may be raised anywhere in the main thread: in
the loader, or in the middle of a training step.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from blender.core.faults import killed_worker

_DEAD = re.compile(
    r"DataLoader worker \(pid (?P<pid>\d+)\) (is killed by signal: (?P<signal>[\w ]+)|exited unexpectedly)"
    r"|DataLoader worker \(pid\(s\) (?P<pids>[\d, ]+)\) exited unexpectedly"
)


@contextmanager
def explaining_killed_workers() -> Iterator[None]:
    """Turn PyTorch's error about a dead worker into ours; other errors pass.

    Raises:
        WorkerError: A worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        dead = next((match for each in _chain(error) if (match := _DEAD.search(str(each)))), None)
        if dead is None:
            raise
        raise killed_worker(_exit_code(dead["signal"])) from error


def _exit_code(signal_name: str | None) -> int | None:
    """Return the exit code of a process that a signal ended, from PyTorch's name of the signal; None if unknown."""
    numbers = {signal.strsignal(number): number for number in signal.valid_signals()}
    number = numbers.get((signal_name or "").strip())
    return None if number is None else -number


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
