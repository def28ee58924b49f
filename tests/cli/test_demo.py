"""The demo and a small run to their ends: answer, table, bill, nothing left running."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.teams import nothing_left, simulated, write_team

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

AGENTS = (
    *("grants", "obligations", "patents", "warranty", "facts"),
    *("copyleft", "memo", "judge", "good_enough"),
)


def test_the_demo(starter: Starter, clean_environment: dict[str, str]) -> None:
    done = starter("demo", timeout=110)
    assert done.returncode == 0, done.stderr
    assert "# memo" in done.stdout
    assert "# score" in done.stdout
    assert "simulated" in done.stderr.splitlines()[0]
    assert "make demo PROVIDER=openai" in done.stderr
    table = done.stderr[done.stderr.index(" agent ") :]
    for agent in AGENTS:
        assert agent in table
    assert "memo#1" in table
    assert "of $2.50 " in table
    assert "starter.py dev" in table
    assert "\x1b" not in done.stderr + done.stdout
    nothing_left(clean_environment["CALLBOARD_HOME"])


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_run_as_json_and_afterwards(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    done = starter(*simulated(write_team(tmp_path)), "--json", "--run-id", "mine")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["run_id"] == "mine"
    assert data["status"] == "completed"
    assert data["outputs"]["answer"]
    assert [agent["name"] for agent in data["agents"]] == ["draft", "polish"]
    nothing_left(clean_environment["CALLBOARD_HOME"])

    # What has ended is read without a server.
    bill = json.loads(starter("bill", "last", "--json").stdout)
    assert [attempt["step"] for attempt in bill["attempts"]] == ["draft", "polish"]
    assert bill["cost"] == data["cost"]
    assert set(bill["prices"]) == {f"{a['provider']} {a['model']}" for a in bill["attempts"]}
    status = starter("status", "mi")
    assert status.returncode == 0, status.stderr
    assert "polish" in status.stdout
    listed = json.loads(starter("list", "--json").stdout)
    assert [run["run_id"] for run in listed] == ["mine"]
    cancelled = starter("cancel", "mine")
    assert cancelled.returncode == 0
    assert "ended already" in cancelled.stderr
    assert starter("watch", "mine").stdout == data["outputs"]["answer"] + "\n"

    # The same id again is the same run: nothing is spent.
    again = starter(*simulated(tmp_path / "team.yaml"), "--json", "--run-id", "mine")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["cost"] == data["cost"]
    assert "ended before" in again.stderr


def test_a_run_that_fails(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    team = write_team(
        tmp_path,
        "name: x\ncost_budget: 1\nallow_partial_completion: false\nagents:\n"
        "  - {name: a, prompt_template: List three points.}\n"
        "  - {name: b, dependencies: [a], gate: 'agents.a.output == \"no\"'}\n",
    )
    done = starter(*simulated(team))
    assert done.returncode == 1, done.stderr
    assert "the run failed" in done.stderr
    assert "b: gate" in done.stderr
    nothing_left(clean_environment["CALLBOARD_HOME"])
