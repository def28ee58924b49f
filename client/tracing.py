"""Spans of OpenTelemetry for a run that has ended: the run, its agents, the attempts that it paid.

Promises: the run's span is a child of whatever span the caller is in, an agent's of its run's, an
attempt's of its agent's; names and attributes are those of the semantic conventions for
generative AI (`invoke_workflow`, `invoke_agent`, `chat`), times are those of what happened. No
span holds a prompt, an answer, an error's text or a key. Telemetry that fails is logged once and
changes nothing.

    RunSpans().note(await run.record())

The run's workflow makes none: it is replayed, and where it works nobody may want spans. Whoever
follows a run notes it once.
"""

import logging
from datetime import datetime
from typing import Any

from contracts.runs import AttemptRecord, RunRecord, StepResult, step_of
from contracts.teams import AgentStatus, WorkflowStatus

logger = logging.getLogger(__name__)

_FINE = frozenset({"running", "completed"})


class RunSpans:
    """Makes spans by the tracer provider that the program has set up, or by the one given.

    Raises ImportError without the package opentelemetry-api (uv sync --extra otel).
    """

    def __init__(self, service: str = "callboard", provider: Any = None) -> None:
        from opentelemetry import trace

        self._trace: Any = trace
        self._service, self._provider = service, provider
        self._failed = False

    def note(self, record: RunRecord) -> None:
        """Record a run. Never raises."""
        try:
            self._note(record)
        except Exception as error:  # whatever the program's telemetry does, the run is there
            if not self._failed:
                logger.warning("a run has no spans: %s", type(error).__name__)
            self._failed = True

    def _note(self, record: RunRecord) -> None:
        tracer = self._trace.get_tracer(self._service, tracer_provider=self._provider)
        span = tracer.start_span(
            f"invoke_workflow {record.team}",
            start_time=_nanoseconds(record.started_at),
            attributes={
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": record.team,
                "callboard.run": record.run_id,
                "callboard.status": record.status.value,
                "callboard.cost": float(record.cost),
            },
        )
        if record.status is not WorkflowStatus.COMPLETED:
            self._fail(span, record.status.value)
        within = self._trace.set_span_in_context(span)
        for result in record.results:
            own = [one for one in record.attempts if step_of(one.step) == result.agent_id]
            self._step(tracer, result, own, within)
        span.end(end_time=_nanoseconds(record.completed_at))

    def _step(
        self, tracer: Any, result: StepResult, attempts: list[AttemptRecord], within: Any
    ) -> None:
        if result.started_at is None:
            return
        span = tracer.start_span(
            f"invoke_agent {result.agent_id}",
            context=within,
            start_time=_nanoseconds(result.started_at),
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": result.agent_id,
                "callboard.status": result.status.value,
                "callboard.cost": float(result.cost),
            },
        )
        if result.status is not AgentStatus.COMPLETED:
            self._fail(span, result.status.value)
        inside = self._trace.set_span_in_context(span)
        for attempt in attempts:
            if attempt.started_at is not None:
                self._attempt(tracer, attempt, inside)
        span.end(end_time=_nanoseconds(result.completed_at))

    def _attempt(self, tracer: Any, attempt: AttemptRecord, within: Any) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": attempt.provider,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.max_tokens": attempt.max_tokens,
            "callboard.attempt": attempt.number,
            "callboard.cost": float(attempt.cost),
        }
        if attempt.response_id:
            attributes["gen_ai.response.id"] = attempt.response_id
        if attempt.usage is not None:
            attributes["gen_ai.usage.input_tokens"] = attempt.usage.prompt_tokens
            attributes["gen_ai.usage.output_tokens"] = attempt.usage.completion_tokens
        span = tracer.start_span(
            f"chat {attempt.model}",
            context=within,
            kind=self._trace.SpanKind.CLIENT,
            start_time=_nanoseconds(attempt.started_at),
            attributes=attributes,
        )
        if attempt.outcome not in _FINE:
            self._fail(span, attempt.outcome)
        span.end(end_time=_nanoseconds(attempt.ended_at))

    def _fail(self, span: Any, kind: str) -> None:
        """Mark a span by the kind of its error: a text might quote what was said."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, kind))


def _nanoseconds(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1_000_000_000) if at is not None else None
