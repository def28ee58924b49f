"""What a request is told instead of an answer: a status, and a body as OpenAI's clients know it.

```json
{"error": {"message": "…", "type": "invalid_request_error", "param": "n", "code": null}}
```

Errors of the layers below are translated here and nowhere else. No message holds a key, a prompt or
a provider's own text of either.
"""

from collections.abc import Mapping
from typing import Any

from client.chats import ChatBusy, ChatError, ChatOver, UnknownChat
from client.completions import OtherRequest
from client.connection import ServerUnreachable
from client.planning import PlanError
from client.runs import NoWorker
from contracts.chats import TurnResult
from contracts.failures import FailureKind
from contracts.teams import AgentStatus
from providers.exceptions import ExecutionPlatformError
from stores.exceptions import StoreError

INVALID = "invalid_request_error"
LIMITED = "rate_limit_error"
SERVER = "server_error"

NO_RETRY = {"x-should-retry": "false"}
"""Tells OpenAI's clients that the same request would end the same way: it was retried here."""


class ApiError(Exception):
    """A request that gets no answer. `param` names the field that is wrong."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind
        self.code, self.param = code, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the body."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return the error of a request that is wrong in itself."""
    return ApiError(400, message, param=param, code=code)


def translated(error: Exception) -> ApiError | None:
    """Return what a caller is told of an error of the layers below; None for one of our own."""
    match error:
        case ApiError():
            return error
        case OtherRequest():
            said = "this Idempotency-Key was used before, for another request"
            return ApiError(409, said, code="idempotency_key_reused", headers=NO_RETRY)
        case UnknownChat():
            return ApiError(404, "there is no such session", code="session_not_found")
        case ChatOver():
            return ApiError(410, "it has ended", code="session_ended")
        case ChatBusy():
            return ApiError(409, str(error), code="session_busy", headers={"Retry-After": "1"})
        case ChatError():
            return invalid(str(error))
        case PlanError() | ExecutionPlatformError():
            said = f"nobody can answer for this model now: {error}"
            return ApiError(503, said, kind=SERVER, code="no_provider", headers=NO_RETRY)
        case NoWorker() | ServerUnreachable() | StoreError():
            said = "the workers or their server are away: try again"
            return ApiError(
                503, said, kind=SERVER, code="unavailable", headers={"Retry-After": "5"}
            )
    return None


_BY_KIND: Mapping[str, tuple[int, str, str]] = {
    FailureKind.CONTEXT_TOO_LONG: (400, INVALID, "context_length_exceeded"),
    FailureKind.CONTENT_REFUSED: (400, INVALID, "content_filter"),
    FailureKind.RATE_LIMITED: (503, SERVER, "overloaded"),
    FailureKind.OVERLOADED: (503, SERVER, "overloaded"),
    FailureKind.THROTTLED: (503, SERVER, "overloaded"),
    FailureKind.SATURATED: (503, SERVER, "overloaded"),
    FailureKind.UNAVAILABLE: (503, SERVER, "no_provider"),
    FailureKind.TIMEOUT: (504, SERVER, "timeout"),
    "TurnTimeout": (504, SERVER, "timeout"),
    FailureKind.INTERNAL: (500, SERVER, "internal_error"),
    "BudgetExceeded": (429, "insufficient_quota", "insufficient_quota"),
}


def failed(result: TurnResult) -> ApiError:
    """Return the error of a turn that ended without an answer.

    What the providers were asked again for, and who was asked instead, is over then.
    """
    if result.status is AgentStatus.CANCELLED:
        return ApiError(409, "the answer was stopped", code="stopped", headers=NO_RETRY)
    status, kind, code = _BY_KIND.get(result.kind or "", (502, SERVER, "no_answer"))
    said = result.error or f"the turn ended without an answer: {result.status.value}"
    return ApiError(status, said, kind=kind, code=code, headers=NO_RETRY)
