"""One span of OpenTelemetry a turn, and one a tool call in it; imported only where asked for.

A turn is told when it has ended, so spans carry the times of what happened, not of the telling.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from client.chat.exceptions import AgentInitializationError
from contracts.teams import AgentStatus

if TYPE_CHECKING:
    from contracts.agents import AgentSpec
    from contracts.chats import ToolRecord, TurnResult


class Spans:
    """Makes spans by the tracer provider that the program has set up."""

    def __init__(self, agent: "AgentSpec") -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            raise AgentInitializationError(
                "enable_observability needs the package opentelemetry-api"
            ) from None
        self._trace: Any = trace
        self._tracer = trace.get_tracer(agent.observability.service_name)
        self._agent = agent.name

    def note(self, session_id: str, result: "TurnResult") -> None:
        """Record a turn that has ended."""
        attributes: dict[str, Any] = {
            "callboard.session": session_id,
            "callboard.turn": result.turn,
            "callboard.status": result.status.value,
            "callboard.cost": float(result.cost),
            "gen_ai.agent.name": self._agent,
        }
        if result.provider:
            attributes["gen_ai.provider.name"] = result.provider
        if result.model:
            attributes["gen_ai.response.model"] = result.model
        if result.usage is not None:
            attributes["gen_ai.usage.input_tokens"] = result.usage.prompt_tokens
            attributes["gen_ai.usage.output_tokens"] = result.usage.completion_tokens
        span = self._tracer.start_span(
            "agent.turn", start_time=_nanoseconds(result.started_at), attributes=attributes
        )
        if result.status is not AgentStatus.COMPLETED:
            self._fail(span, result.error or result.status.value)
        within = self._trace.set_span_in_context(span)
        for record in result.tools:
            self._tool(record, within)
        span.end(end_time=_nanoseconds(result.ended_at))

    def _tool(self, record: "ToolRecord", within: Any) -> None:
        span = self._tracer.start_span(
            f"tool.{record.name}",
            context=within,
            start_time=_nanoseconds(record.started_at),
            attributes={"gen_ai.tool.name": record.name, "callboard.status": record.status},
        )
        if record.status == "failed":
            self._fail(span, record.error or "failed")
        span.end(end_time=_nanoseconds(record.ended_at))

    def _fail(self, span: Any, why: str) -> None:
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, why))


def _nanoseconds(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1_000_000_000) if at is not None else None
