"""Spans of OpenTelemetry for a run that has ended: the run, its agents, the attempts that it paid.

Promises: the run's span is a child of whatever span the caller is in, an agent's of its run's, an
attempt's of its agent's; names and attributes are those of the semantic conventions for
generative AI (`invoke_workflow`, `invoke_agent`, `chat`), times are those of what happened. No
span holds a prompt, an answer, an error's text or a key. Telemetry that fails is logged once and
changes nothing.

    RunSpans().note(await run.record())

The run's workflow makes none: it is replayed, and where it works nobody may want spans. Whoever
follows a run notes it (`client.cli.telemetry` does).
"""

from typing import Any

from client.spans import SpanMaker, nanoseconds
from contracts.runs import AttemptRecord, RunRecord, StepResult, step_of
from contracts.teams import AgentStatus, WorkflowStatus

_FINE = frozenset({"running", "completed"})


class RunSpans(SpanMaker):
    """Makes the spans of runs. Raises ImportError without opentelemetry-api."""

    def __init__(self, service: str = "callboard", provider: Any = None) -> None:
        super().__init__("a run has no spans", service, provider)

    def note(self, record: RunRecord) -> None:
        """Record a run. Never raises."""
        self._safely(lambda tracer: self._note(tracer, record))

    def _note(self, tracer: Any, record: RunRecord) -> None:
        attributes = {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": record.team,
            "callboard.run": record.run_id,
            "callboard.status": record.status.value,
            "callboard.cost": float(record.cost),
        }
        name = f"invoke_workflow {record.team}"
        span = self._begin(tracer, name, record.started_at, attributes)
        if record.status is not WorkflowStatus.COMPLETED:
            self._fail(span, record.status.value)
        within = self._inside(span)
        for result in record.results:
            own = [one for one in record.attempts if step_of(one.step) == result.agent_id]
            self._step(tracer, result, own, within)
        span.end(end_time=nanoseconds(record.completed_at))

    def _step(
        self, tracer: Any, result: StepResult, attempts: list[AttemptRecord], within: Any
    ) -> None:
        if result.started_at is None:
            return
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": result.agent_id,
            "callboard.status": result.status.value,
            "callboard.cost": float(result.cost),
        }
        name = f"invoke_agent {result.agent_id}"
        span = self._begin(tracer, name, result.started_at, attributes, within)
        if result.status is not AgentStatus.COMPLETED:
            self._fail(span, result.status.value)
        inside = self._inside(span)
        for attempt in attempts:
            if attempt.started_at is not None:
                self._attempt(tracer, attempt, inside)
        span.end(end_time=nanoseconds(result.completed_at))

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
        client = self._trace.SpanKind.CLIENT
        name = f"chat {attempt.model}"
        span = self._begin(tracer, name, attempt.started_at, attributes, within, kind=client)
        if attempt.outcome not in _FINE:
            self._fail(span, attempt.outcome)
        span.end(end_time=nanoseconds(attempt.ended_at))
