"""A run that waits for money (`Workflow.on_budget = "pause"`): who is told, what their word does.

Strategy: the process that follows the run sees that it waits. Each wait is told once: to the
monitor, as an event; to the log, as a warning that names the way on; and to `on_budget_wait`,
where the engine has one, in a task of its own, so that the other agents are followed meanwhile. A
wait ends with a raised budget, with the run given up, or with the workflow's own timeout, whose
error then says what was waited for.
"""

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from client.engine import monitoring
from client.engine.failures import mark_callback
from client.engine.monitoring import Monitor
from client.engine.workflows import Workflow
from contracts.teams import WorkflowStatus

log = logging.getLogger("callboard.engine")

_UNFINISHED = (WorkflowStatus.FAILED, WorkflowStatus.CANCELLED)

OnBudgetWait = Callable[[Workflow, str], Any]
"""Is told a workflow and why it waits.

It returns the new `cost_budget` in dollars, 0 to give the workflow up, None to leave it waiting;
or an awaitable of that. What it raises is logged, and leaves the workflow waiting.
"""

Raise = Callable[[Decimal], Awaitable[None]]
GiveUp = Callable[[], Awaitable[None]]


class BudgetWaits:
    """The waits of one run. `raise_to` raises its budget, `give_up` ends it."""

    def __init__(
        self,
        workflow: Workflow,
        run_id: str,
        monitor: Monitor,
        on_wait: OnBudgetWait | None,
        raise_to: Raise,
        give_up: GiveUp,
    ) -> None:
        self._workflow, self._run_id = workflow, run_id
        self._monitor, self._on_wait = monitor, on_wait
        self._raise_to, self._give_up = raise_to, give_up
        self._asking: asyncio.Task[None] | None = None
        self._acting = False

    def see(self, why: str | None) -> None:
        """Take what the run waits for; None: it does not wait. Told once for each wait."""
        known, self._workflow.waits_for = self._workflow.waits_for, why
        if why is None or why == known:
            return
        workflow = self._workflow
        self._monitor.record_event(
            monitoring.WORKFLOW_WAITS, workflow_id=self._run_id, data={"reason": why}
        )
        if self._on_wait is None:
            log.warning(
                "workflow %s waits for money: %s. Go on with engine.raise_budget(%r, DOLLARS), or "
                "end it with engine.give_up(%r)",
                workflow.name,
                why,
                workflow.workflow_id,
                workflow.workflow_id,
            )
            return
        self._stop_asking()
        self._asking = asyncio.create_task(self._ask(self._on_wait, why))

    async def close(self) -> None:
        """The run has ended: nobody is asked any more."""
        asking = self._stop_asking()
        if asking is not None:
            with suppress(asyncio.CancelledError):
                await asking

    def ended(self, status: WorkflowStatus) -> None:
        """Say in the workflow's error what it waited for when it ended."""
        workflow = self._workflow
        if workflow.waits_for is not None and status in _UNFINISHED:
            waited = f"it waited for money: {workflow.waits_for}"
            workflow.error = f"{workflow.error}; {waited}" if workflow.error else waited
        workflow.waits_for = None

    def _stop_asking(self) -> "asyncio.Task[None] | None":
        asking, self._asking = self._asking, None
        if asking is None:
            return None
        if not self._acting:  # else it ends by itself: its word is on the way to the run
            asking.cancel()
        return asking

    async def _ask(self, on_wait: OnBudgetWait, why: str) -> None:
        workflow = self._workflow
        mark_callback()
        try:
            answer = on_wait(workflow, why)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is None:
                return
            dollars, self._acting = budget_of(answer), True
            await (self._raise_to(dollars) if dollars else self._give_up())
        except Exception:
            log.exception("on_budget_wait failed; workflow %s goes on waiting", workflow.name)
        finally:
            self._acting = False


def budget_of(value: object) -> Decimal:
    """Return dollars as they were given: 0 or more. Raises ValueError."""
    try:
        dollars = Decimal(str(value))
    except InvalidOperation:
        dollars = Decimal("NaN")
    if isinstance(value, bool) or not math.isfinite(dollars) or dollars < 0:
        raise ValueError(f"the budget must be dollars, 0 or more, not {value!r}")
    return dollars
