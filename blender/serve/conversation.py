"""What a terminal chat does with a session: images that wait for the next question, files of whole conversations.

A saved conversation is one JSON file that holds its images, so that it can be loaded anywhere.
"""

import glob
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from blender.core.errors import SessionError
from blender.core.files import write_whole
from blender.serve.generating import OnText
from blender.serve.loading import LoadedModel
from blender.serve.sampling import Sampling
from blender.serve.session import Answer, Round, Session, decode_picture

#: bytes that are taken from a URL, and seconds that it may take
_MAX_BYTES, _TIMEOUT = 50_000_000, 20.0


class SavedImage(msgspec.Struct, frozen=True):
    """An image of a saved conversation."""

    name: str
    #: the file's bytes, base64 in JSON
    content: bytes


class SavedRound(msgspec.Struct, frozen=True):
    """A round of a saved conversation."""

    images: list[SavedImage]
    question: str
    answer: str


class SavedConversation(msgspec.Struct, frozen=True, tag="visualchat-conversation", tag_field="kind"):
    """A saved conversation."""

    #: what the model was called that gave the answers
    model: str
    #: None for the template's own words
    system: str | None
    rounds: list[SavedRound]


@dataclass(frozen=True)
class Picture:
    """An image and what it is called."""

    name: str
    content: bytes


class Conversation:
    """A session with names for its images, and with images that wait for the next question.

    Args:
        loaded: The model.
        system: What is said before the first round, instead of the template's own words.
        overflow: What to do about a conversation beyond the model's length.
        allow_url: Whether images may come from the web.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        system: str | None = None,
        overflow: Literal["refuse", "drop"] = "refuse",
        allow_url: bool = False,
    ) -> None:
        self.loaded, self.system = loaded, system
        self.allow_url = allow_url
        self.session = Session(loaded, system=system, overflow=overflow)
        #: images shown, in the order of their numbers
        self.pictures: list[Picture] = []
        #: images to be shown with the next question
        self.waiting: list[Picture] = []

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds so far."""
        return self.session.rounds

    def show(self, locations: Sequence[str]) -> range:
        """Have images shown with the next question.

        Args:
            locations: Paths, patterns such as ``photos/*.jpg`` (in the order of their names), or URLs.

        Returns:
            The numbers that they will have.

        Raises:
            SessionError: One of them is not there, or is no image; none of them is taken then.
        """
        first = len(self.pictures) + len(self.waiting) + 1
        found = [picture for location in locations for picture in self._find(location)]
        for number, picture in enumerate(found, first):
            decode_picture(picture.content, f"image {number} ({picture.name})", self.loaded)
        self.waiting += found
        return range(first, first + len(found))

    def _find(self, location: str) -> list[Picture]:
        if "://" in location:
            if not self.allow_url:
                raise SessionError(f"{location} is on the web", "start the chat with --allow-url to show such images")
            return [Picture(location, fetch(location))]
        path = Path(location).expanduser()
        paths = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207  # takes absolute ones, too
        if not paths:
            raise SessionError(f"there is no image {location}", "paths count from the folder that the chat began in")
        return [Picture(str(path), _read(path)) for path in paths]

    def ask(self, question: str, sampling: Sampling, on_text: OnText, cancelled: object = None) -> Answer:
        """Ask about what waits and what was shown.

        Args:
            question: What to ask.
            sampling: How to generate.
            on_text: Called with every new piece of the answer.
            cancelled: Asked before every token whether to stop; or None.

        Raises:
            SessionError: The question cannot be asked; the images go on waiting.
        """
        images = [picture.content for picture in self.waiting]
        stop = cancelled if callable(cancelled) else None
        answer = self.session.ask(question, images, sampling=sampling, on_text=on_text, cancelled=stop)
        self.pictures += self.waiting
        self.waiting = []
        return answer

    def undo(self) -> Round:
        """Take the last round back; its images are gone, too.

        Raises:
            SessionError: There is no round yet.
        """
        last = self.session.undo()
        del self.pictures[len(self.pictures) - len(last.images) :]
        return last

    def reset(self) -> None:
        """Begin anew."""
        self.session.reset()
        self.pictures, self.waiting = [], []

    def say_first(self, system: str | None) -> None:
        """Change what is said before the first round; the rounds stay."""
        saved = self.saved()
        self.system = system
        self._restore(saved.rounds)

    def saved(self) -> SavedConversation:
        """Return the conversation as it is saved."""
        rounds = [
            SavedRound(
                [SavedImage(self.pictures[n - 1].name, self.pictures[n - 1].content) for n in one.images],
                one.question,
                one.answer,
            )
            for one in self.rounds
        ]
        return SavedConversation(self.loaded.name, self.system, rounds)

    def save(self, path: Path) -> None:
        """Save the conversation, images included.

        Raises:
            SessionError: The file cannot be written.
        """
        content = msgspec.json.format(msgspec.json.encode(self.saved()), indent=1)
        try:
            write_whole(path, content)
        except OSError as error:
            raise SessionError(f"{path} cannot be written: {error.strerror or error}", "choose another file") from error

    def load(self, path: Path) -> None:
        """Go on with a saved conversation, in place of this one.

        Raises:
            SessionError: The file is not one; this conversation stays as it is.
        """
        try:
            saved = msgspec.json.decode(_read(path), type=SavedConversation)
        except (msgspec.DecodeError, ValueError) as error:
            raise SessionError(f"{path} is no saved conversation: {error}", "load what /save wrote") from error
        for number, image in enumerate((image for one in saved.rounds for image in one.images), 1):
            decode_picture(image.content, f"image {number} ({image.name}) of {path}", self.loaded)
        self.system, self.waiting = saved.system, []
        self._restore(saved.rounds)

    def _restore(self, rounds: Sequence[SavedRound]) -> None:
        self.session = Session(self.loaded, system=self.system, overflow=self.session.overflow)
        self.pictures = []
        for one in rounds:
            self.session.record(one.question, one.answer, [image.content for image in one.images])
            self.pictures += [Picture(image.name, image.content) for image in one.images]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror or error}", "check its name") from error


def fetch(url: str) -> bytes:
    """Get an image from the web.

    Raises:
        SessionError: It cannot be had, or is too large.
    """
    if not url.startswith(("http://", "https://")):
        raise SessionError(f"{url} is no web address", "use http:// or https://, or a path")
    request = urllib.request.Request(url, headers={"User-Agent": "visualchat"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read(_MAX_BYTES + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SessionError(
            f"{url} cannot be fetched: {reason}", "check the address, or save the image first"
        ) from error
    if len(content) > _MAX_BYTES:
        raise SessionError(f"{url} has more than {_MAX_BYTES // 1_000_000} MB", "make the image smaller")
    return content
