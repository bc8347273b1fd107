"""What a client is told when a request is refused: OpenAI's error bodies, which its clients turn into exceptions."""

from typing import Any

from blender.core.errors import BlenderError, ServeError, SessionError
from blender.serve.fitting import TooLongError

#: what kind of error a status is, in OpenAI's words
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "overloaded_error"}


class RequestError(ServeError):
    """A request that is refused.

    Args:
        message: What is wrong, in one sentence.
        status: The HTTP status.
        param: Which parameter is at fault, such as ``messages[1].content[0]``.
        code: One word for programs.
        wait: After how many seconds to try again.
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
        """Come back whole from another process."""
        return _restore, (self.message, self.status, self.param, self.code, self.wait)

    @property
    def body(self) -> dict[str, Any]:
        """What is sent."""
        default = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = _KINDS.get(self.status, default)
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside the body."""
        headers = {"Cache-Control": "no-store"}
        if self.wait is not None:
            headers["Retry-After"] = str(self.wait)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def _restore(message: str, status: int, param: str | None, code: str | None, wait: int | None) -> RequestError:
    return RequestError(message, status=status, param=param, code=code, wait=wait)


def refusal(error: Exception) -> RequestError:
    """Return what a client is told of an error; of a bug of ours, only that there was one."""
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
