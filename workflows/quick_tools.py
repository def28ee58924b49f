"""Calls of quick tools within the workflow's own task: one event instead of six, and no queue.

Strategy: what is quick is known from the last call's times, which are in the history
(`rules.quick_tools`). Such a call is a local activity, tried once; what cannot be done so (the
tool is away, or slow this time) goes by the tools' queue as any other call, and that tool with it
for the rest of this history.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

from contracts.tool_activities import ToolActivities
from contracts.tools import ToolOutcome, ToolRequest
from rules.quick_tools import may_be_at_once
from workflows.tool_endings import Asking

AT_ONCE = timedelta(seconds=2)
"""For a tool that was quick, with a busy machine allowed for. A workflow task has ten."""

PATCH = "quick-tools-at-once"


class QuickTools:
    """What a workflow knows of how long its tools take."""

    def __init__(self) -> None:
        self._took: dict[str, float] = {}
        self._by_queue: set[str] = set()

    def note(self, call: Asking, outcome: ToolOutcome) -> None:
        """Remember how long a call took."""
        self._took[_key(call)] = (outcome.ended_at - outcome.started_at).total_seconds()

    def may(self, call: Asking) -> bool:
        """Whether a call is to be made at once."""
        key = _key(call)
        if key in self._by_queue or not may_be_at_once(call.fact, self._took.get(key)):
            return False
        return workflow.patched(PATCH)

    async def outcome(self, call: Asking, request: ToolRequest) -> ToolOutcome | None:
        """Make a call at once; None where that could not be done."""
        handle = workflow.start_local_activity_method(
            ToolActivities.call_tool,
            request,
            schedule_to_close_timeout=AT_ONCE,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary=f"{call.fact.name} · {call.id}",
        )
        try:
            return await asyncio.shield(handle)
        except FailureError:  # a local activity's own failure is not wrapped
            self._by_queue.add(_key(call))
            return None
        except asyncio.CancelledError:
            handle.cancel()
            await asyncio.gather(handle, return_exceptions=True)
            raise


def _key(call: Asking) -> str:
    """Return what tells a tool from others of its name, in other toolboxes."""
    return f"{call.toolbox.sha256} {call.fact.name}"
