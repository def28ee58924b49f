"""Runs that wait for a person: exit code 3 where nobody is, and what lets them go on."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.teams import nothing_left, simulated, started, write_team

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

APPROVED = """\
name: approved
cost_budget: 1
agents:
  - {name: draft, prompt_template: "List three points: Bees live in hives. Ants dig."}
  - {name: release, dependencies: [draft], approval: {ask: "Release {draft}?"}}
  - {name: send, dependencies: [release], prompt_template: "Repeat {draft}"}
outputs: {answer: "{send}"}
"""

PAUSING = """\
name: pausing
cost_budget: 0.0000001
on_budget: pause
agents:
  - {name: draft, prompt_template: "List three points: Bees live in hives. Ants dig."}
"""


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (APPROVED, ["approve", "r", "release", "approve"]),
        (PAUSING, ["budget", "r", "--raise", "1"]),
    ],
    ids=["approval", "budget"],
)
def test_a_run_waits_and_goes_on(
    text: str,
    command: list[str],
    starter: Starter,
    clean_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    team = write_team(tmp_path, text)
    waits = starter(*simulated(team), "--run-id", "r")
    assert waits.returncode == 3, waits.stderr
    assert f"starter.py {command[0]} r" in waits.stderr
    nothing_left(clean_environment["CALLBOARD_HOME"])
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("1 open run goes on")
        dev.says("Ctrl-C stops it")
        assert starter("status", "r").returncode == 3
        done = starter(*command)
        assert done.returncode == 0, done.stderr
        watched = starter("watch", "r")
        assert watched.returncode == 0, watched.stderr
        assert watched.stdout
        dev.signal(signal.SIGINT)
        dev.wait(30)
