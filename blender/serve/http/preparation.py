"""Turn the body of a request into a prepared prompt: parse, read, tokenise, decode the images.

How long this takes is up to strangers, and none of it can be stopped from within, so it runs in processes that can be
killed (:mod:`blender.serve.http.preparation_pool`). It is done once for each request.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from blender.encoding.image_processor import PixelSpec
from blender.serve.http.fair_queue import Who
from blender.serve.http.request_errors import RequestError
from blender.serve.http.requests import Request, read_request, web_addresses
from blender.serve.http.schema import parse_request
from blender.serve.http.settings import ServerSettings
from blender.serve.images import decode_input_image
from blender.serve.prepared import PreparedPrompt, prepare_prompt
from blender.serve.prompt_encoder import PromptEncoder
from blender.serve.sampling import Sampling

#: characters of a user's name that count
_MAX_USER = 512


@dataclass(frozen=True)
class PreparedRequest:
    """A request that can be answered."""

    prompt: PreparedPrompt
    sampling: Sampling
    #: client and user
    who: Who
    #: whether the answer is sent as it grows, and its counts at its end
    stream: bool
    include_usage: bool


@dataclass(frozen=True)
class MissingImages:
    """Images that must be fetched before a request can be prepared."""

    #: web addresses, each with the parameter that names it
    addresses: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Preparer:
    """Prepares requests. Plain data."""

    #: name of the model
    name: str
    settings: ServerSettings
    encoder: PromptEncoder
    pixels: PixelSpec

    def prepare(self, body: bytes, fetched: Mapping[str, bytes], who: Who) -> MissingImages | PreparedRequest:
        """Prepare a request.

        Args:
            body: JSON.
            fetched: Images by web address.
            who: Whose request it is.

        Raises:
            RequestError: The request is refused.
            SessionError: The question cannot be asked.
        """
        request = parse_request(body)
        require_model(request.model, self.name)
        missing = [(url, param) for url, param in web_addresses(request, self.settings) if url not in fetched]
        if missing:
            return MissingImages(tuple(missing))
        options = request.stream_options
        include_usage = options is not None and options.include_usage
        conversation = read_request(request, self.settings, fetched)
        prompt = self._prepare_prompt(conversation)
        return PreparedRequest(prompt, conversation.sampling, who, bool(request.stream), include_usage)

    def _prepare_prompt(self, request: Request) -> PreparedPrompt:
        encoder = self.encoder.with_system(request.system)
        # lengths first: an image of a conversation that is too long is never decoded
        text = encoder.encode(request.turns, request.sampling.max_new_tokens)
        num_dropped = sum(len(turn.images) for turn in request.turns[: text.num_turns_dropped])
        shown = enumerate(request.images[num_dropped:], num_dropped + 1)
        images = [decode_input_image(content, f"image {number}", self.pixels) for number, content in shown]
        return prepare_prompt(text, images, self.pixels)


class _UserFields(msgspec.Struct):
    """What is read of a request before its turn comes."""

    user: str | None = None
    safety_identifier: str | None = None


def user_of(body: bytes) -> str:
    """Return the user that a request names; empty if it is no valid request, which is refused later."""
    try:
        fields = msgspec.json.decode(body, type=_UserFields)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ""
    return (fields.safety_identifier or fields.user or "")[:_MAX_USER]


def require_model(name: str, own: str) -> None:
    """Refuse another model's name.

    Raises:
        RequestError: The model has another name.
    """
    if name != own:
        message = f"there is no model {name!r} here: the model is called {own!r}"
        raise RequestError(message, status=404, param="model", code="model_not_found")
