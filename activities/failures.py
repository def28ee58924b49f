"""The one place where an attempt's every exit becomes a failure that the workflow can judge.

Strategy: deny by default. After the request was sent nothing may be retried by the server,
whatever went wrong: each exit, our own bugs and a reply that cannot be encoded included, becomes
a non-retryable `ApplicationError` of the failure's kind whose single detail is a `CallFailure`
with the usage seen. Only what happened before the request is left to the server's retries, and
only as `Throttled`: benign, with the exact delay.
"""

import asyncio
import builtins
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from contracts.artifacts import ArtifactRef
from contracts.calls import CallFailure, Repair
from contracts.failures import FailureKind
from contracts.messages import Usage
from providers.exceptions import ExecutionPlatformError, ProviderError, RouterError, TimeoutError
from rules.templates import TemplateError
from stores.exceptions import StoreError, StoreUnavailable

R = TypeVar("R")

MESSAGE_LIMIT = 600
"""Characters of an error's message that reach history."""


class InvalidOutput(Exception):
    """The answer is whole and paid for, but is not what the step must return."""

    def __init__(self, message: str, repair: Repair | None = None) -> None:
        super().__init__(message)
        self.repair = repair


class Throttled(Exception):
    """Not sent yet, and not to be sent for another `delay` seconds."""

    def __init__(self, message: str, delay: float) -> None:
        super().__init__(message)
        self.delay = delay


class CallState:
    """What is known of an attempt while it runs; read by its heartbeats and by its failure."""

    def __init__(self, provider: str = "", model: str = "") -> None:
        self.provider = provider
        self.model = model
        self.sent = False
        self.usage: Usage | None = None
        self.usage_final = False
        self.chars = 0
        self.texts: list[str] = []
        self.response_id: str | None = None
        self.started_at = datetime.now(UTC)
        self.first_token_at: datetime | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self.texts)


def describe(error: BaseException, state: CallState, partial: ArtifactRef | None) -> CallFailure:
    """Return what the workflow needs to know of an error. Never raises."""
    kind, message, retryable = _classify(error, state)
    usage = getattr(error, "usage", None) or state.usage
    return CallFailure(
        kind=kind,
        message=message[:MESSAGE_LIMIT],
        retryable=retryable,
        sent=state.sent and getattr(error, "sent", True),
        retry_after=getattr(error, "retry_after", None),
        usage=usage,
        usage_final=state.usage_final
        or bool(getattr(error, "usage_final", False))
        or _turned_away(error, state),
        partial=partial,
        partial_preview=" ".join(state.text[:160].split()),
        provider=state.provider,
        model=state.model,
        status=getattr(error, "status", None),
        response_id=state.response_id,
        invalid_output=error.repair if isinstance(error, InvalidOutput) else None,
        started_at=state.started_at,
        first_token_at=state.first_token_at,
        ended_at=datetime.now(UTC),
    )


def _turned_away(error: BaseException, state: CallState) -> bool:
    """Whether the provider answered with an error status and nothing else.

    No vendor bills a request that it turned away, so nothing is left open.
    """
    if not isinstance(error, ProviderError) or not isinstance(error.status, int):
        return False
    if error.status < 400:
        return False
    seen = error.usage or state.usage
    return seen is None and not error.partial_text and not state.text


def _classify(error: BaseException, state: CallState) -> tuple[str, str, bool]:
    """Return kind, message and whether another try may help."""
    if isinstance(error, ProviderError | TimeoutError):
        return error.kind, str(error), error.retryable
    if isinstance(error, asyncio.CancelledError):
        return _cancelled()
    if isinstance(error, InvalidOutput):
        return FailureKind.INVALID_OUTPUT, str(error), True
    if isinstance(error, builtins.TimeoutError):
        return FailureKind.TIMEOUT, f"timeout: {error}".removesuffix(": "), True
    if isinstance(error, StoreUnavailable) and state.sent:
        return FailureKind.NOT_KEPT, f"what was paid for could not be stored: {error}", False
    if isinstance(error, StoreError):
        return FailureKind.INTERNAL, f"{type(error).__name__}: {error}", False
    if isinstance(error, TemplateError):
        return FailureKind.UNRENDERED, str(error), False
    if isinstance(error, RouterError | ExecutionPlatformError):
        return FailureKind.UNAVAILABLE, str(error), False
    # The text of an unforeseen error may quote a prompt: its class has to do.
    return FailureKind.INTERNAL, f"{type(error).__name__} in Callboard's own code", False


def _cancelled() -> tuple[str, str, bool]:
    details = activity.cancellation_details() if activity.in_activity() else None
    if details is not None and details.worker_shutdown:
        return FailureKind.WORKER_STOPPING, "the worker was stopped", True
    return FailureKind.STOPPED, "cancelled", False


def to_application_error(failure: CallFailure) -> ApplicationError:
    """Return the error that history keeps: final for the server, of the failure's kind.

    Only our own bugs are worth an error in the worker's log; the rest the run deals with.
    """
    return ApplicationError(
        failure.message,
        failure,
        type=failure.kind,
        non_retryable=True,
        category=ApplicationErrorCategory.UNSPECIFIED
        if failure.kind == FailureKind.INTERNAL
        else ApplicationErrorCategory.BENIGN,
    )


def throttled(error: Throttled) -> ApplicationError:
    """Return the only error that the server retries: no money, no history, no slot held."""
    return ApplicationError(
        str(error),
        type=FailureKind.THROTTLED,
        next_retry_delay=timedelta(seconds=max(error.delay, 0.01)),
        category=ApplicationErrorCategory.BENIGN,
    )


async def guard(
    attempt: Callable[[], Awaitable[R]],
    state: CallState,
    keep_partial: Callable[[str], Awaitable[ArtifactRef | None]],
) -> R:
    """Run an attempt; let out its reply, or one of the two errors above.

    The reply is encoded here, once, so that one that cannot be is a failure too: what the worker
    gets is its payload, which it hands on as it is.
    """
    try:
        reply = await attempt()
        (payload,) = activity.payload_converter().to_payloads([reply])
        return cast(R, RawValue(payload))
    except Throttled as error:
        if not state.sent:
            raise throttled(error) from None
        failure = describe(error, state, None)
    except (Exception, asyncio.CancelledError) as error:
        failure = describe(error, state, None)
        if failure.kind == FailureKind.INTERNAL:
            activity.logger.exception("attempt failed in our own code")
    if state.text:
        failure = failure.model_copy(update={"partial": await keep_partial(state.text)})
    raise to_application_error(_encodable(failure)) from None


def _encodable(failure: CallFailure) -> CallFailure:
    """Return the failure in a form that surely reaches history: the bill is in it."""
    try:
        activity.payload_converter().to_payloads([failure])
    except Exception:
        usage = dataclasses.replace(failure.usage, raw=None) if failure.usage else None
        return failure.model_copy(update={"usage": usage})
    return failure
