"""One step to its result, whatever its kind.

A model call holds one of the run's slots while it works. Each kind absorbs a cancellation of its
task where money is at stake, so that what was spent is settled.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from contracts.activities import ListFacts, RenderCall, RunActivities
from contracts.artifacts import Value
from contracts.plans import StepNode
from contracts.runs import Question, StepResult
from contracts.slices import SLICE_ITEMS
from contracts.teams import AgentStatus
from rules import conditions, graph
from workflows import reading
from workflows.agent_step import AgentStepRun
from workflows.agents import Agents
from workflows.child_team import ChildTeamRun
from workflows.for_each import ForEachRun
from workflows.model_step import Item, ModelStepRun
from workflows.reserving import Reserver
from workflows.slices import SlicedRun
from workflows.slots import Slots
from workflows.state import RunState

WORKING_KINDS = frozenset({"model", "team", "agent"})
"""Steps that count against `max_parallel_agents`; the others only decide or wait."""


class Steps:
    """Runs the steps of one run."""

    def __init__(self, state: RunState, reserver: Reserver) -> None:
        self._state = state
        self._reserver = reserver
        self.slots = Slots(state.header.max_parallel_agents)
        self.agents = Agents()

    async def run(self, node: StepNode) -> StepResult:
        """Return a step's result. A skipped one says so in its metadata.

        A run that is being stopped starts nothing more, and what fails then was cancelled.
        """
        return await self._guarded(node, self._whole)

    async def _whole(self, node: StepNode) -> StepResult:
        reason = await self._reason_to_skip(node)
        if reason is not None:
            return skipped(node, reason)
        return await (self._repeat(node) if node.until is not None else self._once(node))

    async def _guarded(
        self, node: StepNode, work: Callable[[StepNode], Awaitable[StepResult]]
    ) -> StepResult:
        """Do a step's work; what keeps it from being done is its failure."""
        if self._state.stopping:
            return cancelled(node)
        try:
            return await work(node)
        except conditions.ConditionError as error:
            return cancelled(node) if self._state.stopping else failed(node, str(error))
        except ActivityError as error:
            return cancelled(node) if self._state.stopping else failed(node, str(error.cause))

    async def resume(self, node: StepNode) -> StepResult:
        """Go on with a step that was waiting when the run's history before this one ended."""
        if node.kind == "approval":
            return await self._approval(node)
        if node.kind == "agent":
            return await self._guarded(node, self._once)
        began = self._state.results[node.name].started_at or workflow.now()
        left = began + timedelta(seconds=node.seconds) - workflow.now()
        await workflow.sleep(max(left, timedelta(0)), summary=node.name)
        return completed(node, None)

    async def _reason_to_skip(self, node: StepNode) -> str | None:
        state = self._state
        mine = state.guarded.get(node.name, ())
        if mine and not any(state.results[name].status in graph.FAILURES for name in mine):
            return f"skipped: there was nothing to catch ({', '.join(mine)})"
        if node.when is None:
            return None
        holds = await self._holds(node.when, node.when_uses, node.when_uses_inputs)
        return None if holds else f"skipped: {node.when} is false"

    async def _once(self, node: StepNode) -> StepResult:
        match node.kind:
            case "model" | "agent" if node.for_each is not None:
                return await self._for_each(node)
            case "model":
                return await self._model(node)
            case "agent":
                return await self._agent(node)
            case "team":
                return await ChildTeamRun(self._state, node, self._reserver).run()
            case "approval":
                return await self._approval(node)
            case "wait":
                await workflow.sleep(node.seconds, summary=node.name)
                return completed(node, None)
            case "end":
                return self._end(node)
            case "gate":
                return await self._gate(node)
        value = await reading.evaluate(
            self._state,
            node.expression or "null",
            self._state.names_of(node.uses),
            node.uses_inputs,
        )
        return completed(node, value)

    async def _for_each(self, node: StepNode) -> StepResult:
        def in_slices(facts: ListFacts) -> Awaitable[StepResult]:
            return SlicedRun(self._state, node, self._reserver, self.slots, facts).run()

        async def too_long(facts: ListFacts) -> StepResult:
            raise conditions.ConditionError(
                f"for_each.in: {facts.count:,} items, and {SLICE_ITEMS:,} are the most for an agent"
            )

        if node.kind == "agent":
            return await ForEachRun(
                self._state, node, lambda item: self._agent(node, item), too_long
            ).run()
        each = ForEachRun(self._state, node, lambda item: self._model(node, item), in_slices)
        return await each.run()

    async def _agent(self, node: StepNode, item: Item | None = None) -> StepResult:
        """Run an agent's turn; of an item, what keeps it from beginning is the item's failure."""
        run = AgentStepRun(self._state, node, self._reserver, self.agents, self.slots, item)
        name = item.unit if item else node.name
        try:
            return await run.run()
        except asyncio.CancelledError:
            return StepResult(agent_id=name, status=AgentStatus.CANCELLED, error="cancelled")
        except (ActivityError, conditions.ConditionError) as error:
            if is_cancelled_exception(error) or self._state.stopping:
                return StepResult(agent_id=name, status=AgentStatus.CANCELLED, error="cancelled")
            if item is None:
                raise
            said = str(error.cause if isinstance(error, ActivityError) else error)
            return StepResult(agent_id=name, status=AgentStatus.FAILED, error=said)

    async def _model(self, node: StepNode, item: Item | None = None) -> StepResult:
        try:
            async with self.slots.held(node.priority):
                return await ModelStepRun(self._state, node, self._reserver, item).run()
        except asyncio.CancelledError:
            name = item.unit if item else node.name
            return StepResult(agent_id=name, status=AgentStatus.CANCELLED, error="cancelled")

    async def _repeat(self, node: StepNode) -> StepResult:
        """Run a step and those repeated with it until the condition holds, or `max` rounds."""
        state = self._state
        rounds, held = 0, False
        result = failed(node, "no round was run")
        while rounds < node.max_rounds and not held and not self._over():
            rounds += 1
            result = await self._once(node)
            if result.status is not AgentStatus.COMPLETED:
                break
            state.hold(result, workflow.now())
            if not await self._members(node):
                break
            held = await self._holds(node.until or "true", node.until_uses, node.until_inputs)
        metadata = {**result.metadata, "rounds": rounds, "until_held": held}
        return result.model_copy(update={"metadata": metadata})

    async def _members(self, node: StepNode) -> bool:
        """Run one round of what is repeated with a step. False once a member fails."""
        state = self._state
        for name in state.members_of(node):
            result = await self.run(state.nodes[name])
            state.hold(result, workflow.now())
            if result.status is not AgentStatus.COMPLETED and not result.metadata.get("skipped"):
                return False
            if self._over():
                return False
        return True

    def _over(self) -> bool:
        """Whether the run ends, so that no further round, nor the rest of this one, is run."""
        ended = self._state.forced is not None and self._state.request.shape >= 4
        return self._state.stopping or ended

    async def _gate(self, node: StepNode) -> StepResult:
        expression = node.expression or "true"
        if not await self._holds(expression, node.uses, node.uses_inputs):
            return failed(node, f"gate: {expression} is false")
        return completed(node, inline(True))

    def _end(self, node: StepNode) -> StepResult:
        state = self._state
        state.forced = node.end_status or "completed"
        state.error = node.because or None
        metadata = {"ended": state.forced, "because": node.because}
        return completed(node, None).model_copy(update={"metadata": metadata})

    async def _approval(self, node: StepNode) -> StepResult:
        """Ask, and wait for a person's choice, which is the step's output."""
        state, name = self._state, node.name
        question = state.questions.get(name) or await self._question(node)
        state.questions[name] = question
        left = question.until - workflow.now() if question.until else None
        try:
            await workflow.wait_condition(
                lambda: name in state.answers,
                timeout=None if left is None else max(left, timedelta(0)),
                timeout_summary=f"{name}: answer",
            )
        except asyncio.TimeoutError:
            if node.on_timeout is None:
                return failed(node, f"nobody answered within {node.answer_timeout:g} s")
            result = completed(node, inline(node.on_timeout))
            return result.model_copy(update={"metadata": {"answered": "nobody, in time"}})
        finally:
            del state.questions[name]
        answer = state.answers[name]
        metadata = {"by": answer.by, "comment": answer.comment}
        return completed(node, inline(answer.choice)).model_copy(update={"metadata": metadata})

    async def _question(self, node: StepNode) -> Question:
        """Return what is asked; what was answered in a round before is asked anew."""
        limit, now = node.answer_timeout, workflow.now()
        ask = await self._asked(node)
        self._state.answers.pop(node.name, None)
        return Question(
            step=node.name,
            ask=ask,
            choices=node.choices,
            asked_at=now,
            until=now + timedelta(seconds=limit) if limit else None,
        )

    async def _asked(self, node: StepNode) -> str:
        state = self._state
        bindings = await reading.bindings_of(state, state.names_of(node.uses), node.uses_inputs)
        try:
            reply = await workflow.execute_activity_method(
                RunActivities.render,
                RenderCall(plan=state.request.plan, bindings=bindings, step=node.name),
                start_to_close_timeout=reading.LIGHT,
                retry_policy=reading.STORE_RETRIES,
                summary=f"{node.name}: question",
            )
        except ActivityError as error:
            raise conditions.ConditionError(
                f"the question could not be made: {error.cause}"
            ) from None
        value = reply.outputs["ask"]
        return str(value.inline) if value.has_inline else value.preview

    async def _holds(self, source: str, uses: tuple[int, ...], inputs: tuple[str, ...]) -> bool:
        names = self._state.names_of(uses)
        value = await reading.evaluate(self._state, source, names, inputs)
        return conditions.truth(value.inline)


def inline(value: bool | str) -> Value:
    """Return a small value as it is."""
    return Value(kind="json", inline=value, has_inline=True, size_bytes=len(str(value)) + 2)


def completed(node: StepNode, output: Value | None) -> StepResult:
    """Return the result of a step that did what it was to do."""
    return StepResult(agent_id=node.name, status=AgentStatus.COMPLETED, output=output)


def failed(node: StepNode, error: str) -> StepResult:
    """Return the result of a step that did not."""
    return StepResult(
        agent_id=node.name, status=AgentStatus.FAILED, error=error, metadata={"reason": error}
    )


def cancelled(node: StepNode) -> StepResult:
    """Return the result of a step that was stopped with its run."""
    return StepResult(agent_id=node.name, status=AgentStatus.CANCELLED, error="cancelled")


def skipped(node: StepNode, reason: str) -> StepResult:
    """Return the mark of a step that is not to run."""
    return StepResult(
        agent_id=node.name,
        status=AgentStatus.CANCELLED,
        metadata={"reason": reason, "skipped": True},
    )
