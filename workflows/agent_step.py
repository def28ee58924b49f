"""An agent with tools as a team's step: one turn of it, in the run's own books.

It is the turn that conversations have (`workflows.turns`): what its calls and those of its tools
cost is the run's, attempt by attempt; what a tool asks a person is a question of the run, answered
as its approvals are. The step's prompt begins the turn, and its answer is the step's output.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from temporalio import workflow

from contracts.activities import RenderCall, RunActivities
from contracts.artifacts import Bindings, Value
from contracts.base import Json
from contracts.calls import CallFailure, ContextRef, ModelCall, ModelReply, SharedUse
from contracts.chats import AgentHeader, Listed, PendingTool, ToolWord, TurnResult
from contracts.plans import Candidate, StepNode
from contracts.runs import Question, StepResult
from rules import conditions
from workflows import reading
from workflows.agents import Agents
from workflows.model_step import Item
from workflows.parked import ParkedTurn
from workflows.reserving import Reserver
from workflows.sharing_warming import Ask
from workflows.slots import Slots
from workflows.state import RunState
from workflows.talk import Conversation
from workflows.turn_clock import bounded
from workflows.turn_tools import Desk
from workflows.turns import TurnAsk, TurnRun

CHOICES = ("approve", "reject")
ARGUMENT_CHARS = 300


class AgentStepRun:
    """One agent's step, or one item of it, from its prompt to its result."""

    def __init__(
        self,
        state: RunState,
        node: StepNode,
        reserver: Reserver,
        agents: Agents,
        slots: Slots,
        item: Item | None = None,
    ) -> None:
        self._state, self._node, self._reserver = state, node, reserver
        self._agents, self._slots, self._item = agents, slots, item
        self._unit = item.unit if item else node.name
        self._desk = RunDesk(state, node.name)
        self._before: ParkedTurn | None = state.parked_before.pop(self._unit, None)

    async def run(self) -> StepResult:
        """Return the step's result. Cancelled, it settles what is in flight and returns too.

        Raises ConditionError, ActivityError where the turn cannot even begin.
        """
        node = self._node
        if node.child_plan is None:
            raise conditions.ConditionError("the agent's plan is missing")
        self._state.turns_under_way.add(self._unit)
        try:
            agent = self._bounded_by_step(await self._agents.header(node.child_plan))
            listed = await self._agents.listed(agent)
            self._note_problems(listed)
            text = None if self._before else await self._prompt()
            result = await self._turn(agent, listed, text)
            problems = [problem for one in listed for problem in one.listing.problems]
            return self._result(result.model_copy(update={"notes": (*problems, *result.notes)}))
        finally:
            self._state.turns_under_way.discard(self._unit)

    def _bounded_by_step(self, agent: AgentHeader) -> AgentHeader:
        """Return the agent with the step's name, rank and limit."""
        node = self._node
        update = {"name": node.name, "priority": node.priority, "cost_limit": node.cost_limit}
        return agent.model_copy(update={"node": agent.node.model_copy(update=update)})

    async def _prompt(self) -> Value:
        """Return what the agent is told, stored."""
        state, node = self._state, self._node
        call = RenderCall(
            plan=state.request.plan,
            bindings=await self._bindings(),
            step=node.name,
            item=self._item.stored if self._item else None,
            prompt=state.prompts.get(node.name),
        )
        reply = await workflow.execute_activity_method(
            RunActivities.render,
            call,
            start_to_close_timeout=reading.LIGHT,
            retry_policy=reading.STORE_RETRIES,
            summary=f"{self._unit}: prompt",
        )
        return reply.outputs["prompt"]

    async def _bindings(self) -> Bindings:
        state, node, item = self._state, self._node, self._item
        bindings = await reading.bindings_of(state, state.names_of(node.uses), node.uses_inputs)
        if item is not None and item.inline is not None and node.item:
            values = {**bindings.values, node.item: item.inline}
            bindings = bindings.model_copy(update={"values": values})
        return bindings

    async def _turn(
        self, agent: AgentHeader, listed: tuple[Listed, ...], text: Value | None
    ) -> TurnResult:
        state, before = self._state, self._before
        calls_before = before.calls_before if before else state.attempt_count(self._unit)
        ask = TurnAsk(
            unit=self._unit,
            text=text,
            agent=agent,
            conversation=Conversation(),
            listed=listed,
            calls_before=calls_before,
            want_inline=self._node.inline,
            **self._shared(),
        )
        turn = TurnRun(state, self._reserver, ask, self._desk, self._agents, self._gate)
        turn.tell, turn.park = self._show, self._park
        if before is not None:
            turn.go_on_from(before)
        task = asyncio.create_task(turn.run())
        try:
            return await bounded(task, agent.turn_timeout, self._waits, task.cancel)
        except asyncio.CancelledError:
            task.cancel()
            await workflow.wait_condition(task.done)
            return task.result()

    def _shared(self) -> dict[str, Any]:
        """Return what the conversation begins with, and how attempts come by it."""
        state, node, sharing = self._state, self._node, self._state.sharing
        if sharing is None or not node.shared:
            return {}
        context = ContextRef(plan=state.request.plan, step=node.name)

        async def share(
            call: ModelCall, candidate: Candidate, ask: Ask
        ) -> ModelReply | CallFailure:
            async def with_context(asked: ModelCall) -> ModelReply | CallFailure:
                use = (asked.shared or SharedUse()).model_copy(update={"context": context})
                return await ask(asked.model_copy(update={"shared": use}))

            return await sharing.make(node, call, candidate, with_context)

        return {"context": context, "share": share}

    def _gate(self) -> AbstractAsyncContextManager[None]:
        """Hold one of the run's slots for a call of the model; tools need none."""
        return self._slots.held(self._node.priority)

    async def _park(self, turn: ParkedTurn) -> None:
        """Wait where the history is to end; whoever goes on in the next one takes it from there."""
        state, unit = self._state, self._unit
        if not state.may_move(unit):
            return
        state.parked[unit] = turn
        try:
            await workflow.wait_condition(lambda: not state.may_move(unit))
        finally:
            state.parked.pop(unit, None)

    def _waits(self) -> bool:
        """Whether a person is awaited, or a paused run."""
        return self._desk.asks or self._state.paused or self._state.paused_for is not None

    def _show(self, note: str) -> None:
        """Say how far the step is."""
        if self._item is None:
            self._state.show_progress(self._node.name, note)

    def _note_problems(self, listed: tuple[Listed, ...]) -> None:
        problems = [problem for one in listed for problem in one.listing.problems]
        if problems:
            self._show(f"without some of its tools: {'; '.join(problems)}"[:300])

    def _result(self, result: TurnResult) -> StepResult:
        metadata: dict[str, Json] = {
            "provider": result.provider,
            "model": result.model,
            "finish_reason": result.finish_reason,
            "calls": result.calls,
            "tools": tool_counts(result),
        }
        if result.transcript is not None:
            metadata["transcript"] = result.transcript.model_dump(mode="json")
        if result.notes:
            metadata["notes"] = list(result.notes)
        if result.error is not None:
            metadata["reason"] = result.error
        if result.partial_text:
            metadata["partial_text"] = result.partial_text
        return StepResult(
            agent_id=self._unit,
            status=result.status,
            output=result.output,
            error=result.error,
            retry_count=max(result.attempts - result.calls, 0) if result.calls else 0,
            metadata=metadata,
        )


def tool_counts(result: TurnResult) -> dict[str, Json]:
    """Return how often each tool was called, and of that in vain: {"find": 3, "find failed": 1}."""
    counts: dict[str, Json] = {}
    for record in result.tools:
        counts[record.name] = counts.get(record.name, 0) + 1
        if record.status == "failed":
            key = f"{record.name} failed"
            counts[key] = counts.get(key, 0) + 1
    return counts


class RunDesk(Desk):
    """Questions of one step's tools: the run's questions, each under the name of its call."""

    def __init__(self, state: RunState, step: str) -> None:
        self._state, self._step = state, step
        self._asking: set[str] = set()

    @property
    def asks(self) -> bool:
        return bool(self._asking)

    async def word(self, pending: PendingTool, limit: float | None) -> ToolWord | None:
        state, key = self._state, pending.call_id
        state.questions[key] = Question(
            step=key,
            ask=_asked(self._step, pending),
            choices=CHOICES,
            asked_at=pending.asked_at,
            until=pending.until,
        )
        self._asking.add(key)
        try:
            await workflow.wait_condition(
                lambda: key in state.answers,
                timeout=limit,
                timeout_summary=f"{pending.name} waits for a person",
            )
        except asyncio.TimeoutError:
            return None
        finally:
            self._asking.discard(key)
            state.questions.pop(key, None)
        answer = state.answers[key]
        return ToolWord(
            call_id=key,
            approved=answer.choice == CHOICES[0],
            comment=answer.comment,
            by=answer.by,
        )


def _asked(step: str, pending: PendingTool) -> str:
    """Return what a person is asked, arguments cut."""
    arguments = pending.arguments.preview
    if len(arguments) > ARGUMENT_CHARS:
        arguments = arguments[:ARGUMENT_CHARS] + "…"
    call = f"{pending.name} {arguments}".strip()
    if pending.why == "unknown":
        return f"{step} had called {call}, and whether that was done is not known: call it again?"
    return f"{step} wants to call {call}"
