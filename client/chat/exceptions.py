"""The errors of seed 003, and the one border where ours become them.

HoloDeckError
└─ AgentError
   ├─ AgentInitializationError     the agent cannot be made ready
   ├─ InvalidToolError             a tool's declaration cannot be used; names the tool
   ├─ MessageProcessingError       a turn ended without an answer
   ├─ ToolExecutionError           because a critical tool failed
   ├─ LLMError                     because the provider failed, or took too long
   │  └─ LLMConnectionError        because it cannot be reached
   ├─ SessionInitializationError   the session was not started, or cannot be, or has ended
   └─ ValidationError              the message cannot be said
"""

from typing import TYPE_CHECKING

from contracts.failures import FailureKind

if TYPE_CHECKING:
    from contracts.chats import TurnResult


class HoloDeckError(Exception):
    """Base of all errors of the chat."""


class AgentError(HoloDeckError):
    """Base of errors of an agent's execution."""


class AgentInitializationError(AgentError):
    """The agent cannot be initialized."""


class InvalidToolError(AgentError):
    """A tool's configuration cannot be used; the text names the tool."""


class MessageProcessingError(AgentError):
    """A message could not be answered."""


class ToolExecutionError(AgentError):
    """A critical tool failed."""


class LLMError(AgentError):
    """The provider failed."""


class LLMConnectionError(LLMError):
    """The provider cannot be reached."""


class SessionInitializationError(AgentError):
    """The session was not started, cannot be started, or has ended."""


class ValidationError(AgentError):
    """A message that cannot be said."""


_CONNECTION = frozenset({FailureKind.UNREACHABLE, FailureKind.UNAVAILABLE})
_PROVIDER = frozenset(
    {
        FailureKind.AUTHENTICATION_FAILED,
        FailureKind.INVALID_REQUEST,
        FailureKind.MODEL_NOT_FOUND,
        FailureKind.CONTEXT_TOO_LONG,
        FailureKind.CONTENT_REFUSED,
        FailureKind.RATE_LIMITED,
        FailureKind.OVERLOADED,
        FailureKind.SERVER_FAILED,
        FailureKind.STREAM_INTERRUPTED,
        FailureKind.TIMEOUT,
        FailureKind.THROTTLED,
        FailureKind.SATURATED,
        FailureKind.INVALID_OUTPUT,
        "TurnTimeout",
    }
)


def turn_error(result: "TurnResult") -> AgentError:
    """Return the error of a turn that ended without an answer."""
    said = result.error or f"the turn ended: {result.status.value}"
    if result.kind in _CONNECTION:
        return LLMConnectionError(said)
    if result.kind in _PROVIDER:
        return LLMError(said)
    if result.kind == "ToolFailed":
        return ToolExecutionError(said)
    return MessageProcessingError(said)
