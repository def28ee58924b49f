"""The execution workflow: the pattern of seed 002 with each of its effects as an activity.

What an activity has done is in the history: a worker that takes over goes on from there, and
uploads, makes or asks nothing twice.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory

with workflow.unsafe.imports_passed_through():
    from contracts.calls import CallFailure
    from contracts.execution import CacheRef, Capabilities, NamedEffect
    from contracts.execution_activities import ExecutionActivities
    from contracts.execution_calls import (
        EXECUTION_FAILED,
        EXECUTION_WORKFLOW,
        Asked,
        CacheCall,
        ExecutionOutcome,
        ExecutionRequest,
        GenerateCall,
        GenerateReply,
        RemoveCall,
        RemoveReply,
        ReuseCall,
        UploadCall,
        UploadReply,
    )
    from contracts.failures import FailureKind
    from contracts.queues import provider_queue
    from workflows.effects import Effects
    from workflows.executing import Execution
    from workflows.outcome import HEARTBEAT_TIMEOUT, LOAD_AND_STORE, failure_of

A = TypeVar("A", bound=Asked)
R = TypeVar("R")

UPLOAD_LIMIT = timedelta(minutes=10)
"""For a file's way to the vendor, and until it can be used there."""

SERVED_WITHIN = timedelta(seconds=60)
"""A provider that no worker takes up for so long is not served at all."""

_NEVER_BY_THE_SERVER = ["TemporalTimeout:Heartbeat", "TemporalTimeout:StartToClose"]


@workflow.defn(name=EXECUTION_WORKFLOW)
class ExecutionWorkflow:
    """One execution of a plan."""

    @workflow.run
    async def run(self, request: ExecutionRequest) -> ExecutionOutcome:
        """Execute to the end. An execution without any answer fails, with its outcome."""
        outcome = await Execution(request, ActivityEffects()).run()
        if outcome.failure is not None:
            raise ApplicationError(
                outcome.failure.message,
                outcome,
                type=EXECUTION_FAILED,
                category=ApplicationErrorCategory.BENIGN,
            )
        return outcome


class ActivityEffects(Effects):
    """Acts by activities on the providers' queues."""

    async def capabilities(self, asked: Asked) -> Capabilities | CallFailure:
        found = await self._act(
            ExecutionActivities.execution_capabilities, asked, LOAD_AND_STORE, "capabilities"
        )
        if isinstance(found, CallFailure) and found.kind == FailureKind.SATURATED:
            message = f"no worker serves provider {asked.provider}: is its key set there?"
            return found.model_copy(update={"kind": FailureKind.UNAVAILABLE, "message": message})
        return found

    async def upload(self, call: UploadCall) -> UploadReply | CallFailure:
        summary = f"upload {call.file.name or call.file.path}"
        return await self._act(ExecutionActivities.execution_upload, call, UPLOAD_LIMIT, summary)

    async def cache(self, call: CacheCall) -> CacheRef | CallFailure:
        return await self._act(
            ExecutionActivities.execution_cache, call, UPLOAD_LIMIT, f"cache for {call.model}"
        )

    async def reuse(self, call: ReuseCall) -> GenerateReply | None:
        found = await self._act(
            ExecutionActivities.execution_reuse, call, LOAD_AND_STORE, "look for an answer"
        )
        return None if isinstance(found, CallFailure) else found.found

    async def generate(self, call: GenerateCall) -> GenerateReply | CallFailure:
        return await self._act(
            ExecutionActivities.execution_generate,
            call,
            timedelta(seconds=call.timeout) + LOAD_AND_STORE,
            f"call {call.index} · {call.provider} {call.model} · attempt {call.attempt}",
        )

    async def remove(self, call: RemoveCall) -> RemoveReply:
        removed = await self._act(
            ExecutionActivities.execution_remove, call, LOAD_AND_STORE, "clean up", attempts=3
        )
        if isinstance(removed, CallFailure):
            return RemoveReply(problems=(f"nothing was cleaned up: {removed.message}",))
        return removed

    async def named(self, effect: NamedEffect) -> Any:
        try:
            return await workflow.execute_activity(
                effect.name,
                effect.argument,
                start_to_close_timeout=UPLOAD_LIMIT,
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=effect.name,
            )
        except ActivityError as error:
            return failure_of(error)

    async def sleep(self, seconds: float) -> None:
        await workflow.sleep(seconds, summary="back-off")

    def now(self) -> float:
        return workflow.time()

    def random(self) -> float:
        return workflow.random().random()

    async def _act(
        self,
        method: Callable[[Any, A], Awaitable[R]],
        call: A,
        limit: timedelta,
        summary: str,
        attempts: int = 0,
    ) -> R | CallFailure:
        """Run an activity on its provider's queue; its last word is always waited for."""
        handle = workflow.start_activity_method(
            method,
            call,
            task_queue=provider_queue(call.provider),
            start_to_close_timeout=limit,
            schedule_to_start_timeout=SERVED_WITHIN,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                maximum_attempts=attempts, non_retryable_error_types=_NEVER_BY_THE_SERVER
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=summary,
        )
        try:
            return await asyncio.shield(handle)
        except ActivityError as error:
            return failure_of(error)
        except asyncio.CancelledError:
            handle.cancel()
            with contextlib.suppress(ActivityError):
                await handle
            raise
