"""What a tool did, told as events (seed 003)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from client.chat.values import ToolEvent, ToolEventType, ToolExecution

SHOWN_CHARS = 500
"""Of a result, where it is shown at all."""


class ToolExecutionStream:
    """Streams tool execution events. `verbose` shows parameters and results in their data."""

    def __init__(self, verbose: bool = False) -> None:
        self.verbose = verbose

    async def stream_execution(self, tool_call: ToolExecution) -> AsyncIterator[ToolEvent]:
        """Yield the events of a call: started, then how it stands or ended.

        Timestamps have a time zone and never go back.
        """
        began = _aware(tool_call.started_at or tool_call.completed_at or datetime.now(UTC))
        yield self._event(ToolEventType.STARTED, tool_call, began, self._parameters(tool_call))
        if tool_call.status == "completed":
            data: dict[str, Any] = {"execution_time": tool_call.execution_time}
            if self.verbose:
                data["result"] = (tool_call.result or "")[:SHOWN_CHARS]
            yield self._event(ToolEventType.COMPLETED, tool_call, _end(tool_call, began), data)
        elif tool_call.status == "failed":
            data = {"error": tool_call.error_message or "failed"}
            data["execution_time"] = tool_call.execution_time
            yield self._event(ToolEventType.FAILED, tool_call, _end(tool_call, began), data)
        else:
            data = {"status": tool_call.status}
            now = max(datetime.now(UTC), began)
            yield self._event(ToolEventType.PROGRESS, tool_call, now, data)

    def _parameters(self, call: ToolExecution) -> dict[str, Any]:
        return {"parameters": dict(call.parameters)} if self.verbose else {}

    def _event(
        self, kind: ToolEventType, call: ToolExecution, at: datetime, data: dict[str, Any]
    ) -> ToolEvent:
        return ToolEvent(kind, call.tool_name, at, data)


def _end(call: ToolExecution, began: datetime) -> datetime:
    """Return when a call ended, which is never before it began."""
    if call.completed_at is not None:
        return max(_aware(call.completed_at), began)
    return began + timedelta(seconds=max(call.execution_time or 0.0, 0.0))


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
