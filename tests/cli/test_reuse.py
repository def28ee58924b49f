"""`files` and `reuse` from the command line: a second bill without costs; `gc` collects."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from stores.artifacts import ArtifactStore
from stores.collecting import GRACE
from tests.cli.teams import simulated, write_team

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

TEAM = """\
name: files
cost_budget: 1
agents:
  - name: sum
    files: ["*.md"]
    reuse: 3600
    prompt_template: "What do bees make?"
outputs: {answer: "{sum}"}
"""


@pytest.mark.slow
def test_the_second_run_costs_nothing_and_says_why(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("Bees make honey. Ants dig.")
    team = simulated(write_team(tmp_path, TEAM))
    first = starter(*team, "--run-id", "first")
    assert first.returncode == 0, first.stderr
    assert "honey" in first.stdout
    second = starter(*team, "--run-id", "second", "--json")
    assert second.returncode == 0, second.stderr
    assert Decimal(json.loads(second.stdout)["cost"]) == 0
    assert json.loads(second.stdout)["outputs"]["answer"] + "\n" == first.stdout

    shown = starter("bill", "second", "--recompute")
    assert shown.returncode == 0, shown.stderr
    assert "sum#1: reused from first/sum#1, at no cost" in shown.stdout
    (row,) = starter("bill", "second", "--csv").stdout.splitlines()[1:]
    assert "reused from first/sum#1" in row
    (attempt,) = json.loads(starter("bill", "second", "--json").stdout)["attempts"]
    assert attempt["reused_from"] == "first/sum#1"

    notes.write_text("Bees make honey. Ants dig tunnels.")
    third = starter(*team, "--run-id", "third", "--json")
    assert Decimal(json.loads(third.stdout)["cost"]) > 0

    home = Path(clean_environment["CALLBOARD_HOME"])
    store = ArtifactStore.open(str(home / "store"))
    assert len(asyncio.run(store.names("answers/"))) == 2
    for path in (home / "store").rglob("*"):
        if path.is_file():
            when = path.stat().st_mtime - 2 * GRACE.total_seconds()
            os.utime(path, (when, when))
    assert starter("gc", "--older-than", "1d").returncode == 0
    assert asyncio.run(store.names("answers/")) == []
    store.close()


def test_a_file_that_is_not_there(starter: Starter, tmp_path: Path) -> None:
    done = starter(*simulated(write_team(tmp_path, TEAM)))
    assert done.returncode == 2
    assert "agents[0].files[0]: *.md finds no file in" in done.stderr
    assert "team.yaml:5" in done.stderr
