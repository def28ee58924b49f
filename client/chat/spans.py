"""Spans of OpenTelemetry: one a turn and one a tool call in it; imported only where asked for.

Promises: a turn's span is a child of whatever span the caller is in, a tool's of its turn's; names
and attributes are those of the semantic conventions for generative AI (`invoke_agent`,
`execute_tool`). No span holds what was said, what a tool was given or gave, an error's text or a
key. Telemetry that fails is logged once and changes nothing.

A turn is told when it has ended, so spans carry the times of what happened, not of the telling.
"""

from typing import TYPE_CHECKING, Any

from client.chat.exceptions import AgentInitializationError
from client.spans import SpanMaker, nanoseconds
from contracts.teams import AgentStatus

if TYPE_CHECKING:
    from contracts.agents import AgentSpec
    from contracts.chats import ToolRecord, TurnResult


class Spans(SpanMaker):
    """Makes the spans of an agent's turns. Raises AgentInitializationError."""

    def __init__(self, agent: "AgentSpec", provider: Any = None) -> None:
        try:
            super().__init__("a turn has no span", agent.observability.service_name, provider)
        except ImportError:
            raise AgentInitializationError(
                "enable_observability needs the package opentelemetry-api: make venv EXTRA=otel, "
                "or uv sync --extra otel"
            ) from None
        self._agent = agent.name

    def note(self, session_id: str, result: "TurnResult") -> None:
        """Record a turn that has ended. Never raises."""
        self._safely(lambda tracer: self._note(tracer, session_id, result))

    def _note(self, tracer: Any, session_id: str, result: "TurnResult") -> None:
        attributes = self._attributes(session_id, result)
        span = self._begin(tracer, f"invoke_agent {self._agent}", result.started_at, attributes)
        if result.status is not AgentStatus.COMPLETED:
            self._fail(span, result.kind or result.status.value)
        within = self._inside(span)
        for record in result.tools:
            self._tool(tracer, record, within)
        span.end(end_time=nanoseconds(result.ended_at))

    def _attributes(self, session_id: str, result: "TurnResult") -> dict[str, Any]:
        found: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self._agent,
            "gen_ai.conversation.id": session_id,
            "callboard.turn": result.turn,
            "callboard.status": result.status.value,
            "callboard.cost": float(result.cost),
            "callboard.attempts": result.attempts,
        }
        if result.provider:
            found["gen_ai.provider.name"] = result.provider
        if result.model:
            found["gen_ai.response.model"] = result.model
        if result.finish_reason:
            found["gen_ai.response.finish_reasons"] = (result.finish_reason,)
        if result.usage is not None:
            found["gen_ai.usage.input_tokens"] = result.usage.prompt_tokens
            found["gen_ai.usage.output_tokens"] = result.usage.completion_tokens
        return found

    def _tool(self, tracer: Any, record: "ToolRecord", within: Any) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": record.name,
            "gen_ai.tool.call.id": record.call_id,
            "callboard.status": record.status,
        }
        name = f"execute_tool {record.name}"
        span = self._begin(tracer, name, record.started_at, attributes, within)
        if record.status == "failed":
            self._fail(span, str(record.error_kind or "failed"))
        span.end(end_time=nanoseconds(record.ended_at))
