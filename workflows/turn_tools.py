"""The tool calls of one answer: side by side, each with a person's word where it needs one.

However a call ends, the model is told; only what is lost with a worker while an unsafe tool may
have been at work is asked of a person, since nobody else can know whether it was done. What a
tool gave travels by reference; what this module itself has to say is short, and travels inline.
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError
from temporalio.exceptions import TimeoutType as Clock

from contracts.artifacts import ArtifactRef, Value
from contracts.chats import (
    AgentHeader,
    AskedTool,
    Listed,
    NewMessage,
    PendingTool,
    ToolRecord,
    ToolWord,
    turn_unit,
)
from contracts.tool_activities import ToolActivities
from contracts.tools import (
    ToolError,
    ToolFact,
    ToolOutcome,
    ToolProgress,
    ToolRequest,
    tool_queue,
)
from rules.turns import Called
from workflows.outcome import HEARTBEAT_TIMEOUT

MARGIN = timedelta(seconds=15)
"""Beside a tool's own time: for reading its arguments and storing what it gave."""

SERVED_WITHIN = timedelta(seconds=60)
"""Tools that no worker takes up for so long are not served at all."""

MISFITS = frozenset({ToolError.INVALID_ARGUMENTS, ToolError.NO_SUCH_TOOL})


class Desk(ABC):
    """Where a person is asked."""

    @abstractmethod
    async def word(self, pending: PendingTool, limit: float | None) -> ToolWord | None:
        """Wait for a person's word on a call; None where none came within `limit` seconds."""


@dataclass(frozen=True)
class Ended:
    """A call that has ended: for the rules, for the model, for the record."""

    called: Called
    message: NewMessage
    record: ToolRecord


@dataclass(frozen=True)
class _Call:
    """One call on its way."""

    id: str
    asked: AskedTool
    fact: ToolFact
    toolbox: ArtifactRef


class ToolCaller:
    """Calls the tools of one turn."""

    def __init__(
        self,
        run_id: str,
        turn: int,
        agent: AgentHeader,
        listed: tuple[Listed, ...],
        desk: Desk,
    ) -> None:
        self._run_id, self._turn, self._agent, self._desk = run_id, turn, agent, desk
        self._facts = {
            fact.name: (fact, one.listing.toolbox)
            for one in listed
            for fact in one.listing.facts
            if one.listing.toolbox is not None
        }

    def hands_over(self, asked: tuple[AskedTool, ...]) -> bool:
        """Whether an answer asks for a tool that is the caller's own."""
        known = (self._facts.get(one.name) for one in asked)
        return any(one is not None and one[0].kind == "caller" for one in known)

    async def call(self, asked: tuple[AskedTool, ...], call: int) -> list[Ended]:
        """Call all that an answer asks for, some at once; results in the order of the asking.

        Cancelled, it ends all of them and waits for that.
        """
        gate = asyncio.Semaphore(self._agent.max_parallel_tools)
        unit = turn_unit(self._turn, call)
        tasks = [
            asyncio.create_task(self._gated(gate, one, f"{unit}.{number}", unit))
            for number, one in enumerate(asked, 1)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _gated(
        self, gate: asyncio.Semaphore, asked: AskedTool, call_id: str, unit: str
    ) -> Ended:
        known = self._facts.get(asked.name)
        if asked.problem is not None:
            return _refused(asked, call_id, f"the arguments are no JSON object: {asked.problem}")
        if known is None or known[1] is None:
            names = ", ".join(self._facts) or "none"
            return _refused(
                asked,
                call_id,
                f"there is no tool {asked.name}; there are: {names}",
                ToolError.NO_SUCH_TOOL,
            )
        call = _Call(call_id, asked, known[0], known[1])
        if call.fact.needs_approval:
            said = await self._word(call, "approval")
            if said is not None:
                return said
        async with gate:
            outcome = await self._outcome(call, unit, 1, confirmed=False)
        number = 1
        while outcome.unknown:
            said = await self._word(call, "unknown", outcome)
            if said is not None:
                return said
            number += 1
            async with gate:
                outcome = await self._outcome(call, unit, number, confirmed=True)
        return _ended(call, outcome)

    async def _word(
        self, call: _Call, why: str, outcome: ToolOutcome | None = None
    ) -> Ended | None:
        """Ask a person; return the end of the call where he does not want it made."""
        limit = self._agent.approval_timeout
        now = workflow.now()
        pending = PendingTool.model_validate(
            {
                "call_id": call.id,
                "turn": self._turn,
                "name": call.asked.name,
                "arguments": call.asked.arguments,
                "why": why,
                "asked_at": now,
                "until": now + timedelta(seconds=limit) if limit else None,
            }
        )
        word = await self._desk.word(pending, limit)
        if word is not None and word.approved:
            return None
        if word is None:
            said = f"nobody allowed it within {limit:g} s"
        else:
            said = f"a person declined it{f': {word.comment}' if word.comment else ''}"
        if outcome is not None:
            return _ended(call, outcome)
        return _failed(call.asked, call.id, f"{said}; it was not called", ToolError.REFUSED)

    async def _outcome(
        self, call: _Call, unit: str, number: int, *, confirmed: bool
    ) -> ToolOutcome:
        """Make a call; whatever ends it is an outcome."""
        fact = call.fact
        request = ToolRequest(
            agent=None if call.whole else self._agent.agent,
            toolbox=call.toolbox,
            name=fact.name,
            call_id=call.id,
            arguments=call.asked.arguments,
            attempt=number,
            confirmed=confirmed,
        )
        handle = workflow.start_activity_method(
            ToolActivities.call_tool,
            request,
            task_queue=tool_queue(fact.queue, workflow.info().task_queue),
            start_to_close_timeout=timedelta(seconds=fact.timeout) + MARGIN,
            schedule_to_start_timeout=SERVED_WITHIN,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=max(fact.attempts, 1)),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{fact.name} · {call.id}",
        )
        try:
            return await asyncio.shield(handle)
        except ActivityError as error:
            return _lost(call, number, error)
        except asyncio.CancelledError:
            handle.cancel()
            await asyncio.gather(handle, return_exceptions=True)
            raise


def _lost(call: _Call, number: int, error: ActivityError) -> ToolOutcome:
    """Return the outcome of a call that no worker has told the end of."""
    cause = error.cause
    unknown, kind, said = False, ToolError.DIED, "the worker was lost in the middle of it"
    if isinstance(cause, TimeoutError) and cause.type in (
        Clock.SCHEDULE_TO_START,
        Clock.SCHEDULE_TO_CLOSE,
    ):
        kind, said = ToolError.UNAVAILABLE, "no worker that serves it had time"
    elif isinstance(cause, TimeoutError):
        details = cause.last_heartbeat_details
        phase = ToolProgress.model_validate(details[0]).phase if details else "started"
        unknown = call.fact.effect == "unsafe" and phase == "started"
        kind = ToolError.UNKNOWN if unknown else ToolError.DIED
    elif isinstance(cause, ApplicationError):
        said = cause.message
    if unknown:
        said += "; whether it was done is not known"
    now = workflow.now()
    return ToolOutcome(
        name=call.fact.name,
        call_id=call.id,
        status="failed",
        text=spoken(f"error: {call.fact.name}: {said}"),
        error_kind=kind,
        error=said,
        unknown=unknown,
        attempt=number,
        started_at=now,
        ended_at=now,
    )


def spoken(text: str) -> Value:
    """Return a short text of our own as a value."""
    return Value(
        kind="text", inline=text, has_inline=True, preview=text[:160], size_bytes=len(text.encode())
    )


def _ended(call: _Call, outcome: ToolOutcome) -> Ended:
    failed = outcome.status == "failed"
    error = outcome.error or ""
    return Ended(
        Called(
            call.fact.name,
            failed=failed,
            misfit=outcome.error_kind in MISFITS,
            critical=call.fact.critical,
            error=error,
        ),
        _message(call.asked, outcome.text),
        ToolRecord(
            call_id=call.id,
            name=call.fact.name,
            arguments=call.asked.arguments,
            status=outcome.status,
            text=outcome.text,
            whole=outcome.whole,
            error=outcome.error,
            error_kind=outcome.error_kind,
            execution_time=outcome.execution_time,
            started_at=outcome.started_at,
            ended_at=outcome.ended_at,
        ),
    )


def _refused(
    asked: AskedTool, call_id: str, why: str, kind: ToolError = ToolError.INVALID_ARGUMENTS
) -> Ended:
    """Return the end of a call that cannot be made: the model's mistake."""
    return _failed(asked, call_id, why, kind, misfit=True)


def _failed(
    asked: AskedTool, call_id: str, why: str, kind: ToolError, *, misfit: bool = False
) -> Ended:
    now = workflow.now()
    text = spoken(f"error: {why}")
    return Ended(
        Called(asked.name, failed=True, misfit=misfit, error=why),
        _message(asked, text),
        ToolRecord(
            call_id=call_id,
            name=asked.name,
            arguments=asked.arguments,
            status="failed",
            text=text,
            error=why,
            error_kind=kind,
            started_at=now,
            ended_at=now,
        ),
    )


def _message(asked: AskedTool, text: Value) -> NewMessage:
    return NewMessage(role="tool", content=text, name=asked.name, tool_call_id=asked.id)
