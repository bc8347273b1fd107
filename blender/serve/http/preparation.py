"""Make a prompt of a request's body, in a process that can be killed.

Reading JSON, decoding images and tokenising take time that strangers decide on, and none of the three can be stopped
from within. So they are done in processes of their own: one that takes too long, or whose client has gone, is killed
and replaced, and neither the event loop nor the model's thread waits for it. All of it is done once for each request:
the model's thread gets tokens and pixels.

The processes are forked off one that has imported everything and done nothing, so that a new one starts at once.
"""

import asyncio
import multiprocessing
import signal
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from pebble import ProcessExpired, ProcessPool

from blender.core.errors import SessionError
from blender.core.pool import num_cores
from blender.encoding.image_processor import PixelSpec
from blender.serve.fitting import Fitted, Fitter, Round
from blender.serve.http.faults import RequestError
from blender.serve.http.reading import Asked, Exchange, read_request, web_addresses
from blender.serve.http.schema import parse_request
from blender.serve.http.settings import Settings
from blender.serve.http.system import system_words
from blender.serve.ready import Ready, decode_pixels

#: seconds that one preparation may take
_SECONDS = 20.0
#: processes at least: one that hangs must leave others
_FEWEST = 4
_MODULE = __name__
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Preparer:
    """What preparing needs; plain data."""

    #: what the model is called
    name: str
    settings: Settings
    fitter: Fitter
    pixels: PixelSpec
    #: special tokens of the tokenizer, for system texts
    special: tuple[str, ...]

    def prepare(self, body: bytes, fetched: Mapping[str, bytes], client: str) -> "MissingImages | PreparedRequest":
        """Read a request.

        Args:
            body: JSON.
            fetched: Content by web address.
            client: Whose request it is.

        Raises:
            RequestError: It is refused.
            SessionError: It cannot be asked.
        """
        request = parse_request(body)
        require_model(request.model, self.name)
        wanted = [(url, param) for url, param in web_addresses(request, self.settings) if url not in fetched]
        if wanted:
            return MissingImages(tuple(wanted))
        asked = read_request(request, self.settings, fetched, client)
        options = request.stream_options
        usage = options is not None and options.include_usage
        fitted, pixels = self._encode(asked)
        return PreparedRequest(asked, fitted, pixels, bool(request.stream), usage)

    def _encode(self, asked: Asked) -> tuple[Fitted, tuple[_Pixels, ...]]:
        template, words = self.fitter.template, system_words(asked.system, self.fitter.template, self.special)
        if words is not None:
            template = template.with_system(words)
        fitter = Fitter(self.fitter.encoder, template, self.fitter.limit, self.fitter.overflow)
        rounds, images = [], list[bytes]()
        for one in (*asked.rounds, Exchange(asked.question, asked.images, "")):
            numbers = range(len(images) + 1, len(images) + len(one.images) + 1)
            rounds.append(Round(tuple(numbers), one.question, one.answer))
            images += one.images
        # lengths first: an image of a conversation that is too long is never decoded
        fitted = fitter.fit(rounds[:-1], rounds[-1], asked.sampling.max_new_tokens)
        pixels = [decode_pixels(content, f"image {n}", self.pixels) for n, content in enumerate(images, 1)]
        return fitted, tuple(each.numpy() for each in pixels)


@dataclass(frozen=True)
class PreparedRequest:
    """A request that can be asked."""

    asked: Asked
    fitted: Fitted
    #: (C, H, W) uint8 of every image; arrays, as tensors would travel in files that their maker keeps open
    pixels: tuple[_Pixels, ...]
    #: whether the answer is sent as it grows, and its counts at its end
    stream: bool
    include_usage: bool

    @property
    def ready(self) -> Ready:
        """What the model's thread goes on with."""
        return Ready(self.fitted, tuple(map(torch.from_numpy, self.pixels)))


@dataclass(frozen=True)
class MissingImages:
    """What a request cannot be prepared without: web addresses, with where they stand."""

    addresses: tuple[tuple[str, str], ...]


class _User(msgspec.Struct):
    """All of a request that is read before its turn comes."""

    user: str | None = None
    safety_identifier: str | None = None


def user_of(body: bytes) -> str:
    """Return the user whom a request names; nobody where it is no request: what is wrong with it is found later."""
    try:
        found = msgspec.json.decode(body, type=_User)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ""
    return (found.safety_identifier or found.user or "")[:512]


def require_model(name: str, own: str) -> None:
    """Refuse another model's name.

    Raises:
        RequestError: The model is not called that.
    """
    if name != own:
        told = f"there is no model {name!r} here: the model is called {own!r}"
        raise RequestError(told, status=404, param="model", code="model_not_found")


class Preparation:
    """The processes that prepare.

    Args:
        preparer: What they need.
        seconds: That one preparation may take.
    """

    def __init__(self, preparer: Preparer, seconds: float = _SECONDS) -> None:
        self._preparer, self._seconds = preparer, seconds
        self.num_workers = max(_FEWEST, num_cores())
        self._starter = ThreadPoolExecutor(1, "preparation")
        self._pool: Future[ProcessPool] | None = None

    def start(self) -> None:
        """Begin to start the processes; requests wait until they are there."""
        self._pool = self._starter.submit(self._start)

    def _start(self) -> ProcessPool:
        context = start_fork_server()
        pool = ProcessPool(self.num_workers, initializer=_begin, initargs=(self._preparer,), context=context)
        # a first task has them start
        pool.schedule(_do_nothing)
        return pool

    def close(self) -> None:
        """End them, whatever they do."""
        if self._pool is not None:
            pool = self._pool.result()
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
        self._starter.shutdown()

    async def prepare(
        self, body: bytes, fetched: Mapping[str, bytes], client: str, seconds: float
    ) -> MissingImages | PreparedRequest:
        """Prepare a request; whoever gives up waiting for it has its process killed.

        Args:
            body: JSON.
            fetched: Content by web address.
            client: Whose request it is.
            seconds: That are left for it.

        Raises:
            RequestError: It is refused, or took too long.
            SessionError: It cannot be asked.
        """
        assert self._pool is not None
        allowed = max(0.01, min(self._seconds, seconds))
        try:
            async with asyncio.timeout(seconds):
                # shielded: the next request waits for the same
                pool = await asyncio.shield(asyncio.wrap_future(self._pool))
                future = pool.schedule(_prepare, args=(body, fetched, client), timeout=allowed)
                done: MissingImages | PreparedRequest = await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise self._late(allowed) from error
        except (ProcessExpired, CancelledError, MemoryError) as error:
            told = "the request could not be prepared: ask with fewer or smaller images"
            raise RequestError(told, status=503, code="out_of_memory", wait=10) from error
        return done

    def _late(self, allowed: float) -> RequestError:
        if allowed < self._seconds:
            return RequestError("there was no time left to answer", status=503, code="timeout", wait=10)
        told = f"its images and texts took longer than {self._seconds:g} s to read: send smaller ones"
        return RequestError(told, param="messages", code="invalid_value")


def start_fork_server() -> Any:
    """Have a process import all that preparing needs, once, and return the context that forks it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_MODULE])
    forkserver.ensure_running()
    return context


#: of a process that prepares
_preparer: Preparer | None = None


def _begin(preparer: Preparer) -> None:
    global _preparer
    # pebble's handler would wait for the tokenizer to come back to Python
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _preparer = preparer


def _do_nothing() -> None:
    pass


def _prepare(body: bytes, fetched: Mapping[str, bytes], client: str) -> MissingImages | PreparedRequest:
    assert _preparer is not None
    try:
        return _preparer.prepare(body, fetched, client)
    except (RequestError, SessionError) as error:
        # what it was caused by is of no use to anybody, and may hold what cannot be pickled
        raise error from None
