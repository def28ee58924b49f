"""The tool calls of one answer: side by side, each with a person's word where it needs one.

However a call ends, the model is told; only what is lost with a worker while an unsafe tool may
have been at work is asked of a person, since nobody else can know whether it was done. A call is
one activity, but for those that ask a model: `workflows.inner_turns` makes them.
"""

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from contracts.chats import AgentHeader, AskedTool, Listed, PendingTool, ToolWord
from contracts.tool_activities import ToolActivities
from contracts.tools import ToolError, ToolOutcome, ToolRequest, tool_queue
from workflows.outcome import HEARTBEAT_TIMEOUT
from workflows.quick_tools import MARGIN, QuickTools
from workflows.tool_endings import Asking, Ended, ended, lost, not_made, refused

SERVED_WITHIN = timedelta(seconds=60)
"""Tools that no worker takes up for so long are not served at all."""

ASKING_KINDS = frozenset({"prompt", "agent"})
"""Tools that are answered by a model: the workflow asks it, under its own ledger."""


class Desk(ABC):
    """Where a person is asked."""

    @abstractmethod
    async def word(self, pending: PendingTool, limit: float | None) -> ToolWord | None:
        """Wait for a person's word on a call; None where none came within `limit` seconds."""

    @property
    @abstractmethod
    def asks(self) -> bool:
        """Whether a person is awaited."""


class Inner(ABC):
    """Calls of tools that ask a model."""

    @abstractmethod
    async def outcome(self, call: Asking, number: int) -> tuple[ToolOutcome, Decimal]:
        """Make such a call; return what came of it, and what it cost."""


class ToolCaller:
    """Calls the tools of one turn. `turn` is its number in a conversation."""

    def __init__(
        self,
        turn: int,
        agent: AgentHeader,
        listed: tuple[Listed, ...],
        desk: Desk,
        inner: Inner,
        quick: QuickTools,
    ) -> None:
        self._turn, self._agent, self._desk, self._inner = turn, agent, desk, inner
        self._quick = quick
        self._facts = {
            fact.name: (fact, one.listing.toolbox, one.listing.whole)
            for one in listed
            for fact in one.listing.facts
            if one.listing.toolbox is not None
        }

    def hands_over(self, asked: tuple[AskedTool, ...]) -> bool:
        """Whether an answer asks for a tool that is the caller's own."""
        known = (self._facts.get(one.name) for one in asked)
        return any(one is not None and one[0].kind == "caller" for one in known)

    async def call(self, asked: tuple[AskedTool, ...], unit: str) -> list[Ended]:
        """Call all that an answer asks for, some at once; results in the order of the asking.

        `unit` is the call of the model that asks. Cancelled, it ends all of them and waits for
        that.
        """
        for one in asked:
            fact, toolbox, _ = self._facts.get(one.name, (None, None, False))
            if fact is not None and toolbox is not None:
                self._quick.foresee(fact, toolbox)
        gate = asyncio.Semaphore(self._agent.max_parallel_tools)
        tasks = [
            asyncio.create_task(self._gated(gate, one, f"{unit}.{number}"))
            for number, one in enumerate(asked, 1)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _gated(self, gate: asyncio.Semaphore, asked: AskedTool, call_id: str) -> Ended:
        known = self._facts.get(asked.name)
        if asked.problem is not None:
            return refused(asked, call_id, f"the arguments are no JSON object: {asked.problem}")
        if known is None or known[1] is None:
            names = ", ".join(self._facts) or "none"
            said = f"there is no tool {asked.name}; there are: {names}"
            return refused(asked, call_id, said, ToolError.NO_SUCH_TOOL)
        call = Asking(call_id, asked, known[0], known[1], known[2])
        if call.fact.needs_approval:
            said_no = await self._word(call, "approval")
            if said_no is not None:
                return said_no
        if call.fact.kind in ASKING_KINDS:
            async with gate:
                return ended(call, *await self._inner.outcome(call, 1))
        return await self._made(gate, call)

    async def _made(self, gate: asyncio.Semaphore, call: Asking) -> Ended:
        """Make a call, again where it is not known what came of it and a person says so."""
        async with gate:
            outcome, number = await self._first(call)
        while outcome.unknown:
            said = await self._word(call, "unknown", outcome)
            if said is not None:
                return said
            number += 1
            async with gate:
                outcome = await self._outcome(call, number, confirmed=True)
        return ended(call, outcome)

    async def _first(self, call: Asking) -> tuple[ToolOutcome, int]:
        """Make a call, at once where it may be, else by the queue; return which try that was."""
        outcome, number = None, 1
        if self._quick.may(call):
            outcome = await self._quick.outcome(call, request_of(call, self._agent))
            number = 1 if outcome else 2
        if outcome is None:
            outcome = await self._outcome(call, number, confirmed=False)
        self._quick.note(call, outcome)
        return outcome, number

    async def _word(
        self, call: Asking, why: str, outcome: ToolOutcome | None = None
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
            return ended(call, outcome)
        return not_made(call.asked, call.id, f"{said}; it was not called", ToolError.REFUSED)

    async def _outcome(self, call: Asking, number: int, *, confirmed: bool) -> ToolOutcome:
        """Make a call; whatever ends it is an outcome."""
        fact = call.fact
        handle = workflow.start_activity_method(
            ToolActivities.call_tool,
            request_of(call, self._agent, number, confirmed=confirmed),
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
            return lost(fact, number, error)
        except asyncio.CancelledError:
            handle.cancel()
            await asyncio.gather(handle, return_exceptions=True)
            raise


def request_of(
    call: Asking, agent: AgentHeader, number: int = 1, *, confirmed: bool = False
) -> ToolRequest:
    """Return what a worker is asked for."""
    return ToolRequest(
        agent=None if call.whole else agent.agent,
        toolbox=call.toolbox,
        name=call.fact.name,
        call_id=call.id,
        arguments=call.asked.arguments,
        attempt=number,
        confirmed=confirmed,
    )
