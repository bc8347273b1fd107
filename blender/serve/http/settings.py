"""What a server allows, and whom."""

from dataclasses import dataclass, field
from typing import Literal

from blender.core.errors import ServeError


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may take."""

    #: bytes of a request, its images in base64 included
    body: int = 32_000_000
    #: images of a conversation
    images: int = 16
    #: pixels of an image
    pixels: int = 50_000_000
    #: tokens of an answer
    new_tokens: int = 1_024
    #: from the request to the end of its answer
    seconds: float = 120.0
    #: requests that may wait for their turn
    queue: int = 64
    #: requests that are answered together
    batch: int = 8
    #: conversations whose keys and values are kept for their next question
    kept: int = 2

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ServeError: A limit is out of range.
        """
        for name, least in (("body", 1), ("images", 0), ("pixels", 1), ("new_tokens", 1), ("queue", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ServeError(f"the limit {name} is {getattr(self, name)}", f"it must be at least {least}")
        if not 0 < self.seconds < float("inf") or self.kept < 0:
            raise ServeError("a limit of time or of kept conversations is out of range", "give a positive number")


@dataclass(frozen=True)
class Settings:
    """How a server behaves."""

    limits: Limits = field(default_factory=Limits)
    #: what a request must name as its bearer, or several of which each is one client's; None lets everybody in
    api_key: str | tuple[str, ...] | None = None
    #: names, besides addresses and ``localhost``, that the server is known by
    hosts: tuple[str, ...] = ()
    #: web pages that may use the API, such as ``https://example.org``; besides our own
    origins: tuple[str, ...] = ()
    #: whether images may be http and https addresses
    allow_url: bool = False
    #: what is done about a conversation beyond the model's length
    overflow: Literal["refuse", "drop"] = "refuse"
    #: of requests that name none
    temperature: float = 0.2

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys; none lets everybody in."""
        return (self.api_key,) if isinstance(self.api_key, str) else self.api_key or ()
