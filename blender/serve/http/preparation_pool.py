"""Processes that prepare requests. One that takes too long, or whose client has gone, is killed and replaced.

Neither the event loop nor the model's thread waits for a preparation. The processes are forked from one that has
imported everything and done nothing else, so that a new one starts at once.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from multiprocessing import forkserver
from typing import Any

import torch
from pebble import ProcessExpired, ProcessPool

from blender.core.errors import SessionError
from blender.core.pool import num_cores
from blender.serve.http.fair_queue import Who
from blender.serve.http.preparation import MissingImages, PreparedRequest, Preparer
from blender.serve.http.request_errors import RequestError, out_of_time

#: seconds that one preparation may take
_SECONDS = 20.0
#: fewest processes: while one hangs, others must be free
_FEWEST = 4
_MODULE = __name__


class PreparationPool:
    """The processes.

    Args:
        preparer: What they run.
        seconds: That one preparation may take.
    """

    def __init__(self, preparer: Preparer, seconds: float = _SECONDS) -> None:
        self._preparer, self._seconds = preparer, seconds
        self.num_workers = max(_FEWEST, num_cores())
        self._starter = ThreadPoolExecutor(1, "preparation")
        self._pool: Future[ProcessPool] | None = None

    def start(self) -> None:
        """Begin to start the processes; requests wait until they run."""
        self._pool = self._starter.submit(self._start)

    def _start(self) -> ProcessPool:
        context = start_fork_server()
        pool = ProcessPool(self.num_workers, initializer=_initialise, initargs=(self._preparer,), context=context)
        # the processes start with the first task
        pool.schedule(_do_nothing)
        return pool

    def close(self) -> None:
        """Kill all processes."""
        if self._pool is not None:
            pool = self._pool.result()
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
        self._starter.shutdown()

    async def prepare(
        self, body: bytes, fetched: Mapping[str, bytes], who: Who, seconds: float
    ) -> MissingImages | PreparedRequest:
        """Prepare a request; if the caller is cancelled, its process is killed.

        Args:
            body: JSON.
            fetched: Images by web address.
            who: Whose request it is.
            seconds: The time left for it.

        Raises:
            RequestError: The request is refused, or took too long.
            SessionError: The question cannot be asked.
        """
        assert self._pool is not None
        allowed = max(0.01, min(self._seconds, seconds))
        try:
            async with asyncio.timeout(seconds):
                # shielded, as other requests wait for the same future
                pool = await asyncio.shield(asyncio.wrap_future(self._pool))
                future = pool.schedule(_prepare, args=(body, fetched, who), timeout=allowed)
                prepared: MissingImages | PreparedRequest = await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise self._timeout(allowed) from error
        except (ProcessExpired, CancelledError, MemoryError) as error:
            message = "the request could not be prepared: ask with fewer or smaller images"
            raise RequestError(message, status=503, code="out_of_memory", wait=10) from error
        return prepared

    def _timeout(self, allowed: float) -> RequestError:
        if allowed < self._seconds:
            return out_of_time()
        message = f"its images and texts took longer than {self._seconds:g} s to read: send smaller ones"
        return RequestError(message, param="messages", code="invalid_value")


def start_fork_server() -> Any:
    """Start the process that imports everything, and return the context that forks it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_MODULE])
    forkserver.ensure_running()
    return context


#: of this process, if it prepares
_preparer: Preparer | None = None


def _initialise(preparer: Preparer) -> None:
    global _preparer
    # pebble's handler would wait for the tokenizer to return to Python
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _preparer = preparer


def _do_nothing() -> None:
    pass


def _prepare(body: bytes, fetched: Mapping[str, bytes], who: Who) -> MissingImages | PreparedRequest:
    assert _preparer is not None
    try:
        return _preparer.prepare(body, fetched, who)
    except (RequestError, SessionError) as error:
        # its cause may hold what cannot be pickled
        raise error from None
