"""Calls of quick tools within the workflow's own task: one event instead of six, and no queue.

Strategy: what is quick is known from the last call's times, which are in the history
(`rules.quick_tools`). Such a call is a local activity, tried once. What cannot be done so (the
tool is away, or slow this time) goes by the tools' queue as any other call, and that tool with it
for the rest of this history.

Whoever is lost in the middle, the call is made again. An unsafe one is begun once all the same
(`activities.tool_claims`): its second run tells what came of the first, or that nobody knows, and
then a person is asked. So it is not given up for being slow either, but has all of its time.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

from contracts.artifacts import ArtifactRef
from contracts.tool_activities import ToolActivities
from contracts.tools import ToolFact, ToolOutcome, ToolRequest
from rules.quick_tools import may_be_at_once
from workflows.tool_endings import Asking

AT_ONCE = timedelta(seconds=2)
"""For a tool that was quick, with a busy machine allowed for. A workflow task has ten."""

MARGIN = timedelta(seconds=15)
"""Beside a tool's own time: for reading its arguments and storing what it gave."""

PATCH = "quick-tools-at-once"
UNSAFE_PATCH = "unsafe-tools-at-once"


class QuickTools:
    """What a workflow knows of how long its tools take."""

    def __init__(self) -> None:
        self._took: dict[str, float] = {}
        self._by_queue: set[str] = set()

    def note(self, call: Asking, outcome: ToolOutcome) -> None:
        """Remember how long a call took."""
        key = _key(call.toolbox, call.fact)
        self._took[key] = (outcome.ended_at - outcome.started_at).total_seconds()
        if outcome.unknown:
            self._by_queue.add(key)

    def foresee(self, fact: ToolFact, toolbox: ArtifactRef) -> None:
        """Ask for an unsafe tool's patch right after a model's answer.

        Later it might be that only local activities have ended since, and then a patch may not be
        asked for the first time (contracts.runs.RUN_SHAPE).
        """
        if fact.effect == "unsafe" and self._is_quick(fact, toolbox):
            workflow.patched(UNSAFE_PATCH)

    def may(self, call: Asking) -> bool:
        """Whether a call is to be made at once."""
        if not self._is_quick(call.fact, call.toolbox):
            return False
        return workflow.patched(UNSAFE_PATCH if call.fact.effect == "unsafe" else PATCH)

    def _is_quick(self, fact: ToolFact, toolbox: ArtifactRef) -> bool:
        key = _key(toolbox, fact)
        return key not in self._by_queue and may_be_at_once(fact, self._took.get(key))

    async def outcome(self, call: Asking, request: ToolRequest) -> ToolOutcome | None:
        """Make a call at once; None where that could not be done."""
        fact = call.fact
        unsafe = fact.effect == "unsafe"
        how = workflow.ActivityCancellationType
        handle = workflow.start_local_activity_method(
            ToolActivities.call_tool,
            request,
            schedule_to_close_timeout=(
                timedelta(seconds=fact.timeout) + MARGIN if unsafe else AT_ONCE
            ),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=how.WAIT_CANCELLATION_COMPLETED if unsafe else how.TRY_CANCEL,
            summary=f"{fact.name} · {call.id}",
        )
        try:
            return await asyncio.shield(handle)
        except FailureError:  # a local activity's own failure is not wrapped
            self._by_queue.add(_key(call.toolbox, fact))
            return None
        except asyncio.CancelledError:
            handle.cancel()
            await asyncio.gather(handle, return_exceptions=True)
            raise


def _key(toolbox: ArtifactRef, fact: ToolFact) -> str:
    """Return what tells a tool from others of its name, in other toolboxes."""
    return f"{toolbox.sha256} {fact.name}"
