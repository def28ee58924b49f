"""`plan` and `bill` as their users get them; commands to runs that are not, or are over."""

import asyncio
import csv
import io
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.runs import RunRecord
from stores.artifacts import ArtifactStore
from stores.locations import DataDir
from tests.cli.teams import TWO, simulated, started, until, write_team

pytestmark = pytest.mark.integration

Starter = Callable[..., "subprocess.CompletedProcess[str]"]

OUTER = """\
name: outer
inputs:
  things: {type: list, default: [bees, ants]}
  more: {type: text}
cost_budget: 2
defaults: {llm_config: {max_tokens: 100}, max_retries: 0}
agents:
  - name: each
    for_each: {item: thing, in: inputs.things}
    cost_limit: 0.25
    prompt_template: "Say two points about {thing}."
  - name: sub
    dependencies: [each]
    team: team.yaml
    inputs: {text: "{each}"}
    cost_limit: 0.5
  - name: last
    dependencies: [sub]
    prompt_template: "Repeat {sub.answer} {more}"
outputs: {answer: "{last}"}
"""


def outer(folder: Path) -> Path:
    """Write a team with a list and a team within; return its file."""
    write_team(folder, TWO)
    (folder / "outer.yaml").write_text(OUTER)
    return folder / "outer.yaml"


def planned(starter: Starter, file: Path, *arguments: str) -> dict[str, Any]:
    done = starter("plan", str(file), "--provider", "simulated", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def test_a_plan_bounds_lists_and_teams(starter: Starter, tmp_path: Path) -> None:
    data = planned(starter, outer(tmp_path), "--input", "more=x")
    each, sub, last = data["agents"]
    assert (each["items"], each["for_each"]) == (2, True)
    assert Decimal(each["most"]) <= 2 * Decimal(each["cost_limit"])
    assert [step["name"] for step in sub["team"]["agents"]] == ["draft", "polish"]
    assert last["tokens"]["answer_most"] == 100
    assert data["critical_path"]["steps"] == ["each", "sub", "last"]
    sums = sum(Decimal(step["most"]) for step in data["agents"])
    assert Decimal(data["expected"]) < Decimal(data["most"]) == min(sums, Decimal(2))


def test_a_plan_for_people(starter: Starter, tmp_path: Path) -> None:
    done = starter("plan", str(outer(tmp_path)), "--provider", "simulated")
    assert done.returncode == 0, done.stderr
    for said in ("sub/draft", "each: for each of the 2 items", "expected $", "longest chain: each"):
        assert said in done.stdout
    assert "last: bounded by cost_limit $1.00 alone; not known before the run: more" in done.stdout
    assert "without more" in done.stderr


def test_more_than_may_be_spent_is_refused(starter: Starter, tmp_path: Path) -> None:
    file = str(write_team(tmp_path))
    done = starter("plan", file, "--provider", "simulated", "--max-cost", "0.0001")
    assert done.returncode == 2
    assert "--max-cost" in done.stderr
    assert "polish at most" in done.stderr
    assert "polish" in done.stdout
    fits = starter("plan", file, "--provider", "simulated", "--max-cost", "$1", "--json")
    assert fits.returncode == 0, fits.stderr
    assert json.loads(fits.stdout)["over"] is False
    wrong = starter("plan", file, "--max-cost", "lots")
    assert wrong.returncode == 2
    assert "--max-cost lots" in wrong.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_bill_in_all_its_forms(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    file = outer(tmp_path)
    arguments = [*simulated(tmp_path / "team.yaml"), "--input", "more=x", "--run-id", "r"]
    arguments[1] = str(file)
    done = starter(*arguments)
    assert done.returncode == 0, done.stderr

    listed = json.loads(starter("list", "--json").stdout)
    assert [run["run_id"] for run in listed] == ["r"], "a team within is no run of its own"
    data = json.loads(starter("bill", "last", "--json", "--recompute").stdout)
    assert data["run_id"] == "r"
    cost = Decimal(data["cost"])
    assert data["recomputed"] == {"as_booked": True, "cost": data["cost"], "differences": []}
    names = [line["name"] for line in data["attempts"]]
    assert names == ["each[0]#1", "each[1]#1", "sub#1", "last#1"]
    sub = data["attempts"][2]
    assert [line["name"] for line in sub["bill"]["attempts"]] == ["sub/draft#1", "sub/polish#1"]
    assert sub["bill"]["cost"] == sub["cost"]
    assert all(line["price_version"] for line in data["attempts"] if line["step"] != "sub")

    rows = list(csv.DictReader(io.StringIO(starter("bill", "r", "--csv").stdout)))
    assert [row["attempt"] for row in rows] == [
        *("each[0]#1", "each[1]#1", "sub/draft#1", "sub/polish#1", "last#1")
    ]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == cost
    assert "/M + " in rows[0]["formula"]

    whole = starter("bill", "r", "--formulas", "--recompute")
    assert whole.returncode == 0, whole.stderr
    assert "sub#1: sum of 2 calls of r/sub" in whole.stdout
    assert "all as booked" in whole.stdout
    within = starter("bill", "r/sub")
    assert within.returncode == 0, within.stderr
    assert "draft#1" in within.stdout
    assert "each" not in within.stdout
    assert starter("status", "r/sub").stdout.startswith("✓ completed r/sub")
    assert starter("status", "last/sub").stdout.startswith("✓ completed r/sub")
    beside = starter("status", "r/sup")
    assert (beside.returncode, "no run or conversation r/sup" in beside.stderr) == (2, True)
    assert "is no run's id" in starter("status", "r/../x").stderr
    detail = starter("bill", "r", "each[1]").stdout
    assert detail.startswith("each[1]#1  simulated ")
    assert "genai-prices" in detail
    unknown = starter("bill", "r", "lst")
    assert unknown.returncode == 2
    assert '"last"' in unknown.stderr or "last" in unknown.stderr

    plan = planned(starter, file, "--input", "more=x")
    assert cost <= Decimal(plan["most"])

    asyncio.run(tamper(clean_environment["CALLBOARD_HOME"]))
    broken = starter("bill", "r", "--recompute")
    assert broken.returncode == 1
    assert "last#1: cost is booked as" in broken.stderr
    assert "total of r" in broken.stderr

    for command in (
        ["skip", "r", "last"],
        ["retry", "r", "last"],
        ["edit", "r", "last", "--prompt", "x"],
    ):
        over = starter(*command)
        assert over.returncode == 2
        assert "run r has ended: completed" in over.stderr


async def tamper(home: str) -> None:
    """Book one call in a run's record for less than it cost."""
    store = ArtifactStore.open(DataDir(Path(home)).artifacts_url)
    ref = await store.lookup("runs/r")
    assert ref is not None
    record = await store.get_model(ref, RunRecord)
    last = record.attempts[-1].model_copy(update={"cost": Decimal("0.000001")})
    changed = record.model_copy(update={"attempts": (*record.attempts[:-1], last)})
    await store.note("runs/r", await store.put_json(changed))
    store.close()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_an_agent_is_skipped_retried_and_given_another_prompt(
    starter: Starter, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    team = write_team(
        tmp_path,
        "name: x\ncost_budget: 1\nagents:\n"
        "  - {name: ask, approval: {ask: 'Go on?'}}\n"
        "  - {name: a, dependencies: [ask], prompt_template: List three points about bees.}\n"
        "  - {name: b, dependencies: [ask], prompt_template: List three points about ants.}\n"
        "  - {name: bad, max_retries: 0, prompt_template: Say one point.}\n"
        "outputs: {answer: '{a}'}\n",
    )
    fault = {"kind": "auth", "agent": "bad", "times": 20}
    (tmp_path / "simulation.yaml").write_text(
        json.dumps({"tokens_per_second": 0, "faults": [fault]})
    )
    with started(["dev", "--port", "0", "--ui-port", "0"], clean_environment, tmp_path) as dev:
        dev.says("Ctrl-C stops it")
        waits = starter(*simulated(team), "--run-id", "r")
        assert waits.returncode == 3, waits.stderr
        assert starter("skip", "r", "bb").stderr == 'error: no step named "bb". Did you mean "b"?\n'
        skipped = starter("skip", "r", "b", "--reason", "no ants")
        assert skipped.returncode == 0, skipped.stderr
        assert "skipped before" in starter("skip", "r", "b").stderr
        until(lambda: '"failed"' in starter("status", "r", "--json").stdout)
        again = starter("retry", "r", "bad")
        assert again.returncode == 0, again.stderr
        assert "has not failed" in starter("retry", "r", "a").stderr
        prompt = tmp_path / "prompt.txt"
        prompt.write_text("Repeat this: wasps sting.")
        edited = starter("edit", "r", "a", "--prompt-file", str(prompt))
        assert edited.returncode == 0, edited.stderr
        assert starter("edit", "r", "a", "--prompt", "{nobody}").returncode == 2
        assert starter("edit", "r", "a").returncode == 2
        assert starter("approve", "r", "ask", "approve").returncode == 0
        ended = starter("watch", "r")
        assert "wasps" in ended.stdout
        bill = starter("bill", "r", "--recompute")
        assert bill.returncode == 0, bill.stderr
        status = {
            s["name"]: s for s in json.loads(starter("status", "r", "--json").stdout)["steps"]
        }
        assert status["b"]["note"] == "skipped: by request: no ants"


@pytest.mark.parametrize(
    "command", [["skip", "no", "a"], ["retry", "no", "a"], ["edit", "no", "a", "--prompt", "x"]]
)
def test_a_command_to_a_run_that_is_not(command: list[str], starter: Starter) -> None:
    done = starter(*command)
    assert done.returncode == 2
    assert "no run or conversation no (no server is running" in done.stderr
