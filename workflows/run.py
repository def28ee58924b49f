"""The run workflow: starts whatever is ready, waits, and closes the books.

It asks `rules.graph` what may start, hands each step to a task of its own, and wakes when one
has ended. Texts never pass through here: the plan is read in pages, prompts and answers by
reference. Queries `status`, `cost`, `result` and `plan` answer at any time.
"""

import asyncio
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.activities import PageRequest, RunActivities
    from contracts.plans import PlanPage, PlanView, StepNode
    from contracts.runs import (
        RUN_WORKFLOW,
        RecordPage,
        RecordQuery,
        RunCost,
        RunRequest,
        RunResult,
        RunStatus,
        StepResult,
    )
    from contracts.teams import AgentStatus, WorkflowStatus
    from contracts.updates import (
        Accepted,
        Answer,
        BudgetRaise,
        BudgetView,
        PauseRequest,
        SkipRequest,
    )
    from workflows import closing, light
    from workflows.reserving import Reserver
    from workflows.state import RunState
    from workflows.steps import WORKING_KINDS, Steps
    from workflows.visibility import Display

MOST_PAGES_AT_ONCE = 64
"""Pages of a plan in one workflow task: what it reports to the server may not exceed 4 MB."""


@workflow.defn(name=RUN_WORKFLOW)
class RunWorkflow:
    """One run of a team."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        self._request = request
        self._state: RunState | None = None
        self._tasks: dict[str, asyncio.Task[StepResult]] = {}
        self._changed = False
        self._result: RunResult | None = None

    @workflow.run
    async def run(self, request: RunRequest) -> RunResult:
        """Run the team to its end."""
        state = self._state = await self._load(request)
        state.started_at = workflow.now()
        self._reserver = Reserver(state)
        self._steps = Steps(state, self._reserver)
        display = Display(state)
        cancelled = await self._until_done(state, display)
        state.status = WorkflowStatus.CANCELLED if cancelled else closing.final_status(state)
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

    async def _load(self, request: RunRequest) -> RunState:
        """Read the plan's graph, page by page after the first."""
        first = await self._page(request, 0)
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
        return RunState(request, header, nodes)

    async def _page(self, request: RunRequest, number: int, *, by_queue: bool = False) -> PlanPage:
        asked = PageRequest(plan=request.plan, number=number)
        summary = "plan" if number == 0 else f"plan, page {number}"
        way = light.by_queue if by_queue else light.at_once
        return await way(RunActivities.load_plan, asked, summary)

    async def _until_done(self, state: RunState, display: Display) -> bool:
        """Run steps until none is left or the run is stopped. True if it was cancelled."""
        deadline = asyncio.create_task(workflow.sleep(state.header.timeout, summary="run timeout"))
        try:
            while True:
                self._start_ready(state)
                display.update()
                if not self._tasks:
                    return False
                await workflow.wait_condition(lambda: self._changed or deadline.done())
                self._collect(state)
                if deadline.done():
                    state.error = f"timeout: the run took longer than {state.header.timeout:g} s"
                    await self._stop(state, state.error)
                    return False
                if state.forced is not None:
                    await self._stop(state, f"skipped: the run was ended: {state.error or ''}")
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
        for name in state.frontier.ready(len(state.names)):
            node = state.nodes[name]
            if node.kind in WORKING_KINDS:
                if free <= 0:
                    continue
                free -= 1
            state.begin(name, workflow.now())
            task = asyncio.create_task(self._steps.run(node))
            task.add_done_callback(self._note_change)
            self._tasks[name] = task

    def _note_change(self, _: asyncio.Task[StepResult]) -> None:
        self._changed = True

    def _collect(self, state: RunState) -> None:
        """Write down the steps that have ended, in the order in which they were started."""
        self._changed = False
        now = workflow.now()
        for name in [name for name, task in self._tasks.items() if task.done()]:
            task = self._tasks.pop(name)
            if task.cancelled():
                result = StepResult(agent_id=name, status=AgentStatus.CANCELLED, error="cancelled")
            else:
                result = task.result()
            if result.metadata.get("skipped"):
                state.skip(name, str(result.metadata["reason"]), now)
                continue
            state.end(result, now)
            self._end_members(state, name, now)

    def _end_members(self, state: RunState, name: str, now: datetime) -> None:
        """End what was repeated with a step: it ran within the step's own task."""
        for member in state.names_of(state.nodes[name].members):
            result = state.results[member]
            if member in state.frontier.pending and result.status is not AgentStatus.PENDING:
                state.frontier.start(member)
                if result.metadata.get("skipped"):
                    state.skip(member, str(result.metadata["reason"]), now)
                else:
                    state.end(result, now)

    async def _stop(self, state: RunState, reason: str) -> None:
        """End what is in flight, keep what it gave and cost, and cancel the rest."""
        state.stopping = True
        for task in self._tasks.values():
            task.cancel()
        await workflow.wait_condition(lambda: all(t.done() for t in self._tasks.values()))
        self._collect(state)
        for skip in state.frontier.cancel_rest(reason):
            state.mark_skipped(skip.name, skip.reason, workflow.now())

    @workflow.query(name="status")
    def status(self) -> RunStatus:
        """Return every step's state, and the money."""
        if self._state is None:
            return RunStatus(
                run_id=self._request.run_id,
                team=self._request.team,
                status=WorkflowStatus.PENDING,
                budget=Decimal(0),
            )
        return self._state.status_view()

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
        return self._state.cost_view()

    @workflow.query(name="result")
    def result(self) -> tuple[StepResult, ...]:
        """Return the results of all steps so far."""
        return tuple(self._state.results.values()) if self._state else ()

    @workflow.query(name="records")
    def records(self, query: RecordQuery) -> RecordPage:
        """Return some steps' results and attempts, for the run artifact."""
        return self._state.records(query) if self._state else RecordPage()

    @workflow.query(name="plan")
    def plan(self) -> PlanView:
        """Return the graph and the candidates that the run was started with."""
        if self._state is None:
            return PlanView(plan=self._request.plan)
        state = self._state
        return PlanView(
            plan=self._request.plan, header=state.header, nodes=tuple(state.nodes.values())
        )

    @workflow.update(name="raise_budget")
    def raise_budget(self, raised: BudgetRaise) -> BudgetView:
        """Raise the run's budget; what waits for money goes on."""
        state = self._running()
        if raised.to > state.ledger.cap:
            self._reserver.raise_cap(raised.to)
        return BudgetView(budget=state.ledger.cap, cost=state.ledger.counted)

    @raise_budget.validator
    def _check_raise(self, raised: BudgetRaise) -> None:
        state = self._running()
        if raised.to < state.ledger.cap:
            raise ValueError(f"the budget is {state.ledger.cap} already; it can only be raised")

    @workflow.update(name="answer")
    def answer(self, answer: Answer) -> Accepted:
        """Answer a question of the run; the same answer twice is one."""
        state = self._running()
        if state.answers.get(answer.step) == answer:
            return Accepted(status="unchanged")
        state.answers[answer.step] = answer
        return Accepted()

    @answer.validator
    def _check_answer(self, answer: Answer) -> None:
        state = self._running()
        if state.answers.get(answer.step) == answer:
            return
        question = state.questions.get(answer.step)
        if question is None:
            asked = ", ".join(state.questions) or "nothing"
            raise ValueError(f"{answer.step} asks nothing now (waiting: {asked})")
        if answer.choice not in question.choices:
            raise ValueError(
                f'"{answer.choice}" is no choice of {answer.step}: {", ".join(question.choices)}'
            )

    @workflow.update(name="pause")
    def pause(self, request: PauseRequest) -> Accepted:
        """Start no further model call until resumed; those in flight go on."""
        state = self._running()
        if state.paused == request.paused:
            return Accepted(status="unchanged")
        state.paused, state.pause_reason = request.paused, request.reason
        self._steps.slots.open = not request.paused
        self._steps.slots.admit()
        return Accepted()

    @pause.validator
    def _check_pause(self, request: PauseRequest) -> None:
        self._running()

    @workflow.update(name="skip")
    def skip(self, request: SkipRequest) -> Accepted:
        """Leave out an agent that has not started, and what needs it."""
        state = self._running()
        if request.step in state.skipped:
            return Accepted(status="unchanged")
        why = f": {request.reason}" if request.reason else ""
        state.skip(request.step, f"skipped: by request{why}", workflow.now())
        self._changed = True
        return Accepted()

    @skip.validator
    def _check_skip(self, request: SkipRequest) -> None:
        state = self._running()
        if request.step not in state.nodes:
            near = get_close_matches(request.step, state.names, 1)
            hint = f'. Did you mean "{near[0]}"?' if near else ""
            raise ValueError(f'no step named "{request.step}"{hint}')
        status = state.results[request.step].status
        if status is not AgentStatus.PENDING and request.step not in state.skipped:
            raise ValueError(f"{request.step} cannot be skipped any more: it is {status.value}")

    def _running(self) -> RunState:
        if self._state is None:
            raise ValueError("the run has not started yet: try again in a moment")
        if self._state.completed_at is not None:
            raise ValueError(f"the run has ended ({self._state.status.value})")
        return self._state
