"""Processes that end with the process that started them, however that one ends.

The system could send a signal when a parent dies, but it takes the thread that started a process for its parent. So a
thread of the worker watches, or, for a program that is not ours to change such as a launcher, a small process between.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing import parent_process
from types import FrameType

_SECONDS = 0.2
#: for what a program does when it is asked to end, such as saving a checkpoint
_GRACE_SECONDS = 120


def end_with_parent() -> None:
    """Let this process, a worker that multiprocessing started, end at once when its parent has."""
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        threading.Thread(target=_watch, args=(parent.pid,), daemon=True).start()


def run_with_parent(command: Sequence[str]) -> int:
    """Run a program that is asked to end (SIGTERM, later SIGKILL) when this process is gone.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it.

    Raises:
        OSError: It cannot be started.
    """
    between = [sys.executable, "-m", "blender.core.parent", str(os.getpid()), *command]
    with subprocess.Popen(between) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


def _stand_between(parent: int, command: Sequence[str]) -> int:
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # Ctrl-C reaches the program, too; a second signal would keep it from ending in good order
        if number == signal.SIGTERM and signal.SIGINT not in seen:
            program.terminate()
        seen.append(number)

    with subprocess.Popen(command) as program:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, note)
        while os.getppid() == parent:
            try:
                return _as_shells_do(program.wait(_SECONDS))
            except subprocess.TimeoutExpired:
                continue
        program.terminate()
        try:
            return _as_shells_do(program.wait(_GRACE_SECONDS))
        except subprocess.TimeoutExpired:
            program.kill()
            return _as_shells_do(program.wait())


def _as_shells_do(code: int) -> int:
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_stand_between(int(sys.argv[1]), sys.argv[2:]))
