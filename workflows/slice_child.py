"""A slice's child run as its run sees it: money granted, slots lent, the end settled.

Promises: what a child may spend is held in the run's ledger before it may spend it, and settled
with what the child counted, exactly once, however the child ends. A child that ran out is settled
at once, so that what it did not need is free for whoever waits, and stands in the same queue as
everybody else for its next grant. A cancellation is passed on and absorbed.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import CancelledError, ChildWorkflowError, FailureError

from contracts.messages import Usage
from contracts.runs import AttemptRecord, SlicePart
from contracts.slices import (
    CONTROL_SIGNAL,
    ITEMS_WORKFLOW,
    SliceControl,
    SliceReport,
    SliceRequest,
    SliceResult,
)
from rules import slicing
from workflows.reserving import Reserver, Unaffordable
from workflows.state import RunState

WAIT_CANCELLED = workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
Handle = workflow.ChildWorkflowHandle[object, SliceResult]
ZERO = Decimal(0)


class SliceLost(Exception):
    """The child run broke: nobody knows what its items came to."""


class SliceChild:
    """One child run. `slots` are lent to it; `report` is the last that was heard of it."""

    def __init__(
        self,
        state: RunState,
        reserver: Reserver,
        request: SliceRequest,
        want: Decimal,
        idle: Callable[[], int],
    ) -> None:
        self._state, self._reserver, self._request = state, reserver, request
        self._want, self._idle = want, idle
        self.slots = request.control.slots
        self._number = state.attempt_count(request.unit) + 1
        self.id = self._child_id()
        self.report = SliceReport(child=self.id)
        self.has_grant = False
        self._started = workflow.now()
        self._held: str | None = None
        self._grants = 0
        self._amount = ZERO
        self._whole_at: Decimal | None = None
        self._refused: str | None = None
        self._answered = 0
        self._counted, self._served = ZERO, ZERO
        self._sent = SliceControl()
        self._serial = 0
        self._stop = False

    def cancel(self) -> None:
        """Let the child end; what it did and cost is settled all the same."""
        self._stop = True

    async def run(self, need: Decimal, least: Decimal) -> SliceResult | None:
        """Return what came of the slice; None where it was cancelled before it began.

        `need` dollars are wanted for a first call, `least` at the very least. Raises
        Unaffordable, and SliceLost.
        """
        await self._get_grant(need, least, self._request.unit)
        self._started = workflow.now()
        self._record(self._settled("reserved", Usage()))
        tasks: list[asyncio.Task[None]] = []
        try:
            result = await self._child(tasks)
        except SliceLost as error:
            await self._end(tasks)
            self._settle_lost(str(error))
            raise
        await self._end(tasks)
        if result is None:
            self._settle(ZERO, ZERO)
            self._record({"state": "released", "outcome": "cancelled"})
            return None
        self._settle(result.counted, result.served)
        self._record_result(result)
        return result

    async def _child(self, tasks: list[asyncio.Task[None]]) -> SliceResult | None:
        """Start the child, steer it, and wait for its end."""
        self._sent = self._control()
        starting = asyncio.create_task(self._start(self._sent))
        try:
            handle = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._stop = True
            handle = await starting
        tasks += [asyncio.create_task(self._steer(handle)), asyncio.create_task(self._answer())]
        try:
            await workflow.wait_condition(lambda: handle.done() or self._stop)
        except asyncio.CancelledError:
            self._stop = True
        if self._stop:
            handle.cancel()
        try:
            return await handle
        except ChildWorkflowError as error:
            if isinstance(error.cause, CancelledError):
                return None
            raise SliceLost(str(error.cause)) from None

    async def _start(self, control: SliceControl) -> Handle:
        return await workflow.start_child_workflow(
            ITEMS_WORKFLOW,
            self._request.model_copy(update={"control": control}),
            id=self.id,
            result_type=SliceResult,
            cancellation_type=WAIT_CANCELLED,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            static_summary=f"{self._request.unit}, at first ${self._amount}",
        )

    def _child_id(self) -> str:
        again = f".{self._number}" if self._number > 1 else ""
        step, _, places = self._request.unit.partition("[")
        return f"{self._state.request.run_id}/{step}/{places.rstrip(']')}{again}"

    def _control(self) -> SliceControl:
        """Return what the child may do as things are now."""
        cap = self._state.ledger.cap
        return SliceControl(
            paused=self._state.paused,
            slots=self.slots,
            grants=self._answered,
            grant=self._amount,
            whole=self._whole_at == cap,
            refused=self._refused,
            budget=cap,
        )

    async def _steer(self, handle: Handle) -> None:
        """Tell the child whenever that changes, one signal after the other."""
        while True:
            await workflow.wait_condition(lambda: self._control() != self._sent)
            self._sent = self._control()
            self._serial += 1
            control = self._sent.model_copy(update={"serial": self._serial})
            try:
                await handle.signal(CONTROL_SIGNAL, control)
            except FailureError as error:  # it has ended meanwhile
                workflow.logger.debug("control not sent: %s", error)
                return

    async def _answer(self) -> None:
        """Settle what the child spent whenever it asks for more, and get it what there is."""
        while True:
            await workflow.wait_condition(lambda: self.report.asks > self._answered)
            report = self.report
            self._settle(report.counted, report.served)
            self._record(self._settled("reserved", Usage()))
            try:
                await self._get_grant(report.need, report.least, report.call)
                self._refused = None
            except Unaffordable as error:
                self._amount, self._whole_at, self._refused = ZERO, None, str(error)
            self._answered = report.asks

    async def _get_grant(self, need: Decimal, least: Decimal, call: str) -> None:
        """Hold a grant: `need` or more, less only where it is all that there is."""
        ledger, step = self._state.ledger, self._request.node.name
        while True:
            room = ledger.affordable_eventually(step)
            if room < least:
                await self._reserver.out_of_money(
                    f"cost_budget {ledger.cap}: {ledger.counted} is spent, {call} may cost "
                    f"{least}; raise cost_budget",
                    least - room,
                    need - room,
                )
                continue
            amount = min(need, room)
            if need <= ledger.affordable(step):
                amount = slicing.grant(ledger.affordable(step), need, self._want, self._idle())
            self._grants += 1
            name = f"{self._request.unit}#{self._number}/{self._grants}"
            if await self._reserver.hold(name, step, amount):
                self._held, self._amount, self.has_grant = name, amount, True
                self._whole_at = ledger.cap if amount < need else None
                return

    def _settle(self, counted: Decimal, served: Decimal) -> None:
        """Count what the child spent since the last time, and give back the rest of its grant."""
        if self._held is None:
            return
        self._reserver.settle_child(self._held, counted - self._counted, served - self._served)
        self._held, self.has_grant = None, False
        self._counted, self._served = counted, served

    def _settle_lost(self, error: str) -> None:
        """Count a whole grant: what was spent of it nobody knows."""
        if self._held is not None:
            self._counted += self._amount
            self._reserver.settle_uncertain(self._held, ZERO)
            self._held, self.has_grant = None, False
        update = {**self._settled("uncertain", Usage()), "outcome": "failed", "error": error}
        self._record({**update, "ended_at": workflow.now()})

    def _settled(self, state: str, usage: Usage) -> dict[str, object]:
        return {"state": state, "cost": self._counted, "served": self._served, "usage": usage}

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """End the tasks, an ask for money that still waits among them."""
        for task in tasks:
            task.cancel()
        while not all(task.done() for task in tasks):
            try:
                await workflow.wait_condition(lambda: all(task.done() for task in tasks))
            except asyncio.CancelledError:
                self._stop = True  # too late: the child has ended

    def _record_result(self, result: SliceResult) -> None:
        certain = result.counted == result.served
        part = SlicePart(
            run_id=self.id,
            record=result.record,
            calls=result.calls,
            most_attempts=result.most_attempts,
        )
        update = self._settled("settled" if certain else "uncertain", result.usage)
        outcome = "cancelled" if result.cancelled else "completed"
        ended = {"outcome": outcome, "ended_at": workflow.now(), "part": part}
        self._record({**update, **ended})

    def _record(self, update: dict[str, object]) -> None:
        """Write down the slice among the run's attempts: one entry for all of its own."""
        state, node = self._state, self._request.node
        candidate = state.header.candidates[node.candidates[0]]
        record = AttemptRecord(
            step=self._request.unit,
            number=self._number,
            provider=candidate.provider,
            model=candidate.model,
            state="reserved",
            reserved=self._amount,
            queued_at=self._started,
            part=SlicePart(run_id=self.id),
        )
        state.record(record.model_copy(update=update))
