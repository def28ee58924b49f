"""The run workflow: starts whatever is ready, waits, and closes the books.

It asks `rules.graph` what may start, hands each step to a task of its own, and wakes when one
has ended. Texts never pass through here: the plan is read in pages, prompts and answers by
reference. Queries `status`, `cost`, `result` and `plan` answer at any time.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.activities import PageRequest, RunActivities
    from contracts.failures import RUN_FAILED
    from contracts.plans import PlanPage, PlanView, StepNode
    from contracts.runs import (
        RUN_WORKFLOW,
        RecordPage,
        RecordQuery,
        RunCost,
        RunRequest,
        RunResult,
        RunStatus,
        StateQuery,
        StepResult,
        step_of,
    )
    from contracts.teams import AgentStatus, WorkflowStatus
    from rules.graph import GraphError
    from rules.ledger import Ledger
    from workflows import carrying, closing, light, views
    from workflows.control import Control
    from workflows.granted import GrantedReserver
    from workflows.outcome import NEVER_SENT
    from workflows.reserving import Reserver
    from workflows.sharing import Sharing, shares
    from workflows.state import RunState
    from workflows.steps import WORKING_KINDS, Steps
    from workflows.visibility import Display

STOPPED = ("cancelled", NEVER_SENT)
"""What steps say of themselves that were ended from without."""

MOST_PAGES_AT_ONCE = 64
"""Pages of a plan in one workflow task: what it reports to the server may not exceed 4 MB."""


@workflow.defn(name=RUN_WORKFLOW)
class RunWorkflow(Control):
    """One run of a team."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._state: RunState | None = None
        self._tasks: dict[str, asyncio.Task[StepResult]] = {}
        self._changed = False
        self._progress = False
        self._carrying = ""
        self._result: RunResult | None = None

    @workflow.run
    async def run(self, request: RunRequest) -> RunResult:
        """Run the team to its end."""
        loading = asyncio.create_task(self._loaded(request))
        try:
            state, stopped = await asyncio.shield(loading), False
        except asyncio.CancelledError:
            # What a history before this one did and paid must not be lost.
            state, stopped = await loading, True
        self._reserver = GrantedReserver(state) if request.may_ask else Reserver(state)
        sharing = Sharing(state, self._reserver) if shares(state.header) else None
        state.sharing = sharing
        self._steps = Steps(state, self._reserver)
        self._steps.slots.open = not state.paused
        self._state = state
        state.may_move = self._may_move
        display = Display(state)
        cancelled = await self._until_done(state, display, stopped)
        state.status = WorkflowStatus.CANCELLED if cancelled else closing.final_status(state)
        if sharing is not None:
            cleaning = asyncio.create_task(sharing.close())
            try:
                await asyncio.shield(cleaning)
            except asyncio.CancelledError:
                await cleaning  # too late to cancel, as below
        state.completed_at = workflow.now()
        archiving = asyncio.create_task(closing.archive(state))
        try:
            artifact = await asyncio.shield(archiving)
        except asyncio.CancelledError:
            # Too late to cancel: the run is over, only its books are still open.
            artifact = await archiving
        display.update(final=True)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if cancelled and request.budget is None:
            raise asyncio.CancelledError
        # A child run tells its parent what it cost, cancelled or not.
        self._result = closing.close(state, artifact, workflow.now())
        return self._result

    async def _loaded(self, request: RunRequest) -> RunState:
        """Return the run's state: new, or as the history before this one left it."""
        state = await self._load(request)
        if request.carried is not None:
            carrying.restore(state, await carrying.load(request.carried))
        state.started_at = state.started_at or workflow.now()
        return state

    async def _load(self, request: RunRequest) -> RunState:
        """Read the plan's graph, page by page after the first."""
        first = request.first_page or await self._page(request, 0)
        header = first.header
        if header is None:
            raise ValueError("page 0 of a plan has no header")
        rest = await asyncio.gather(
            *(
                self._page(request, number, by_queue=header.pages > MOST_PAGES_AT_ONCE)
                for number in range(1, header.pages)
            )
        )
        nodes: list[StepNode] = [node for page in (first, *rest) for node in page.nodes]
        try:
            state = RunState(request, header, nodes)
        except GraphError as error:
            # Team files are checked for it; a task that fails is tried for ever.
            raise ApplicationError(str(error), type=RUN_FAILED, non_retryable=True) from None
        granted, own = request.budget, header.cost_budget
        if granted is not None and own < granted and request.shape >= 2:
            state.ledger = Ledger(own)
        return state

    async def _page(self, request: RunRequest, number: int, *, by_queue: bool = False) -> PlanPage:
        asked = PageRequest(plan=request.plan, number=number)
        summary = "plan" if number == 0 else f"plan, page {number}"
        way = light.by_queue if by_queue else light.at_once
        return await way(RunActivities.load_plan, asked, summary)

    async def _until_done(self, state: RunState, display: Display, stopped: bool) -> bool:
        """Run steps until none is left or the run is stopped. True if it was cancelled."""
        assert state.started_at is not None
        left = state.started_at + timedelta(seconds=state.header.timeout) - workflow.now()
        deadline = asyncio.create_task(
            workflow.sleep(max(left, timedelta(0)), summary="run timeout")
        )
        try:
            for name in state.frontier.running:
                self._launch(name, self._steps.resume(state.nodes[name]))
            if stopped:
                raise asyncio.CancelledError
            while True:
                if (self._progress or state.parked) and carrying.suggested():
                    await self._move_on(state)
                if not ((self._progress or state.parked) and self._full()):
                    self._start_ready(state)
                display.update()
                if not self._tasks and not self._holds_back(state):
                    return False
                await workflow.wait_condition(
                    lambda: self._changed or deadline.done() or self._movable(state)
                )
                self._collect(state)
                if deadline.done():
                    state.error = f"timeout: the run took longer than {state.header.timeout:g} s"
                    await self._stop(state, state.error)
                    return False
                if state.forced is not None:
                    why = "the run was ended" + (f": {state.error}" if state.error else "")
                    await self._stop(state, f"skipped: {why}")
                    return False
        except asyncio.CancelledError:
            await self._stop(state, "cancelled")
            return True
        finally:
            deadline.cancel()

    def _start_ready(self, state: RunState) -> None:
        """Start what is ready, highest priority first, as far as `max_parallel_agents` goes."""
        working = sum(state.nodes[name].kind in WORKING_KINDS for name in self._tasks)
        free = state.header.max_parallel_agents - working
        if self._holds_back(state):
            free = 0
        for name in state.frontier.ready(len(state.names)):
            node = state.nodes[name]
            if node.kind in WORKING_KINDS:
                if free <= 0:
                    continue
                free -= 1
            state.begin(name, workflow.now())
            self._launch(name, self._steps.run(node))

    def _holds_back(self, state: RunState) -> bool:
        """Whether a pause keeps agents that are ready from being started.

        They stay pending, so that a person can skip them or give them another prompt.
        """
        if not state.paused or state.request.shape < 2:
            return False
        ready = (state.nodes[name].kind for name in state.frontier.ready(len(state.names)))
        return any(kind in WORKING_KINDS for kind in ready)

    def _launch(self, name: str, work: Coroutine[Any, Any, StepResult]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_change)
        self._tasks[name] = task

    async def _move_on(self, state: RunState) -> None:
        """Go on in a new history if nothing is in flight. Returns if something is."""
        if not self._at_rest(state):
            return
        state.moving = True
        self._carrying = carrying.dump(state)
        try:
            carried = await carrying.store(state, self._carrying)
        finally:
            state.moving = False
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._request.model_copy(update={"carried": carried}))

    def _movable(self, state: RunState) -> bool:
        """Whether turns wait for a new history, and nothing keeps the run from it."""
        return bool(state.parked) and not state.moving and self._at_rest(state)

    def _may_move(self, unit: str) -> bool:
        """Whether a turn is to stop between two calls of its model, for a new history.

        From the server's suggestion on where all else is at rest; where the history is full,
        all do, and wait for each other.
        """
        state = self._state
        if state is None or not (state.moving or carrying.suggested()):
            return False
        if not self._can_park(state, step_of(unit)):
            return False
        return state.moving or self._full() or self._at_rest(state, unit)

    def _full(self) -> bool:
        """Whether nothing more may be started in this history."""
        return carrying.full()

    def _can_park(self, state: RunState, name: str) -> bool:
        """Whether a step is an agent that the next history can go on with; not within rounds."""
        node = state.nodes[name]
        return node.kind == "agent" and node.until is None and name in self._tasks

    def _at_rest(self, state: RunState, besides: str | None = None) -> bool:
        """Whether nothing is in flight, a turn that asks left out."""
        moving = [unit for unit in state.turns_under_way if unit not in state.parked]
        if any(unit != besides for unit in moving):
            return False
        turns = {step_of(unit) for unit in state.turns_under_way}
        return all(
            state.nodes[name].kind in carrying.PARKED_KINDS
            or (name in turns and self._can_park(state, name))
            for name in self._tasks
        )

    def _note_change(self, _: asyncio.Task[StepResult]) -> None:
        self._changed = True

    def _collect(self, state: RunState, because: str = "") -> None:
        """Write down the steps that have ended, in the order in which they were started.

        `because`: why those that were cancelled were, where it was not a person who did.
        """
        self._changed = False
        now = workflow.now()
        for name in [name for name, task in self._tasks.items() if task.done()]:
            self._progress = True
            task = self._tasks.pop(name)
            if task.cancelled():
                result = StepResult(agent_id=name, status=AgentStatus.CANCELLED, error="cancelled")
            else:
                result = task.result()
            reason = _skipped(state, name, result)
            if reason is not None:
                state.skip(name, reason, now)
                continue
            stopped = result.status is AgentStatus.CANCELLED and result.error in STOPPED
            if because and stopped:
                result = result.model_copy(update={"error": f"cancelled: {because}"})
            state.end(result, now)
            self._end_members(state, name, now)

    def _end_members(self, state: RunState, name: str, now: datetime) -> None:
        """End what was repeated with a step: it ran within the step's own task."""
        for member in state.members_of(state.nodes[name]):
            result = state.results[member]
            if member in state.frontier.pending and result.status is not AgentStatus.PENDING:
                state.frontier.start(member)
                if result.metadata.get("skipped"):
                    state.skip(member, str(result.metadata["reason"]), now)
                else:
                    state.end(result, now)
                self._end_members(state, member, now)

    async def _stop(self, state: RunState, reason: str) -> None:
        """End what is in flight, keep what it gave and cost, and cancel the rest."""
        state.stopping = True
        for task in self._tasks.values():
            task.cancel()
        await workflow.wait_condition(lambda: all(t.done() for t in self._tasks.values()))
        self._collect(state, "" if reason == "cancelled" else reason.removeprefix("skipped: "))
        for skip in state.frontier.cancel_rest(reason):
            state.mark_skipped(skip.name, skip.reason, workflow.now())

    @workflow.query(name="status")
    def status(self) -> RunStatus:
        """Return every step's state, and the money."""
        if self._state is None:
            return RunStatus(
                run_id=self._request.run_id,
                team=self._request.team,
                status=WorkflowStatus.RUNNING if self._request.carried else WorkflowStatus.PENDING,
                budget=Decimal(0),
            )
        return views.status_view(self._state)

    @workflow.query(name="cost")
    def cost(self) -> RunCost:
        """Return the ledger: every attempt, and what counts against the budget."""
        if self._state is None:
            zero = Decimal(0)
            return RunCost(
                run_id=self._request.run_id,
                budget=zero,
                cost=zero,
                served=zero,
                uncertain=zero,
                reserved=zero,
            )
        return views.cost_view(self._state)

    @workflow.query(name="result")
    def result(self) -> tuple[StepResult, ...]:
        """Return the results of all steps so far."""
        return tuple(self._state.results.values()) if self._state else ()

    @workflow.query(name="records")
    def records(self, query: RecordQuery) -> RecordPage:
        """Return some steps' results and attempts, for the run artifact."""
        return views.records(self._state, query) if self._state else RecordPage()

    @workflow.query(name="plan")
    def plan(self) -> PlanView:
        """Return the graph and the candidates that the run was started with."""
        if self._state is None:
            return PlanView(plan=self._request.plan)
        state = self._state
        return PlanView(
            plan=self._request.plan, header=state.header, nodes=tuple(state.nodes.values())
        )

    @workflow.query(name="carried_state")
    def carried_state(self, query: StateQuery) -> str:
        """Return some of what goes on in a new history, for the activity that stores it."""
        return self._carrying[query.start : query.start + query.count]


def _skipped(state: RunState, name: str, result: StepResult) -> str | None:
    """Return why a step that was started is skipped: its condition is false, or by request."""
    asked = state.left_out.pop(name, None)
    if result.metadata.get("skipped"):
        return str(result.metadata["reason"])
    return None if state.attempts_of(name) else asked
