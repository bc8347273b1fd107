"""Run independent functions on all cores, in processes that never outlive the one that started them.

This process works, too: while the others still start up and import, its first result may be there already. Processes
are spawned, not forked: polars and pyarrow hold threads that a fork would leave half-alive. A worker that loses its
parent (kill -9) ends by itself; Ctrl-C is the parent's business and is ignored by workers.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

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
        tasks: Its arguments; they are taken one at a time, by whoever is free.
        workers: Number of processes, this one included; with 1, everything runs here.
        initializer: Called once in every process before its first task.
        initargs: Its arguments.

    Raises:
        Exception: Whatever ``function`` raised first; tasks not yet begun are given up.
    """
    if initializer:
        initializer(*initargs)
    if workers <= 1:
        yield from map(function, tasks)
        return
    with _spawned(workers - 1, initializer, initargs) as pool:
        shared = _Shared(tasks)
        done: SimpleQueue[Future[Result] | None] = SimpleQueue()
        for _ in range(workers - 1):
            threading.Thread(target=_hand_out, args=(pool, function, shared, done), daemon=True).start()
        for task in shared:
            yield function(task)
            yield from _arrived(done)
        yield from _remaining(done, workers - 1)


class _Shared(Generic[Task]):
    """An iterator that several threads take from."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks, self._lock = iter(tasks), threading.Lock()

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        with self._lock:
            return next(self._tasks)


def _hand_out(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Result],
    shared: _Shared[Task],
    done: "SimpleQueue[Future[Result] | None]",
) -> None:
    """Keep one process busy; ``None`` says that there is nothing left to do."""
    try:
        for task in shared:
            future = pool.submit(function, task)
            future.exception()
            done.put(future)
    except BaseException as error:  # the tasks' own fault, or a pool that was given up
        failed: Future[Result] = Future()
        failed.set_exception(error)
        done.put(failed)
    finally:
        done.put(None)


def _arrived(done: "SimpleQueue[Future[Result] | None]") -> Iterator[Result]:
    """Yield what is there; ends are left for :func:`_remaining`."""
    ends = 0
    try:
        while True:
            future = done.get_nowait()
            if future is None:
                ends += 1
            else:
                yield future.result()
    except Empty:
        for _ in range(ends):
            done.put(None)


def _remaining(done: "SimpleQueue[Future[Result] | None]", num_running: int) -> Iterator[Result]:
    while num_running:
        future = done.get()
        if future is None:
            num_running -= 1
        else:
            yield future.result()


@contextmanager
def _spawned(
    processes: int, initializer: Callable[..., None] | None, initargs: tuple[object, ...]
) -> Iterator[ProcessPoolExecutor]:
    """Start processes; when the body fails, or is given up, they are stopped at once."""
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (os.getpid(), initializer, initargs))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True)


def _begin(parent: int, initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if initializer:
        initializer(*initargs)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
