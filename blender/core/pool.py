"""Run independent functions on all cores, in processes that never outlive the one that started them.

This process works, too: while the others still start up and import, its first result may be there already. Processes
are spawned, not forked: polars and pyarrow hold threads that a fork would leave half-alive. A worker that loses its
parent (kill -9) ends by itself; Ctrl-C is the parent's business and is ignored by workers.

Starting a process and importing what it needs costs it most of a second, so a command with several stations does its
work within :func:`kept_processes`: those that one station started serve the next.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from blender.core.faults import killed_worker
from blender.core.parent import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")

#: seconds to wait for the exit code of a process that is gone
_PATIENCE = 5.0


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


#: called with two counts, of whatever is counted, since the last call
OnCount = Callable[[int, int], None]


def count(first: int, second: int) -> None:
    """Add to the two counts that :func:`map_unordered` tells of; to be called by its function."""
    counters, place = _own_counters
    counters[place] += first
    counters[place + 1] += second


@contextmanager
def kept_processes() -> Iterator[None]:
    """Let processes that one :func:`map_unordered` starts wait for the next one, until the block ends."""
    global _kept
    if _kept is not None:
        yield
        return
    _kept = _KeptPool()
    try:
        yield
    finally:
        kept, _kept = _kept, None
        kept.end()


def start_ahead(workers: int, module: str) -> None:
    """Start the processes that a later :func:`map_unordered` will want, and let them import a module meanwhile.

    Args:
        workers: As there; outside of :func:`kept_processes` nothing is started.
        module: What they will need: importing it takes most of the time in which a process starts.
    """
    if _kept is not None and _kept.pool is None and workers > 1:
        _kept.pool, _kept.workers = _start(workers, None, ()), workers
        for _ in range(workers - 1):
            _kept.pool.executor.submit(import_module, module)


def let_go() -> None:
    """End the processes that are kept, where nothing that follows can use them: idle ones hold on to their memory."""
    if _kept is not None:
        _kept.end()


def map_unordered(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[object, ...] = (),
    on_count: OnCount | None = None,
) -> Iterator[Result]:
    """Apply a function to every task and yield the results as they come.

    Args:
        function: A function at the top of a module.
        tasks: Its arguments; they are taken one at a time, by whoever is free.
        workers: Number of processes, this one included; with 1, everything runs here.
        initializer: Called once in every process before its first task; such processes are started anew.
        initargs: Its arguments.
        on_count: Told a few times a second, from a thread, what all calls of :func:`count` have added.

    Raises:
        WorkerError: A process was killed.
        Exception: Whatever ``function`` raised first; tasks not yet begun are given up.
    """
    if initializer:
        initializer(*initargs)
    if workers <= 1:
        with _counted(_new_counters(1), on_count):
            yield from map(function, tasks)
        return
    with _processes(workers, initializer, initargs) as pool, _counted(pool.counters, on_count):
        shared = _Shared(tasks)
        done: SimpleQueue[Future[Result] | None] = SimpleQueue()
        for _ in range(workers - 1):
            threading.Thread(target=_hand_out, args=(pool.executor, function, shared, done), daemon=True).start()
        for task in shared:
            yield function(task)
            yield from _arrived(done, pool)
        yield from _remaining(done, pool, workers - 1)


@dataclass(frozen=True)
class _Pool:
    executor: ProcessPoolExecutor
    #: two counters per process, this one first; each is written to by its own process alone, so no lock is needed
    counters: Any
    #: by number; kept after the pool has broken
    processes: dict[int, Any]

    def take(self, future: "Future[Result]") -> Result:
        """Return a result.

        Raises:
            WorkerError: A process was killed.
        """
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise killed_worker(self._exit_code()) from error

    def _exit_code(self) -> int | None:
        """Find out how the first process ended; the others were ended for its sake."""
        codes = []
        for process in list(self.processes.values()):
            process.join(_PATIENCE)
            codes.append(process.exitcode)
        ended = [code for code in codes if code]
        return next((code for code in ended if code != -signal.SIGTERM), ended[0] if ended else None)


@dataclass
class _KeptPool:
    """What is kept within :func:`kept_processes`; nothing before the first call that wants processes."""

    pool: _Pool | None = None
    workers: int = 0

    def end(self) -> None:
        """End them."""
        if self.pool:
            _stop(self.pool.executor)
            self.pool = None


_kept: _KeptPool | None = None
#: the counters of all processes, and where those of this process are
_own_counters: tuple[Any, int] = ([0, 0], 0)


def _new_counters(workers: int) -> Any:
    return get_context("spawn").RawArray("q", 2 * workers)


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


def _arrived(done: "SimpleQueue[Future[Result] | None]", pool: _Pool) -> Iterator[Result]:
    """Yield what is there; ends are left for :func:`_remaining`."""
    ends = 0
    try:
        while True:
            future = done.get_nowait()
            if future is None:
                ends += 1
            else:
                yield pool.take(future)
    except Empty:
        for _ in range(ends):
            done.put(None)


def _remaining(done: "SimpleQueue[Future[Result] | None]", pool: _Pool, num_running: int) -> Iterator[Result]:
    while num_running:
        future = done.get()
        if future is None:
            num_running -= 1
        else:
            yield pool.take(future)


@contextmanager
def _processes(workers: int, initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> Iterator[_Pool]:
    """Lend processes; when the body fails, or is given up, they are stopped at once."""
    kept = _kept if _kept is not None and initializer is None else _KeptPool()
    if kept.pool and kept.workers < workers:
        kept.end()
    if not kept.pool:
        kept.pool, kept.workers = _start(workers, initializer, initargs), workers
    pool = kept.pool
    try:
        yield pool
    except BaseException:
        kept.pool = None
        raise
    finally:
        if kept is not _kept or not kept.pool:
            _stop(pool.executor)


def _stop(executor: ProcessPoolExecutor) -> None:
    """End processes at once: they are idle, or nobody waits for what they do; to take leave would take them long."""
    processes, manager = list((executor._processes or {}).values()), executor._executor_manager_thread
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    if manager:  # it waits for them
        manager.join()  # type: ignore[attr-defined]  # typeshed takes it for something else


def _start(workers: int, initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> _Pool:
    context, counters = get_context("spawn"), _new_counters(workers)
    numbers = context.Value("i", 0)
    executor = ProcessPoolExecutor(workers - 1, context, _begin, (counters, numbers, initializer, initargs))
    processes: Any = executor._processes
    return _Pool(executor, counters, processes)


def _begin(counters: Any, numbers: Any, initializer: Callable[..., None] | None, initargs: tuple[object, ...]) -> None:
    global _own_counters
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    with numbers.get_lock():
        numbers.value += 1
        _own_counters = counters, 2 * numbers.value
    if initializer:
        initializer(*initargs)


@contextmanager
def _counted(counters: Any, on_count: OnCount | None) -> Iterator[None]:
    """Count in this process, and tell what all processes count, while they do."""
    global _own_counters
    before, _own_counters = _own_counters, (counters, 0)
    stop, told = threading.Event(), _sums(counters)

    def tell() -> None:
        now = _sums(counters)
        if on_count and now != told:
            on_count(now[0] - told[0], now[1] - told[1])
            told[:] = now

    def watch() -> None:
        while not stop.wait(0.2):
            tell()

    thread = threading.Thread(target=watch, daemon=True)
    if on_count:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if on_count:
            thread.join()
        tell()
        _own_counters = before


def _sums(counters: Any) -> list[int]:
    now = list(counters)
    return [sum(now[0::2]), sum(now[1::2])]
