"""Run independent functions on all cores, in processes that never outlive the one that started them.

Processes are spawned, not forked: polars and pyarrow hold threads that a fork would leave half-alive. A worker that
loses its parent (kill -9) ends by itself; Ctrl-C is the parent's business and is ignored by workers.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[object, ...] = (),
) -> Iterator[Result]:
    """Apply a function to every task and yield the results as they come.

    Args:
        function: A function at the top of a module.
        tasks: Its arguments; at most a few per worker are taken ahead.
        workers: Number of processes; with 1, everything runs in this process.
        initializer: Called once in every process before its first task.
        initargs: Its arguments.

    Raises:
        Exception: Whatever ``function`` raised first; tasks not yet begun are given up.
    """
    if workers <= 1:
        if initializer:
            initializer(*initargs)
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(), initializer, initargs))
    try:
        yield from _drain(pool, function, iter(tasks), 2 * workers)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True)


def _drain(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], tasks: Iterator[Task], ahead: int
) -> Iterator[Result]:
    running: set[Future[Result]] = {pool.submit(function, task) for task in islice(tasks, ahead)}
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(function, task) for task in islice(tasks, len(done))}
        for future in done:
            yield future.result()


def _begin(parent: int, initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if initializer:
        initializer(*initargs)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
