"""Spans of OpenTelemetry: one a turn and one a tool call in it; imported only where asked for.

Promises: a turn's span is a child of whatever span the caller is in, a tool's of its turn's; names
and attributes are those of the semantic conventions for generative AI (`invoke_agent`,
`execute_tool`). No span holds what was said, what a tool was given or gave, an error's text or a
key. Telemetry that fails is logged once and changes nothing.

A turn is told when it has ended, so spans carry the times of what happened, not of the telling.
"""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from client.chat.exceptions import AgentInitializationError
from contracts.teams import AgentStatus

if TYPE_CHECKING:
    from contracts.agents import AgentSpec
    from contracts.chats import ToolRecord, TurnResult

logger = logging.getLogger(__name__)


class Spans:
    """Makes spans by the tracer provider that the program has set up, or by the one given."""

    def __init__(self, agent: "AgentSpec", provider: Any = None) -> None:
        try:
            from opentelemetry import trace
        except ImportError:
            raise AgentInitializationError(
                "enable_observability needs the package opentelemetry-api: uv sync --extra otel"
            ) from None
        self._trace: Any = trace
        self._provider = provider
        self._service = agent.observability.service_name
        self._agent = agent.name
        self._failed = False

    def note(self, session_id: str, result: "TurnResult") -> None:
        """Record a turn that has ended. Never raises."""
        try:
            self._note(session_id, result)
        except Exception as error:  # whatever the program's telemetry does, the answer is there
            if not self._failed:
                logger.warning("a turn has no span: %s", type(error).__name__)
            self._failed = True

    def _note(self, session_id: str, result: "TurnResult") -> None:
        # The provider is asked each time: the program may set it up after the agent was made.
        tracer = self._trace.get_tracer(self._service, tracer_provider=self._provider)
        span = tracer.start_span(
            f"invoke_agent {self._agent}",
            start_time=_nanoseconds(result.started_at),
            attributes=self._attributes(session_id, result),
        )
        if result.status is not AgentStatus.COMPLETED:
            self._fail(span, result.kind or result.status.value)
        within = self._trace.set_span_in_context(span)
        for record in result.tools:
            self._tool(tracer, record, within)
        span.end(end_time=_nanoseconds(result.ended_at))

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
        span = tracer.start_span(
            f"execute_tool {record.name}",
            context=within,
            start_time=_nanoseconds(record.started_at),
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": record.name,
                "gen_ai.tool.call.id": record.call_id,
                "callboard.status": record.status,
            },
        )
        if record.status == "failed":
            self._fail(span, str(record.error_kind or "failed"))
        span.end(end_time=_nanoseconds(record.ended_at))

    def _fail(self, span: Any, kind: str) -> None:
        """Mark a span by the kind of its error: a text might quote what was said."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, kind))


def _nanoseconds(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1_000_000_000) if at is not None else None
