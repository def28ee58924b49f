"""Why agents did not complete, as terminals and machines are told."""

import shlex
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from client.cli import ending, tables
from client.cli.waiting import waiting
from contracts.runs import (
    AttemptRecord,
    Question,
    RunResult,
    RunStatus,
    StepResult,
    StepStatus,
)
from contracts.teams import AgentStatus, WorkflowStatus

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


def attempt(step: str, number: int) -> AttemptRecord:
    return AttemptRecord(
        step=step,
        number=number,
        provider="p",
        model="m",
        state="settled",
        reserved=Decimal(1),
        outcome="completed",
    )


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([("a[0]", 1), ("a[1]", 1)], ["a", "  a[0]#1", "  a[1]#1"]),
        ([("a", 1), ("a", 2)], ["a", "  a#1"]),
        ([("a[0]", 1)], ["a"]),
    ],
)
def test_the_items_of_a_list_all_have_a_line_and_attempts_but_the_last(
    steps: list[tuple[str, int]], told: list[str]
) -> None:
    result = StepResult(agent_id="a", status=AgentStatus.COMPLETED)
    table = tables.results_table([result], [attempt(*step) for step in steps])
    assert [str(cell) for cell in table.columns[0].cells] == told


def asking(*choices: str) -> RunStatus:
    asked = Question(step="q", ask="Well?", choices=choices, asked_at=datetime.now(UTC))
    return RunStatus(
        run_id="r",
        team="t",
        status=WorkflowStatus.RUNNING,
        budget=Decimal(1),
        questions=(asked,),
    )


@pytest.mark.parametrize(
    ("choices", "end"),
    [
        (("approve", "reject"), ["q", "approve|reject"]),
        (("it's ok", "$no"), ["q", "it's ok|$no"]),
        (("--yes", "no"), ["q", "--", "--yes|no"]),
    ],
)
def test_the_command_that_answers_keeps_each_choice_in_one_word(
    choices: tuple[str, ...], end: list[str]
) -> None:
    wants = waiting(asking(*choices))
    assert wants is not None
    command = shlex.split(wants.how)
    assert command[command.index("approve") + 2 :] == end


def test_a_run_that_was_ended_early_says_by_whom_and_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = {"ended": "completed", "because": "enough"}
    step = StepResult(agent_id="stop", status=AgentStatus.COMPLETED, metadata=ended)
    result = RunResult(run_id="r", team="t", status=WorkflowStatus.COMPLETED, error="enough")
    assert ending._judge(result, (step,)) == 0
    assert capsys.readouterr().err == "stop ended the run: enough\n"
    data = ending._data(result, {}, (step,), None, None)
    assert (data["error"], data["agents"][0]["reason"]) == (None, "enough")
