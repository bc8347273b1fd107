"""Workers of PyTorch's DataLoader that the system has killed, told in a sentence.

PyTorch notices the death of a worker in a signal handler, so its error may come up anywhere in the main thread: in the
loader, or in the middle of a training step.
"""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from blender.core.errors import WorkerError
from blender.core.faults import killed_worker

_DEAD = re.compile(
    r"DataLoader worker \(pid (?P<pid>\d+)\) (is killed by signal: (?P<signal>[\w ]+)|exited unexpectedly)"
    r"|DataLoader worker \(pid\(s\) (?P<pids>[\d, ]+)\) exited unexpectedly"
)


@contextmanager
def killed_workers_told() -> Iterator[None]:
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
        raise _told(dead["signal"]) from error


def _told(name: str | None) -> WorkerError:
    """Put PyTorch's word for a signal into ours."""
    numbers = {signal.strsignal(number): number for number in signal.valid_signals()}
    number = numbers.get((name or "").strip())
    return killed_worker(None if number is None else -number)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
