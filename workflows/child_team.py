"""A `team` step: another team as a child run, with its slice of the budget.

The slice is reserved before the child starts and settled with what the child counted, so the
parent's cap holds for both. Where the run pauses for money, the child whose slice is spent waits
for more (`workflows.granted`), which is reserved beside the slice before it is given.
"""

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
)

from contracts.activities import GatherCall, RenderCall, RunActivities
from contracts.artifacts import Value
from contracts.failures import RUN_FAILED
from contracts.messages import Usage
from contracts.plans import StepNode
from contracts.runs import (
    MONEY_SIGNAL,
    RUN_SHAPE,
    RUN_WORKFLOW,
    AttemptRecord,
    MoneyGiven,
    MoneyWanted,
    RunRequest,
    RunResult,
    StepResult,
    child_run_id,
    money_signal,
)
from contracts.teams import AgentStatus, WorkflowStatus
from rules import conditions
from workflows import reading
from workflows.pausing import held_unpaused
from workflows.reserving import Reserver, Unaffordable
from workflows.state import RunState

WAIT_CANCELLED = workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
GOOD = (WorkflowStatus.COMPLETED, WorkflowStatus.PARTIALLY_COMPLETED)


class ChildTeamRun:
    """One child run from its grant to its settlement."""

    def __init__(self, state: RunState, node: StepNode, reserver: Reserver) -> None:
        self._state, self._node, self._reserver = state, node, reserver
        self._number = state.attempt_count(node.name) + 1
        self._run_id = child_run_id(state.request.run_id, node.name, self._number)
        self._wanted: MoneyWanted | None = None

    @property
    def _gives_more(self) -> bool:
        """Whether the team waits for money, as the run that a person started does."""
        request = self._state.request
        if request.budget is not None:
            return request.may_ask
        return self._state.header.on_budget == "pause"

    async def run(self) -> StepResult:
        """Return the step's result; its output is an object of the child's outputs."""
        node = self._node
        if node.child_plan is None:
            return self._ended(AgentStatus.FAILED, "the team's plan is missing")
        inputs = await self._inputs()
        try:
            grant = await self._granted(may_pause=self._state.request.shape >= 2)
        except Unaffordable as error:
            return self._ended(AgentStatus.BUDGET_EXCEEDED, str(error))
        state = self._state
        request = RunRequest(
            run_id=self._run_id,
            team=node.name,
            plan=node.child_plan,
            inputs=inputs,
            searchable=state.request.searchable,
            budget=grant,
            shape=RUN_SHAPE,
            may_ask=self._gives_more,
        )
        record = AttemptRecord(
            step=node.name,
            number=self._number,
            provider="team",
            model=node.name,
            state="reserved",
            reserved=grant,
            queued_at=workflow.now(),
        )
        state.record(record)
        self._record = record
        if request.may_ask:
            workflow.set_signal_handler(money_signal(node.name), self._hear)
        result = await self._child(request)
        self._settle(self._record, result)
        return await self._outcome(result)

    async def _granted(self, *, may_pause: bool) -> Decimal:
        """Hold the child's share; return when it may be started. Raises Unaffordable."""
        node = self._node
        return await held_unpaused(
            self._state,
            lambda: self._reserver.grant(
                node.name, node.cost_limit, self._number, may_pause=may_pause
            ),
            lambda: self._reserver.release(f"{node.name}#{self._number}"),
        )

    async def _inputs(self) -> dict[str, Value]:
        state, node = self._state, self._node
        bindings = await reading.bindings_of(state, state.names_of(node.uses), node.uses_inputs)
        try:
            reply = await workflow.execute_activity_method(
                RunActivities.render,
                RenderCall(plan=state.request.plan, bindings=bindings, step=node.name),
                start_to_close_timeout=reading.LIGHT,
                retry_policy=reading.STORE_RETRIES,
                summary=f"{node.name}: inputs",
            )
        except ActivityError as error:
            raise conditions.ConditionError(f"inputs: {error.cause}") from None
        return reply.outputs

    async def _child(self, request: RunRequest) -> RunResult | str | None:
        """Return the child's result; a text for one that broke, None for one that was cancelled."""
        try:
            handle = await workflow.start_child_workflow(
                RUN_WORKFLOW,
                request,
                id=request.run_id,
                result_type=RunResult,
                cancellation_type=WAIT_CANCELLED,
                parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
                static_summary=f"team {self._node.name}, at most ${request.budget}",
            )
            giving = asyncio.create_task(self._give(handle))
            try:
                result: RunResult = await asyncio.shield(handle)
            except asyncio.CancelledError:
                handle.cancel()
                result = await handle
            finally:
                giving.cancel()
            return result
        except ChildWorkflowError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type == RUN_FAILED and cause.details:
                return RunResult.model_validate(cause.details[0])
            return str(cause)
        except asyncio.CancelledError:
            return None

    def _hear(self, wanted: MoneyWanted) -> None:
        if wanted.child == self._run_id:
            self._wanted = wanted

    async def _give(self, handle: workflow.ChildWorkflowHandle[Any, RunResult]) -> None:
        """Give the child more, each time that its grant is spent, or say why not."""
        while True:
            await workflow.wait_condition(lambda: self._wanted is not None)
            wanted, record, node = self._wanted, self._record, self._node
            assert wanted is not None
            self._wanted, refused = None, None
            try:
                held = await self._reserver.extend(
                    node.name, node.cost_limit, record.id, record.reserved, wanted
                )
                self._record = record.model_copy(update={"reserved": held})
                self._state.record(self._record)
            except Unaffordable as error:
                refused = str(error)
            given = MoneyGiven(ask=wanted.ask, grant=self._record.reserved, refused=refused)
            with contextlib.suppress(FailureError):  # it has just ended
                await handle.signal(MONEY_SIGNAL, given)

    def _settle(self, record: AttemptRecord, result: RunResult | str | None) -> None:
        """Count what the child counted; where nobody knows, its whole grant."""
        if isinstance(result, RunResult):
            cost, served, state = result.cost, result.cost - result.uncertain, "settled"
            self._reserver.settle_child(record.id, cost, served)
            usage = Usage(total_tokens=result.tokens)
            outcome = result.status.value
        else:
            self._reserver.settle_uncertain(record.id, Decimal(0))
            cost, served, state, usage = record.reserved, Decimal(0), "uncertain", Usage()
            outcome = "cancelled" if result is None else "failed"
        update = {
            "state": state,
            "cost": cost,
            "served": served,
            "usage": usage,
            "outcome": outcome,
            "ended_at": workflow.now(),
        }
        self._state.record(record.model_copy(update=update))

    async def _outcome(self, result: RunResult | str | None) -> StepResult:
        if result is None:
            return self._ended(AgentStatus.CANCELLED, "cancelled")
        if isinstance(result, str):
            return self._ended(AgentStatus.FAILED, result)
        if result.status is WorkflowStatus.CANCELLED:
            return self._ended(AgentStatus.CANCELLED, result.error or "cancelled")
        if result.status not in GOOD:
            return self._ended(AgentStatus.FAILED, result.error or "the team failed")
        value = await workflow.execute_activity_method(
            RunActivities.gather,
            GatherCall(items=await reading.paged(result.outputs), form="object"),
            start_to_close_timeout=reading.LIGHT,
            retry_policy=reading.STORE_RETRIES,
            summary=f"{self._node.name}: outputs",
        )
        return StepResult(
            agent_id=self._node.name,
            status=AgentStatus.COMPLETED,
            output=value,
            metadata={"run": self._run_id},
        )

    def _ended(self, status: AgentStatus, error: str) -> StepResult:
        return StepResult(
            agent_id=self._node.name, status=status, error=error, metadata={"reason": error}
        )
