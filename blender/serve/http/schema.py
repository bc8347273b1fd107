"""The schema of requests: OpenAI's chat completions, as far as this model can do what they ask for.

Other parameters are refused by name, unless their value asks for nothing (``"tools": null``): none is silently ignored.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from blender.core.visible import visible
from blender.serve.http.request_errors import RequestError

#: OpenAI's parameters that are not supported, with the values, besides null, that ask for nothing
_EMPTY: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "metadata": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}
#: fields of answers that OpenAI's clients send back, with the same meaning
_EMPTY_IN_MESSAGES: dict[str, tuple[Any, ...]] = {
    "annotations": ([],),
    "audio": (),
    "function_call": (),
    "name": (),
    "refusal": (),
    "tool_calls": ([],),
}

#: what a value must be, by pydantic's name of the error
_WANTED = {
    "string_type": "a text",
    "list_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
#: characters of a parameter's name in an error message
_MAX_NAME = 80


def _without_empty(given: Any, empty: dict[str, tuple[Any, ...]]) -> Any:
    if not isinstance(given, dict):
        return given
    return {name: value for name, value in given.items() if not (name in empty and _is_empty(value, empty[name]))}


def _is_empty(value: Any, neutral: tuple[Any, ...]) -> bool:
    # 0 is False to Python
    return value is None or any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral)


class _StrictModel(BaseModel):
    # strict: "0.5" is no number, and true none either
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TextPart(_StrictModel):
    """A text."""

    type: Literal["text"]
    text: str


class ImageUrl(_StrictModel):
    """The address of an image."""

    #: a data URL, or an http or https address where the server allows these
    url: str
    #: accepted and without effect: an image has one size for this model
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_StrictModel):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _as_parts(content: Any) -> Any:
    if content is None:
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class Message(_StrictModel):
    """A message of one side."""

    role: Literal["system", "developer", "user", "assistant"]
    #: a text, or a list of texts and images
    content: Annotated[list[Part], BeforeValidator(_as_parts, json_schema_input_type=str | list[Part] | None)] = []

    @model_validator(mode="before")
    @classmethod
    def _leave_empty(cls, given: Any) -> Any:
        return _without_empty(given, _EMPTY_IN_MESSAGES)

    @property
    def text(self) -> str:
        """Its texts, a line each."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class StreamOptions(_StrictModel):
    """How an answer is streamed."""

    #: whether a last piece without text has the counts
    include_usage: bool = False
    #: OpenAI pads its pieces to hide their lengths; this server does not
    include_obfuscation: Literal[False] | None = None


def _as_texts(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class ChatRequest(_StrictModel):
    """A request for an answer."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    #: the older name of ``max_completion_tokens``
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    #: one text, or several
    stop: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=200)]],
            Field(max_length=4),
            BeforeValidator(_as_texts, json_schema_input_type=str | list[str]),
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    #: beyond OpenAI's: draw from this many likeliest tokens; 0 for all
    top_k: Annotated[int, Field(ge=0)] | None = None
    #: beyond OpenAI's: above 1, tokens that the answer has used already become less likely
    repetition_penalty: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    #: distinguishes users of one client, who then take turns
    user: Annotated[str, Field(max_length=512)] | None = None
    #: the newer name of ``user``
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _leave_empty(cls, given: Any) -> Any:
        return _without_empty(given, _EMPTY)

    @model_validator(mode="after")
    def _require_stream(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("needs_stream", "stream_options are for streams: send stream, too, and true")
        return self


def parse_request(body: bytes | bytearray) -> ChatRequest:
    """Parse and check a request.

    Args:
        body: JSON.

    Raises:
        RequestError: The request is invalid, or asks for what is not supported; names the first error.
    """
    try:
        return ChatRequest.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _request_error(str(first["type"]), first["loc"], str(first["msg"])) from error


def _request_error(kind: str, path: tuple[int | str, ...], message: str) -> RequestError:
    param = _format_path(path)
    if kind == "json_invalid":
        return RequestError(f"the body is no JSON: {message.removeprefix('Invalid JSON: ')}", code="invalid_json")
    if kind == "missing":
        return RequestError(f"{param} is missing", param=param, code="missing_required_parameter")
    if kind == "union_tag_not_found":
        missing = f"{param}.type"
        return RequestError(f"{missing} is missing", param=missing, code="missing_required_parameter")
    if kind == "needs_stream":
        return RequestError(message, param="stream_options", code="invalid_value")
    if kind == "extra_forbidden":
        name = path[-1]
        known = name in _EMPTY or name in _EMPTY_IN_MESSAGES
        what = f"this model cannot do what {param} asks for" if known else f"there is no parameter {param}"
        return RequestError(what, param=param, code="unsupported_parameter" if known else "unknown_parameter")
    return RequestError(_describe(kind, path, param, message), param=param or None, code="invalid_value")


def _describe(kind: str, path: tuple[int | str, ...], param: str, message: str) -> str:
    """Describe what is wrong with a value."""
    if not path:
        return "the body must be a JSON object"
    if path[2:] == ("role",) and kind == "literal_error":
        return f"{param} is none of the roles that this model knows: system, developer, user and assistant"
    if kind == "union_tag_invalid":
        return f"a part of a message is a text (`text`) or an image (`image_url`): {param} is neither"
    if wanted := _WANTED.get(kind):
        of_texts = {"stop": "a text, or a list of texts", "content": "a text, or a list of texts and images"}
        return f"{param} must be {of_texts.get(str(path[-1]), wanted) if kind == 'list_type' else wanted}"
    if kind == "too_short":
        return f"{param} is empty"
    return f"{param}: {message[:1].lower()}{message[1:]}"


def _format_path(path: tuple[int | str, ...]) -> str:
    """Format a path: ``messages[0].content[1].image_url.url``."""
    names = list(path)
    # pydantic puts the type of a part behind its number
    if len(names) > 4 and names[2] == "content" and isinstance(names[3], int):
        del names[4]
    return "".join(f"[{name}]" if isinstance(name, int) else f".{_shown(name)}" for name in names).removeprefix(".")


def _shown(name: str) -> str:
    return visible(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}...")
