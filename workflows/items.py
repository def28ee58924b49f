"""The child run of a slice: the items of a long `for_each`, some hundred at a time.

Each item is the same model step as in the run itself, with its attempts and its `cost_limit`;
what is particular here is who decides. How many calls may be in flight, how much may be spent and
whether anything may start at all is the run's to say (`control`); what came of the items goes
back by reference. Cancelled, it settles what is in flight and returns what it did and cost.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.activities import PageRequest, RunActivities, SliceActivities
    from contracts.artifacts import ArtifactRef, Value
    from contracts.calls import ItemBinding
    from contracts.messages import Usage
    from contracts.plans import PlanHeader
    from contracts.runs import (
        AttemptRecord,
        RecordPage,
        RecordQuery,
        RunCost,
        RunRecord,
        RunRequest,
        StepResult,
    )
    from contracts.slices import (
        CONTROL_SIGNAL,
        ITEMS_WORKFLOW,
        LISTED_FAILURES,
        AnswersQuery,
        ItemFailure,
        SliceControl,
        SliceQuery,
        SliceReport,
        SliceRequest,
        SliceResult,
        StoredSlice,
        report_signal,
    )
    from contracts.teams import AgentStatus, WorkflowStatus
    from rules.graph import FAILURES
    from rules.usages import total
    from workflows import gathering, light
    from workflows.model_step import Item, ModelStepRun
    from workflows.sharer import Lent
    from workflows.slice_money import SliceReserver
    from workflows.slots import Slots
    from workflows.state import RunState
from workflows.views import cost_view

MOST_BYTES = 15_000_000
"""Of history, before a slice hands its rest back: far below the server's 50 MB."""

FIRST_REPORT = timedelta(seconds=5)
"""Until the first word of progress; each further one comes after twice the time."""


class SliceState(RunState):
    """A run's state with one step in it, whose attempts may begin at a higher number."""

    def __init__(self, request: SliceRequest, header: PlanHeader) -> None:
        asked = RunRequest(run_id=request.run_id, team=request.team, plan=request.plan)
        super().__init__(asked, header, [request.node])
        self._first = request.first_attempt
        if request.prompt is not None:
            self.prompts[request.node.name] = request.prompt

    def attempt_count(self, unit: str) -> int:
        """Return how many attempts an item has had, in other child runs too."""
        return max(self._first, super().attempt_count(unit))

    def attempts_of(self, name: str) -> list[AttemptRecord]:
        """Return all attempts: they are the one step's."""
        return list(self.attempts.values())


@workflow.defn(name=ITEMS_WORKFLOW)
class ItemsWorkflow:
    """One slice of a list."""

    @workflow.init
    def __init__(self, request: SliceRequest) -> None:
        self._request = request
        self._control = request.control
        self._slots = Slots(0)
        self._width = 0
        self._state: SliceState | None = None
        self._items: list[Item] = []
        self._next = 0
        self._results: dict[int, StepResult] = {}
        self._failed = 0
        self._told_failed = 0
        self._pause = FIRST_REPORT
        self._tell_at = workflow.now() + FIRST_REPORT
        self._telling = False

    @workflow.run
    async def run(self, request: SliceRequest) -> SliceResult:
        """Work on the slice until its end, or as far as it may go."""
        header, part = await self._load()
        state = self._state = SliceState(request, header)
        state.started_at = workflow.now()
        state.sharing = Lent(request.shared)
        self._reserver = SliceReserver(state, self._tell)
        self._reserver.begin(request.control)
        self._items = self._listed(part)
        await self._recall(part.start + request.skip)
        self._apply(state)
        teller = asyncio.create_task(self._send_reports())
        cancelled = await self._until_done(state)
        teller.cancel()
        state.completed_at = workflow.now()
        closing = asyncio.create_task(self._close(state, cancelled))
        try:
            return await asyncio.shield(closing)
        except asyncio.CancelledError:
            # Too late to cancel: the items are done, only the books are still open.
            return await closing

    async def _load(self) -> tuple[PlanHeader, StoredSlice]:
        request = self._request
        first = PageRequest(plan=request.plan, number=0)
        page, part = await asyncio.gather(
            light.at_once(RunActivities.load_plan, first, "plan"),
            light.at_once(
                SliceActivities.load_slice,
                SliceQuery(slices=request.slices, number=request.number),
                "slice",
            ),
        )
        if page.header is None:
            raise ValueError("page 0 of a plan has no header")
        return page.header, part

    def _listed(self, part: StoredSlice) -> list[Item]:
        """Return the items that are left of the slice, named by their place in the whole list."""
        node = self._request.node
        return [
            Item(
                f"{node.name}[{part.start + index}]",
                size,
                stored=ItemBinding(name=node.item or "", items=part.items, index=index),
            )
            for index, size in enumerate(part.sizes)
            if index >= self._request.skip
        ]

    async def _recall(self, first: int) -> None:
        """Take over the answers of earlier child runs; `first` is the place of the first item."""
        for record in self._request.answered:
            start, more = 0, True
            while more:
                query = AnswersQuery(record=record, start=start)
                page = await light.at_once(SliceActivities.load_answers, query, "answers so far")
                start, more = start + len(page.results), page.more
                known = {_index(result) - first: result for result in page.results}
                inside = range(len(self._items))
                self._results.update({n: result for n, result in known.items() if n in inside})
        self._next = self._unanswered(0)

    def _unanswered(self, number: int) -> int:
        """Return the first item, from this one on, that has no answer yet."""
        while number in self._results:
            number += 1
        return number

    async def _until_done(self, state: SliceState) -> bool:
        """Run the items. True if the child was cancelled meanwhile."""
        count = min(self._request.most_slots, len(self._items))
        runners = [asyncio.create_task(self._take_items(state)) for _ in range(count)]
        cancelled = False
        try:
            await workflow.wait_condition(lambda: all(runner.done() for runner in runners))
        except asyncio.CancelledError:
            cancelled = state.stopping = True
            for runner in runners:
                runner.cancel()
            await workflow.wait_condition(lambda: all(runner.done() for runner in runners))
        for runner in runners:
            if not runner.cancelled():
                runner.result()
        return cancelled

    async def _take_items(self, state: SliceState) -> None:
        """Take one item after the other, each when there is a slot for it."""
        node, bindings = self._request.node, self._request.bindings
        while self._goes_on(state):
            async with self._slots.held(node.priority):
                if not self._goes_on(state):
                    return
                number = self._next
                self._next = self._unanswered(number + 1)
                step = ModelStepRun(state, node, self._reserver, self._items[number], bindings)
                self._note(number, await step.run())

    def _goes_on(self, state: SliceState) -> bool:
        info = workflow.info()
        return (
            self._next < len(self._items)
            and not state.stopping
            and self._failed <= self._request.may_fail
            and info.get_current_history_length() < self._request.most_events
            and info.get_current_history_size() < MOST_BYTES
        )

    def _note(self, number: int, result: StepResult) -> None:
        """Write down what became of an item, and tell of it where it is time to."""
        self._results[number] = result
        self._failed += result.status not in (AgentStatus.COMPLETED, AgentStatus.CANCELLED)
        if self._failed - self._told_failed >= self._request.report_failures:
            self._tell()
        elif workflow.now() >= self._tell_at:
            self._pause *= 2
            self._tell_at = workflow.now() + self._pause
            self._tell()

    @workflow.signal(name=CONTROL_SIGNAL)
    def control(self, control: SliceControl) -> None:
        """Take over what the run allows from now on."""
        if control.serial > self._control.serial:
            self._control = control
            if self._state is not None:
                self._apply(self._state)

    def _apply(self, state: SliceState) -> None:
        """Act on the latest control."""
        control = self._control
        self._reserver.control = control
        state.paused, self._slots.open = control.paused, not control.paused
        self._slots.give(max(0, control.slots - self._width))
        self._width = max(control.slots, self._width)

    def _tell(self) -> None:
        self._told_failed = self._failed
        self._telling = True

    async def _send_reports(self) -> None:
        """Send the latest report, one after the other; a run that has ended needs none."""
        parent = workflow.info().parent
        if parent is None:
            return
        run = workflow.get_external_workflow_handle(parent.workflow_id, run_id=parent.run_id)
        name = report_signal(self._request.node.name)
        while True:
            await workflow.wait_condition(lambda: self._telling)
            self._telling = False
            try:
                await run.signal(name, self._report())
            except FailureError as error:
                if is_cancelled_exception(error):
                    return
                workflow.logger.warning("report not sent: %s", error)

    def _report(self) -> SliceReport:
        state, reserver = self._state, self._reserver
        assert state is not None
        return SliceReport(
            child=workflow.info().workflow_id,
            done=len(self._results),
            failed=self._failed,
            asks=reserver.asks,
            counted=state.ledger.counted,
            served=state.ledger.served,
            need=reserver.need,
            least=reserver.least,
            call=reserver.call,
        )

    async def _close(self, state: SliceState, cancelled: bool) -> SliceResult:
        """Store what came of the items, and say it in short."""
        done = self._done()
        wanted = not cancelled and self._failed <= self._request.may_fail
        outputs, error = await self._outputs(done) if wanted else (None, None)
        failures = [
            ItemFailure(index=_index(result), error=(result.error or "")[:200])
            for result in done
            if result.status not in (AgentStatus.COMPLETED, AgentStatus.CANCELLED)
        ]
        statuses = [result.status.value for result in done]
        return SliceResult(
            taken=self._next,
            completed=statuses.count(AgentStatus.COMPLETED.value),
            failed={
                status.value: statuses.count(status.value)
                for status in sorted(FAILURES)
                if status.value in statuses
            },
            failures=tuple(failures[:LISTED_FAILURES]),
            outputs=outputs,
            counted=state.ledger.counted,
            served=state.ledger.served,
            usage=total(one.usage for one in state.attempts.values() if one.usage) or Usage(),
            retries=sum(result.retry_count for result in done),
            calls=len(state.attempts),
            most_attempts=max((a.number for a in state.attempts.values()), default=0),
            record=await self._stored(state, done),
            cancelled=cancelled,
            error=error,
        )

    def _done(self) -> list[StepResult]:
        """Return the items' results in the order of the items."""
        return [result for _, result in sorted(self._results.items())]

    async def _outputs(self, done: Sequence[StepResult]) -> tuple[Value | None, str | None]:
        """Return the answers as one stored list, or why they cannot be."""
        outputs = gathering.answers(done)
        if not outputs:
            return None, None
        try:
            value = await gathering.stored(outputs, "list", f"{self._request.unit}: results")
        except ActivityError as error:
            return None, f"the answers could not be gathered: {error.cause}"
        return value.model_copy(update={"inline": None, "has_inline": False, "preview": ""}), None

    async def _stored(self, state: SliceState, done: Sequence[StepResult]) -> ArtifactRef | None:
        """Store the record of the slice: handed over at once, not through history."""
        header = RunRecord(
            run_id=workflow.info().workflow_id,
            team=self._request.team,
            status=WorkflowStatus.CANCELLED if state.stopping else WorkflowStatus.COMPLETED,
            plan=self._request.plan,
            budget=state.ledger.cap,
            cost=state.ledger.counted,
            served=state.ledger.served,
            uncertain=state.ledger.uncertain,
            tokens=state.tokens,
            started_at=state.started_at,
            completed_at=state.completed_at,
            steps=len(done),
        )
        update = {"results": tuple(done), "attempts": tuple(state.attempts.values())}
        whole = header.model_copy(update=update)
        try:
            return await light.at_once(
                SliceActivities.store_slice, whole, "slice record", otherwise=header
            )
        except ActivityError as error:
            workflow.logger.warning("the slice's record could not be stored: %s", error.cause)
            return None

    @workflow.query(name="records")
    def records(self, query: RecordQuery) -> RecordPage:
        """Return some items' results and attempts, for the slice's record."""
        if self._state is None:
            return RecordPage()
        results = self._done()[query.start : query.start + query.count]
        units = {result.agent_id for result in results}
        attempts = self._state.attempts.values()
        return RecordPage(
            results=tuple(results), attempts=tuple(a for a in attempts if a.step in units)
        )

    @workflow.query(name="cost")
    def cost(self) -> RunCost:
        """Return the slice's ledger: every attempt, and what counts against the grant."""
        run_id, zero = workflow.info().workflow_id, Decimal(0)
        if self._state is None:
            return RunCost(
                run_id=run_id, budget=zero, cost=zero, served=zero, uncertain=zero, reserved=zero
            )
        return cost_view(self._state).model_copy(update={"run_id": run_id})


def _index(result: StepResult) -> int:
    """Return an item's place in the whole list: it is in its name."""
    return int(result.agent_id.rpartition("[")[2].rstrip("]"))
