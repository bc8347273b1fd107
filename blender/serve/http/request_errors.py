"""Errors of requests, with OpenAI's error bodies, which its clients turn into exceptions."""

from typing import Any

from blender.core.errors import BlenderError, ServeError, SessionError
from blender.serve.prompt_encoder import TooLongError

#: OpenAI's error types by status
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "overloaded_error"}


class RequestError(ServeError):
    """A request that is refused.

    Args:
        message: What is wrong, in one sentence.
        status: The HTTP status.
        param: The parameter at fault, such as ``messages[1].content[0]``.
        code: One word for programs.
        wait: Seconds after which to try again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        wait: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.wait = status, param, code, wait

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all fields, so that the error crosses processes."""
        return _restore, (self.message, self.status, self.param, self.code, self.wait)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body of the response."""
        default = "server_error" if self.status >= 500 else "invalid_request_error"
        error_type = _TYPES.get(self.status, default)
        return {"error": {"message": self.message, "type": error_type, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        headers = {"Cache-Control": "no-store"}
        if self.wait is not None:
            headers["Retry-After"] = str(self.wait)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def _restore(message: str, status: int, param: str | None, code: str | None, wait: int | None) -> RequestError:
    return RequestError(message, status=status, param=param, code=code, wait=wait)


def out_of_time() -> RequestError:
    """Return the error of a request whose deadline has passed."""
    return RequestError("there was no time left to answer", status=503, code="timeout", wait=10)


def to_request_error(error: Exception) -> RequestError:
    """Return the response to an error; a bug of ours is only mentioned, as its details belong into the log."""
    match error:
        case RequestError():
            return error
        case TooLongError():
            return RequestError(str(error), param="messages", code="context_length_exceeded")
        case SessionError():
            return RequestError(str(error), param="messages", code="invalid_value")
        case BlenderError():
            return RequestError(str(error), status=500, code="server_error")
    return RequestError("something went wrong in the server; its log says what", status=500, code="internal_error")
