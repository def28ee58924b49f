"""How tool calls end: for the rules, for the model, for the record.

What a tool gave is referred to; what is said here is short, and travels inline.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError
from temporalio.exceptions import TimeoutType as Clock

from contracts.artifacts import ArtifactRef, Value
from contracts.chats import AskedTool, NewMessage, ToolRecord
from contracts.tools import MODEL_CHARS, ToolError, ToolFact, ToolOutcome, ToolProgress
from rules.turns import Called

MISFITS = frozenset({ToolError.INVALID_ARGUMENTS, ToolError.NO_SUCH_TOOL})


@dataclass(frozen=True)
class Asking:
    """A call on its way. `whole`: the toolbox says whose it is."""

    id: str
    asked: AskedTool
    fact: ToolFact
    toolbox: ArtifactRef
    whole: bool


@dataclass(frozen=True)
class Ended:
    """A call that has ended."""

    called: Called
    message: NewMessage
    record: ToolRecord


def ended(call: Asking, outcome: ToolOutcome, cost: Decimal = Decimal(0)) -> Ended:
    """Return the end of a call that was made. `cost` is what the models that it asked cost."""
    took = outcome.execution_time or (outcome.ended_at - outcome.started_at).total_seconds()
    return Ended(
        Called(
            call.fact.name,
            failed=outcome.status == "failed",
            misfit=outcome.error_kind in MISFITS,
            critical=call.fact.critical,
            error=outcome.error or "",
        ),
        NewMessage(role="tool", content=outcome.text),
        ToolRecord(
            call_id=call.id,
            name=call.fact.name,
            arguments=call.asked.arguments,
            status=outcome.status,
            text=outcome.text,
            whole=outcome.whole,
            error=outcome.error,
            error_kind=outcome.error_kind,
            execution_time=took,
            started_at=outcome.started_at,
            ended_at=outcome.ended_at,
            cost=cost,
        ),
    )


def refused(
    asked: AskedTool, call_id: str, why: str, kind: ToolError = ToolError.INVALID_ARGUMENTS
) -> Ended:
    """Return the end of a call that cannot be made: the model's mistake."""
    return not_made(asked, call_id, why, kind, misfit=True)


def not_made(
    asked: AskedTool, call_id: str, why: str, kind: ToolError, *, misfit: bool = False
) -> Ended:
    """Return the end of a call that was not made."""
    now = workflow.now()
    text = spoken(f"error: {why}")
    return Ended(
        Called(asked.name, failed=True, misfit=misfit, error=why),
        NewMessage(role="tool", content=text),
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


def lost(fact: ToolFact, number: int, error: ActivityError) -> ToolOutcome:
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
        unknown = fact.effect == "unsafe" and phase == "started"
        kind = ToolError.UNKNOWN if unknown else ToolError.DIED
    elif isinstance(cause, ApplicationError):
        said = cause.message
    if unknown:
        said += "; whether it was done is not known"
    return failure(fact, kind, said, attempt=number, unknown=unknown)


def failure(
    fact: ToolFact,
    kind: ToolError,
    said: str,
    *,
    attempt: int = 1,
    unknown: bool = False,
    began: datetime | None = None,
) -> ToolOutcome:
    """Return the outcome of a call that failed, told by us."""
    now = workflow.now()
    return ToolOutcome(
        status="failed",
        text=spoken(f"error: {fact.name}: {said}"),
        error_kind=kind,
        error=said,
        unknown=unknown,
        attempt=attempt,
        started_at=began or now,
        ended_at=now,
    )


def spoken(text: str) -> Value:
    """Return a short text of our own as a value."""
    text = text[:MODEL_CHARS]
    return Value(
        kind="text", inline=text, has_inline=True, preview=text[:160], size_bytes=len(text.encode())
    )
