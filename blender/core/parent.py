"""Worker processes that end with the process that started them, however that one ends.

The system could send a signal when a parent dies, but it takes the thread that started a process for its parent; so a
thread of the worker watches.
"""

import os
import threading
import time
from multiprocessing import parent_process

_SECONDS = 0.2


def end_with_parent() -> None:
    """Let this process, a worker that multiprocessing started, end at once when its parent has."""
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        threading.Thread(target=_watch, args=(parent.pid,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)
