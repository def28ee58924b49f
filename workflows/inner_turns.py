"""Tools that ask a model: a templated prompt, or another agent with tools of its own.

Each call is a turn within the turn, under the same ledger: what it spends counts against its own
`cost_limit`, against the agent that called it, and against all that these answer to. A worker
renders what is asked (`ask_of_tool`) and cuts what was answered (`end_of_tool`), and tells
viewers of both; all between is the workflow's, so that a lost worker costs nothing twice.
"""

import asyncio
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from contracts.chats import AgentHeader, TurnResult
from contracts.plans import StepNode
from contracts.teams import AgentStatus
from contracts.tool_activities import ToolActivities
from contracts.tools import ToolEnding, ToolError, ToolOutcome, ToolRequest, tool_queue
from workflows.agents import Agents
from workflows.outcome import HEARTBEAT_TIMEOUT
from workflows.reserving import Reserver
from workflows.tool_endings import Asking, failure, lost
from workflows.turn_clock import bounded
from workflows.turn_tools import Desk, Inner, request_of

BRIEF = timedelta(seconds=60)
"""For a worker to render or to cut a text."""

_KINDS = {
    AgentStatus.CANCELLED: ToolError.CANCELLED,
    AgentStatus.RATE_LIMITED: ToolError.UNAVAILABLE,
}


class InnerTurn(ABC):
    """A turn within a turn."""

    @abstractmethod
    async def run(self) -> TurnResult:
        """Return its result, cancelled or not."""


class StartInner(ABC):
    """Begins turns within turns."""

    @abstractmethod
    async def inner(
        self, call: Asking, asked: ToolOutcome, agent: AgentHeader, reserver: Reserver
    ) -> InnerTurn:
        """Return the turn of an agent that a tool's call stands for."""


class InnerTurns(Inner):
    """Calls of one agent's `prompt` and `agent` tools. `unit` and `node` are that agent's."""

    def __init__(
        self,
        start: StartInner,
        agent: AgentHeader,
        unit: str,
        reserver: Reserver,
        agents: Agents,
        desk: Desk,
    ) -> None:
        self._start, self._agent, self._unit = start, agent, unit
        self._reserver, self._agents, self._desk = reserver, agents, desk

    async def outcome(self, call: Asking, number: int) -> tuple[ToolOutcome, Decimal]:
        began = workflow.now()
        request = request_of(call, self._agent, number)
        ref = self._agent.children.get(call.fact.declared)
        if ref is None:
            said = "nobody planned who answers it"
            return failure(call.fact, ToolError.UNAVAILABLE, said), Decimal(0)
        asked = await self._asked(call, request)
        if asked.status == "failed":
            return asked, Decimal(0)
        try:
            agent = await self._agents.header(ref)
        except ActivityError as error:
            return failure(call.fact, ToolError.UNAVAILABLE, str(error.cause)), Decimal(0)
        result = await self._turn(call, asked, agent)
        return await self._ended(call, request, result, began), result.cost

    async def _turn(self, call: Asking, asked: ToolOutcome, agent: AgentHeader) -> TurnResult:
        """Return the result of the turn. Cancelled, it ends the turn first."""
        node: StepNode = self._agent.node
        scope = self._reserver.inside(self._unit, node, f"tools.{call.fact.name}.cost_limit")
        turn = await self._start.inner(call, asked, agent, scope)
        task = asyncio.create_task(turn.run())
        try:
            return await bounded(task, agent.turn_timeout, lambda: self._desk.asks, task.cancel)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    async def _asked(self, call: Asking, request: ToolRequest) -> ToolOutcome:
        """Return the text that is asked, or the failure of arguments that give none."""
        try:
            return await workflow.execute_activity_method(
                ToolActivities.ask_of_tool,
                request,
                task_queue=tool_queue(call.fact.queue, workflow.info().task_queue),
                start_to_close_timeout=BRIEF,
                schedule_to_start_timeout=BRIEF,
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary=f"{call.fact.name} · {call.id}: what is asked",
            )
        except ActivityError as error:
            return lost(call.fact, 1, error)

    async def _ended(
        self, call: Asking, request: ToolRequest, result: TurnResult, began: datetime
    ) -> ToolOutcome:
        """Return what the model is told; the answer as it is where no worker can cut it."""
        good = result.status is AgentStatus.COMPLETED and result.output is not None
        kind = None if good else _KINDS.get(result.status, ToolError.RAISED)
        if result.kind == "TurnTimeout":
            kind = ToolError.TIMEOUT
        said = None if good else f"{call.fact.name}: {result.error or result.status.value}"
        ending = ToolEnding(
            request=request,
            answer=result.output if good else None,
            error=said,
            error_kind=kind,
            began_at=began,
        )
        try:
            return await workflow.execute_activity_method(
                ToolActivities.end_of_tool,
                ending,
                task_queue=tool_queue(call.fact.queue, workflow.info().task_queue),
                start_to_close_timeout=BRIEF,
                schedule_to_start_timeout=BRIEF,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary=f"{call.fact.name} · {call.id}: what was answered",
            )
        except ActivityError:
            if not good or result.output is None:
                return failure(call.fact, kind or ToolError.RAISED, said or "failed", began=began)
            return ToolOutcome(text=result.output, started_at=began, ended_at=workflow.now())
