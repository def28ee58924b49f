"""What the Temporal UI shows of a run: search attributes, and a live table of its agents.

Attributes are few and rarely written, since each write is an event: when a share of the budget
is crossed, at the end, and in between ever more rarely. The table is no event: it is read by
query.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from contracts import search
from contracts.runs import StepStatus
from workflows.state import RunState
from workflows.views import status_view

FIRST_PAUSE = timedelta(seconds=5)
MOST_ROWS = 100
TABLE_PAUSE = timedelta(seconds=1)

STATUS = SearchAttributeKey.for_keyword(search.STATUS)
COST = SearchAttributeKey.for_float(search.COST)
TOKENS = SearchAttributeKey.for_int(search.TOKENS)
BUDGET_USED = SearchAttributeKey.for_int(search.BUDGET_USED)


class Display:
    """Writes a run's attributes and table, no more often than is useful."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._crossed = 0
        self._pause = FIRST_PAUSE
        self._attributes_at = workflow.now() + FIRST_PAUSE
        self._table_at: datetime | None = None

    def update(self, *, final: bool = False) -> None:
        """Show the state as it is now, if it is time to."""
        now = workflow.now()
        if final or self._table_at is None or now >= self._table_at:
            self._table_at = now + TABLE_PAUSE
            workflow.set_current_details(table(self._state))
        crossed = self._state.ledger.crossed
        if not self._state.request.searchable:
            return
        if final or crossed > self._crossed or now >= self._attributes_at:
            self._crossed = crossed
            self._pause *= 2
            self._attributes_at = now + self._pause
            workflow.upsert_search_attributes(self._attributes(crossed))

    def _attributes(self, crossed: int) -> Sequence[SearchAttributeUpdate[Any]]:
        state = self._state
        return [
            STATUS.value_set(state.status.value),
            COST.value_set(float(state.ledger.counted)),
            TOKENS.value_set(state.tokens),
            BUDGET_USED.value_set(crossed),
        ]


def table(state: RunState) -> str:
    """Return the run as a Markdown table: one line per agent, then the money.

    Amounts carry no dollar sign: the UI would take a pair of them for a formula.
    """
    view = status_view(state, MOST_ROWS)
    lines = [
        f"**{view.team}** is {view.status.value}: {view.cost:.4f} of {view.budget:.2f} USD,"
        f" {view.tokens:,} tokens",
        "",
        "| agent | status | by | tokens | USD |",
        "| --- | --- | --- | ---: | ---: |",
    ]
    lines += [_line(step) for step in view.steps]
    if len(state.names) > MOST_ROWS:
        lines.append(f"\n… and {len(state.names) - MOST_ROWS} more")
    waits = view.paused_for or view.error
    if waits:
        lines.append(f"\n{waits.replace('$', '')}")
    return "\n".join(lines)


def _line(step: StepStatus) -> str:
    by = f"{step.provider} {step.model}" if step.provider else step.kind
    if step.attempt > 1:
        by += f", attempt {step.attempt}"
    return f"| {step.name} | {step.status.value} | {by} | {step.tokens:,} | {step.cost:.4f} |"
