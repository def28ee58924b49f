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


LEFT_OUT = StepResult(
    agent_id="rate",
    status=AgentStatus.COMPLETED,
    metadata={
        "items": 600,
        "failed": 415,
        "failed_items": [{"index": 185, "error": "no\nmoney left"}],
    },
)
TOLD = "185 of 600 items; 415 failed: no money left"


def test_items_that_were_left_out_are_told_though_the_run_completed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = RunResult(run_id="r", team="t", status=WorkflowStatus.COMPLETED)
    whole = StepResult(agent_id="b", status=AgentStatus.COMPLETED, metadata={"items": 9})
    assert ending._judge(result, (LEFT_OUT, whole)) == 0
    assert capsys.readouterr().err == f"warning: rate: {TOLD}\n"
    first, second = ending._data(result, {}, (LEFT_OUT, whole), None, None)["agents"]
    assert (first["reason"], first["items"], first["failed_items"]) == (TOLD, 600, 415)
    assert (second["reason"], second["items"], second["failed_items"]) == (None, 9, 0)
    states = tables.results_table([LEFT_OUT, whole], []).columns[1].cells
    assert [str(cell) for cell in states] == ["✓ completed, 415 failed", "✓ completed"]


def test_a_status_tells_of_items_that_were_left_out() -> None:
    step = StepStatus(
        name="rate", status=AgentStatus.COMPLETED, note=TOLD, items=600, failed_items=415
    )
    status = asking("yes").model_copy(update={"steps": (step,)})
    assert tables.notes(status.steps) == [f"rate: {TOLD}"]
    states = tables.status_table(status).columns[1].cells
    assert [str(cell) for cell in states] == ["✓ completed, 415 failed"]


@pytest.mark.parametrize(
    ("cost", "budget", "uncertain", "told"),
    [
        ("0", "0", "0", "$0.0000 of $0.00"),
        ("0.0001", "0.0006", "0", "$0.0001 of $0.0006 (16.6 %)"),
        ("0.0005", "0.0006", "0", "$0.0005 of $0.0006 (83.3 %, 80 % crossed)"),
        ("0.79999", "1", "0.1", "at most $0.8000 of $1.00 (79.9 %, 50 % crossed)"),
        ("1", "1", "0", "$1.0000 of $1.00 (100.0 %, 100 % crossed)"),
    ],
)
def test_a_status_tells_which_share_of_the_budget_was_crossed(
    cost: str, budget: str, uncertain: str, told: str
) -> None:
    amounts = {"cost": Decimal(cost), "budget": Decimal(budget), "uncertain": Decimal(uncertain)}
    assert tables.spent(asking("yes").model_copy(update=amounts)) == told


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
    (wants,) = waiting(asking(*choices))
    command = shlex.split(wants.how)
    assert command[command.index("approve") + 2 :] == end


@pytest.mark.parametrize(
    ("why", "command"),
    [
        ("paused: cost_budget is my word; resume it", "resume r"),
        ("inner/paused; resume it", "resume r/inner"),
        ("cost_budget 1: 0.9 is spent; raise cost_budget", "budget r --raise DOLLARS"),
        ("q asks: is cost_budget all right; resume it", None),
    ],
)
def test_all_that_a_run_waits_for_is_told(why: str, command: str | None) -> None:
    status = asking("yes", "no").model_copy(update={"run_id": "r", "paused_for": why})
    found = [wants.how.partition("starter.py ")[2] for wants in waiting(status)]
    assert found == ["approve r q yes|no", *([command] if command else [])]


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
