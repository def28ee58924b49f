"""An error of a client as a value, for callers that decide in process what follows.

(In runs `activities.failures` does this, with what is known of the attempt.) An error that is not
one of `providers.exceptions` comes from somebody's own client: its class and its `retryable`, if
it has one, are all that is believed; its text may quote a prompt.
"""

import asyncio
import builtins

from contracts.calls import CallFailure
from contracts.failures import FailureKind
from providers.exceptions import (
    ExecutionPlatformError,
    ProviderError,
    RouterError,
    TimeoutError,
)
from providers.redaction import redact


def call_failure(
    error: BaseException, provider: str, model: str, private: tuple[str, ...] = ()
) -> CallFailure:
    """Return an error as a failure. `private` texts are taken out of its message."""
    kind, retryable = _judged(error)
    said = str(error) or type(error).__name__
    if not isinstance(error, ExecutionPlatformError):
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
    usage = getattr(error, "usage", None)
    return CallFailure(
        kind=kind,
        message=redact(said, private=private),
        retryable=retryable,
        sent=bool(getattr(error, "sent", True)),
        retry_after=getattr(error, "retry_after", None),
        usage=usage,
        usage_final=bool(getattr(error, "usage_final", False)) or _turned_away(error),
        provider=getattr(error, "provider", "") or provider,
        model=getattr(error, "model", "") or model,
        status=getattr(error, "status", None),
    )


def _turned_away(error: BaseException) -> bool:
    """Whether the provider answered with an error status and nothing else: nobody bills that."""
    if not isinstance(error, ProviderError) or (error.status or 0) < 400:
        return False
    return error.usage is None and not error.partial_text


def _judged(error: BaseException) -> tuple[str, bool]:
    if isinstance(error, ProviderError | TimeoutError):
        return error.kind, error.retryable
    if isinstance(error, asyncio.CancelledError):
        return FailureKind.STOPPED, False
    if isinstance(error, RouterError | ExecutionPlatformError):
        return FailureKind.UNAVAILABLE, False
    if isinstance(error, builtins.TimeoutError):
        return FailureKind.TIMEOUT, True
    if isinstance(error, ConnectionError):
        return FailureKind.UNREACHABLE, True
    return FailureKind.SERVER_FAILED, getattr(error, "retryable", False) is True
