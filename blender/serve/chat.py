"""A session as the terminal chat uses it: named images that wait for the next question, and saved conversations.

A saved conversation is one JSON file that contains its images, so that it can be loaded anywhere.
"""

import glob
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import monotonic

import msgspec

from blender.core.errors import SessionError
from blender.core.files import write_whole
from blender.data.sample import Turn
from blender.serve.detokenizer import OnText
from blender.serve.generate import Answer, IsCancelled
from blender.serve.images import decode_input_image
from blender.serve.loading import LoadedModel
from blender.serve.prompt_encoder import Overflow
from blender.serve.sampling import Sampling
from blender.serve.session import Session

#: limits of an image from the web: its bytes, the seconds without a byte, and the seconds in all
_MAX_BYTES, _TIMEOUT, _MAX_SECONDS = 50_000_000, 20.0, 60.0
_PIECE = 65_536


class NamedImage(msgspec.Struct, frozen=True):
    """An image and its name: a path or an address."""

    name: str
    #: the file's bytes, base64 in JSON
    content: bytes


class SavedTurn(msgspec.Struct, frozen=True):
    """A turn of a saved conversation."""

    images: list[NamedImage]
    question: str
    answer: str


class SavedConversation(msgspec.Struct, frozen=True, tag="visualchat-conversation", tag_field="kind"):
    """A saved conversation."""

    #: name of the model that gave the answers
    model: str
    #: None for the template's own system text
    system: str | None
    rounds: list[SavedTurn]


class Chat:
    """A session with named images, and images that wait for the next question.

    Args:
        loaded: The model.
        system: System text, in place of the template's own.
        overflow: What to do about a conversation longer than the model.
        allow_url: Whether images may come from the web.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        system: str | None = None,
        overflow: Overflow = "refuse",
        allow_url: bool = False,
    ) -> None:
        self.loaded, self.system = loaded, system
        self.allow_url = allow_url
        self.session = Session(loaded, system=system, overflow=overflow)
        #: images shown, in the order of their numbers
        self.images: list[NamedImage] = []
        #: images to be shown with the next question
        self.waiting: list[NamedImage] = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns so far."""
        return self.session.turns

    def show(self, locations: Sequence[str]) -> range:
        """Show images with the next question.

        Args:
            locations: Paths, patterns such as ``photos/*.jpg`` (in the order of their names), or URLs.

        Returns:
            The numbers that they will have.

        Raises:
            SessionError: One of them does not exist or is no image; then none of them is taken.
        """
        first = len(self.images) + len(self.waiting) + 1
        images = [image for location in locations for image in self._read_images(location)]
        for number, image in enumerate(images, first):
            self._require_image(image, f"image {number} ({image.name})")
        self.waiting += images
        return range(first, first + len(images))

    def _require_image(self, image: NamedImage, name: str) -> None:
        decode_input_image(image.content, name, self.loaded.encoder.pixels)

    def _read_images(self, location: str) -> list[NamedImage]:
        if "://" in location:
            if not self.allow_url:
                raise SessionError(f"{location} is on the web", "start the chat with --allow-url to show such images")
            return [NamedImage(location, fetch(location))]
        path = Path(location).expanduser()
        paths = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207  # takes absolute ones, too
        if not paths:
            raise SessionError(f"there is no image {location}", "paths count from the folder that the chat began in")
        return [NamedImage(str(path), _read(path)) for path in paths]

    def ask(
        self, question: str, sampling: Sampling, on_text: OnText, is_cancelled: IsCancelled | None = None
    ) -> Answer:
        """Ask a question, and show the waiting images with it.

        Args:
            question: The question.
            sampling: How to generate.
            on_text: Called with every new piece of the answer.
            is_cancelled: Asked before every token whether to stop; or None.

        Raises:
            SessionError: The question cannot be asked; the images go on waiting.
        """
        contents = [image.content for image in self.waiting]
        answer = self.session.ask(question, contents, sampling=sampling, on_text=on_text, is_cancelled=is_cancelled)
        self.images += self.waiting
        self.waiting = []
        return answer

    def undo(self) -> Turn:
        """Remove the last turn and its images.

        Raises:
            SessionError: There is no turn yet.
        """
        last = self.session.undo()
        del self.images[len(self.images) - len(last.images) :]
        return last

    def reset(self) -> None:
        """Remove all turns and images."""
        self.session.reset()
        self.images, self.waiting = [], []

    def set_system(self, system: str | None) -> None:
        """Change the system text; the turns stay."""
        saved = self.saved()
        self.system = system
        self._restore(saved.rounds)

    def saved(self) -> SavedConversation:
        """Return the conversation as it is saved."""
        turns = [
            SavedTurn([self.images[number - 1] for number in turn.images], turn.question, turn.answer)
            for turn in self.turns
        ]
        return SavedConversation(self.loaded.name, self.system, turns)

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
        """Replace this conversation by a saved one.

        Raises:
            SessionError: The file is not one; then this conversation stays as it is.
        """
        try:
            saved = msgspec.json.decode(_read(path), type=SavedConversation)
        except (msgspec.DecodeError, ValueError) as error:
            raise SessionError(f"{path} is no saved conversation: {error}", "load what /save wrote") from error
        for number, image in enumerate((image for turn in saved.rounds for image in turn.images), 1):
            self._require_image(image, f"image {number} ({image.name}) of {path}")
        self.system, self.waiting = saved.system, []
        self._restore(saved.rounds)

    def _restore(self, turns: Sequence[SavedTurn]) -> None:
        self.session = Session(self.loaded, system=self.system, overflow=self.session.overflow)
        self.images = []
        for turn in turns:
            self.session.record(turn.question, turn.answer, [image.content for image in turn.images])
            self.images += turn.images


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror or error}", "check its name") from error


def fetch(url: str) -> bytes:
    """Fetch an image from the web.

    Raises:
        SessionError: It cannot be fetched, is too large, or takes too long.
    """
    if not url.startswith(("http://", "https://")):
        raise SessionError(f"{url} is no web address", "use http:// or https://, or a path")
    request = urllib.request.Request(url, headers={"User-Agent": "visualchat"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return _read_response(answer, url)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SessionError(
            f"{url} cannot be fetched: {reason}", "check the address, or save the image first"
        ) from error


def _read_response(response: HTTPResponse, url: str) -> bytes:
    content, deadline = bytearray(), monotonic() + _MAX_SECONDS
    while piece := response.read1(_PIECE):
        content += piece
        if len(content) > _MAX_BYTES:
            raise SessionError(f"{url} has more than {_MAX_BYTES // 1_000_000} MB", "make the image smaller")
        if monotonic() >= deadline:
            raise TimeoutError(f"it took longer than {_MAX_SECONDS:g} s")
    return bytes(content)
