"""One attempt as the workflow sees it end: a reply, or a failure that says what was spent.

Strategy: the activity runs under `asyncio.shield` and is cancelled with
WAIT_CANCELLATION_COMPLETED, so that its last word, with the usage, always arrives.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TimeoutError,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutType as Clock

from contracts.activities import ModelActivities, WaitingCall
from contracts.calls import CallFailure, CallProgress, ModelCall, ModelReply
from contracts.chats import TurnCall
from contracts.failures import FailureKind
from contracts.messages import Usage
from contracts.plans import Candidate
from contracts.queues import OWN_CLIENT, provider_queue

HEARTBEAT_TIMEOUT = timedelta(seconds=5)
OWN_HEARTBEAT_TIMEOUT = timedelta(seconds=15)
"""Where the caller's own program makes the calls: it may be busy, and no other can take over."""

LOAD_AND_STORE = timedelta(seconds=60)
"""Beside the provider's own time: reading the inputs, writing the answer."""

GIVEN_BACK = timedelta(seconds=2)
"""A cancelled run does not wait longer for a provider's queue to hear of it."""

SATURATED_AFTER = timedelta(seconds=60)
"""A queue that gives no slot for so long is left for the next candidate."""

NEVER_SENT = "cancelled before it was sent"

_NEVER_BY_THE_SERVER = ["TemporalTimeout:Heartbeat", "TemporalTimeout:StartToClose"]

C = TypeVar("C", bound=ModelCall)
R = TypeVar("R", bound=ModelReply)


async def attempt(
    call: ModelCall, candidate: Candidate, priority: int, has_next: bool
) -> ModelReply | CallFailure:
    """Make one attempt at a step; see `attempt_by`."""
    return await attempt_by(ModelActivities.call_model, call, candidate, priority, has_next)


async def attempt_by(
    method: Callable[[Any, C], Awaitable[R]],
    call: C,
    candidate: Candidate,
    priority: int,
    has_next: bool,
) -> R | CallFailure:
    """Run one attempt to its end and return what came of it. Never raises.

    A cancellation of the calling task is passed on to the activity and then absorbed: the caller
    settles what was spent and sees from the outcome ("Stopped", or a reply that was faster).
    """
    handle = workflow.start_activity_method(
        method,
        call,
        task_queue=candidate.queue,
        start_to_close_timeout=timedelta(seconds=call.timeout) + LOAD_AND_STORE,
        schedule_to_start_timeout=SATURATED_AFTER if has_next else None,
        heartbeat_timeout=heartbeat_timeout(candidate.queue),
        retry_policy=RetryPolicy(non_retryable_error_types=_NEVER_BY_THE_SERVER),
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=_summary(call, candidate),
        priority=Priority(priority_key=(12 - priority) // 2),
    )
    try:
        return await asyncio.shield(handle)
    except ActivityError as error:
        return failure_of(error)
    except asyncio.CancelledError:
        handle.cancel()
        try:
            return await handle
        except ActivityError as error:
            if isinstance(error.cause, CancelledError) and workflow.patched("turns-given-back"):
                await _give_back(call, candidate)
            return failure_of(error)


async def _give_back(call: ModelCall, candidate: Candidate) -> None:
    """Let others have the turn that a call may have waited for, as soon as anyone can tell them."""
    with contextlib.suppress(ActivityError, asyncio.CancelledError):
        await workflow.execute_activity_method(
            ModelActivities.give_back,
            WaitingCall(name=call.name, candidate=candidate),
            task_queue=candidate.queue,
            schedule_to_close_timeout=GIVEN_BACK,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=f"{call.unit} · waits for {candidate.provider} no longer",
            priority=Priority(priority_key=1),
        )


def heartbeat_timeout(queue: str) -> timedelta:
    """Return how long who serves a queue may be silent before it counts as lost."""
    own = queue.startswith(provider_queue(OWN_CLIENT))
    return OWN_HEARTBEAT_TIMEOUT if own else HEARTBEAT_TIMEOUT


def _summary(call: ModelCall, candidate: Candidate) -> str:
    """Say who is asked for what; of a turn the unit alone tells which call it is."""
    asked = f"{call.unit} · {candidate.provider} {candidate.model}"
    return asked if isinstance(call, TurnCall) else f"{asked} · attempt {call.attempt}"


async def count_tokens(call: ModelCall, candidate: Candidate) -> int | None:
    """Ask the provider how many tokens a step's prompt has; see `count_by`."""
    return await count_by(ModelActivities.count_tokens, call, candidate)


async def count_by(
    method: Callable[[Any, C], Awaitable[int]], call: C, candidate: Candidate
) -> int | None:
    """Ask the provider how many tokens a prompt has; None where it cannot say."""
    try:
        return await workflow.execute_activity_method(
            method,
            call,
            task_queue=candidate.queue,
            start_to_close_timeout=LOAD_AND_STORE,
            schedule_to_start_timeout=LOAD_AND_STORE,
            retry_policy=RetryPolicy(maximum_attempts=2),
            summary=f"{call.unit} · {candidate.provider} counts the prompt",
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise asyncio.CancelledError from None
        return None


def failure_of(error: ActivityError) -> CallFailure:
    """Read an activity's error. What cannot be known to be unsent counts as sent."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return _reported(cause)
    if isinstance(cause, TimeoutError):
        return _timed_out(cause)
    if isinstance(cause, CancelledError):
        return _failure(FailureKind.STOPPED, NEVER_SENT, sent=False)
    return _failure(FailureKind.INTERNAL, f"the server ended the attempt: {cause}", sent=True)


def _reported(cause: ApplicationError) -> CallFailure:
    if cause.details:
        return CallFailure.model_validate(cause.details[0])
    if cause.type == FailureKind.THROTTLED:
        return _failure(FailureKind.SATURATED, cause.message, sent=False)
    return _failure(FailureKind.INTERNAL, f"{cause.type}: {cause.message}", sent=True)


def _timed_out(cause: TimeoutError) -> CallFailure:
    if cause.type in (Clock.SCHEDULE_TO_START, Clock.SCHEDULE_TO_CLOSE):
        return _failure(FailureKind.SATURATED, "no worker had a free slot in time", sent=False)
    details = cause.last_heartbeat_details
    progress = CallProgress.model_validate(details[0]) if details else CallProgress()
    seen = Usage(progress.prompt_tokens, progress.completion_tokens, estimated=True)
    return CallFailure(
        kind=FailureKind.WORKER_LOST,
        message="the worker was lost in mid-call",
        retryable=True,
        sent=True,
        usage=seen if details else None,
        first_token_at=progress.first_token_at,
    )


def _failure(kind: FailureKind, message: str, *, sent: bool) -> CallFailure:
    return CallFailure(kind=kind, message=message, retryable=False, sent=sent)
