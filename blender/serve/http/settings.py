"""Settings and limits of a server."""

from dataclasses import dataclass, field

from blender.core.errors import ServeError
from blender.serve.prompt_encoder import Overflow


@dataclass(frozen=True)
class RequestLimits:
    """Limits of one request, and of all requests together."""

    #: bytes of a request, its images in base64 included
    body: int = 32_000_000
    #: images of a conversation
    images: int = 16
    #: pixels of an image
    pixels: int = 50_000_000
    #: tokens of an answer
    new_tokens: int = 1_024
    #: seconds from the request to the end of its answer
    seconds: float = 120.0
    #: requests that may wait for their turn
    queue: int = 64
    #: requests that are answered together
    batch: int = 8
    #: conversations whose KV caches are kept for their next question
    kept: int = 2

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ServeError: A limit is out of range.
        """
        for name, least in (("body", 1), ("images", 0), ("pixels", 1), ("new_tokens", 1), ("queue", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ServeError(f"the limit {name} is {getattr(self, name)}", f"it must be at least {least}")
        if not 0 < self.seconds < float("inf") or self.kept < 0:
            raise ServeError("a limit of time or of kept conversations is out of range", "give a positive number")


@dataclass(frozen=True)
class ServerSettings:
    """Whom a server answers, and how."""

    limits: RequestLimits = field(default_factory=RequestLimits)
    #: bearer token that requests need, or several, each of which is one client's; None admits everybody
    api_key: str | tuple[str, ...] | None = None
    #: host names, besides addresses and ``localhost``, under which the server answers
    hosts: tuple[str, ...] = ()
    #: origins of web pages that may use the API, such as ``https://example.org``; besides our own
    origins: tuple[str, ...] = ()
    #: whether images may be http and https addresses
    allow_url: bool = False
    #: what to do about a conversation longer than the model
    overflow: Overflow = "refuse"
    #: default of requests
    temperature: float = 0.2

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys; if there are none, everybody is admitted."""
        return (self.api_key,) if isinstance(self.api_key, str) else self.api_key or ()
