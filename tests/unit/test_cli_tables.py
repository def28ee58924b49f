"""Why agents did not complete, as terminals and machines are told."""

from decimal import Decimal

import pytest

from client.cli import tables
from contracts.runs import StepResult, StepStatus
from contracts.teams import AgentStatus

pytestmark = pytest.mark.unit

SKIPPED = "skipped: agents.a.output > 1 is false"


def test_every_agent_that_did_not_complete_has_a_line_that_says_why() -> None:
    results = [
        StepResult(agent_id="a", status=AgentStatus.COMPLETED, metadata={"reason": "none"}),
        StepResult(agent_id="b", status=AgentStatus.CANCELLED, metadata={"reason": SKIPPED}),
        StepResult(agent_id="c", status=AgentStatus.FAILED, error="two\nlines"),
    ]
    assert tables.reasons(results) == [f"b: {SKIPPED}", "c: two lines"]
    assert [tables.why(result) for result in results] == [None, SKIPPED, "two lines"]


def test_a_status_says_why_of_what_will_not_complete_and_of_nothing_else() -> None:
    def step(name: str, status: AgentStatus, note: str | None) -> StepStatus:
        return StepStatus(name=name, status=status, note=note, cost=Decimal(0))

    steps = [
        step("a", AgentStatus.RUNNING, "3 of 9 items"),
        step("b", AgentStatus.CANCELLED, SKIPPED),
        step("c", AgentStatus.BUDGET_EXCEEDED, "cost_budget 1"),
        step("d", AgentStatus.COMPLETED, "answered"),
        step("e", AgentStatus.PENDING, None),
    ]
    assert tables.notes(steps) == [f"b: {SKIPPED}", "c: cost_budget 1"]
