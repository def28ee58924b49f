"""The demo's team, whole, on a real server: what the README says of it is what happens."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.clients import RegisteredClients
from client.planning import Planner
from config.teamfile import load_team
from contracts.teams import AgentStatus, WorkflowStatus
from providers.router import PersonaRouter
from providers.simulation.faults import Simulation
from tests.support.harness import Harness, harness
from tests.support.scripted import Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture
async def h(server: LocalServer, tmp_path: Path) -> AsyncIterator[Harness]:
    clients = RegisteredClients()
    async with harness(server.address, tmp_path, Script(), ("simulated",), clients) as running:
        yield running
    await clients.aclose()


async def test_the_licence_review_runs_as_the_readme_says(h: Harness) -> None:
    team = load_team(EXAMPLES / "licence-review.yaml").team
    simulation = Simulation.load(EXAMPLES / "licence-review.simulation.yaml")
    quick = simulation.model_copy(update={"tokens_per_second": 0})
    text = (EXAMPLES / "texts" / "gpl-3.0.txt").read_text()
    inputs = {"text": text, "company": team.inputs["company"].default}
    sizes = {name: len(str(value).encode()) for name, value in inputs.items()}
    planner = Planner(PersonaRouter(), provider="simulated", simulation=quick.options())
    plan = planner.plan(team, sizes)

    run = await h.start(plan, inputs)
    result = await run.wait()
    steps = {step.agent_id: step for step in await run.results()}

    assert result.status is WorkflowStatus.COMPLETED, result.error
    assert {name for name, s in steps.items() if s.status is not AgentStatus.COMPLETED} == set()
    assert 0 < result.cost < team.cost_budget

    attempts = [a for a in (await run.cost()).attempts if a.step == "memo"]
    assert [a.outcome for a in attempts] == ["StreamInterrupted", "completed"]
    assert attempts[0].model != attempts[1].model
    others = {a.step for a in (await run.cost()).attempts if a.number > 1}
    assert others == {"memo"}

    memo = await h.text(steps["memo"])
    numbered = re.findall(r"^(\d+)\. ", memo, re.M)
    assert numbered == [str(n) for n in range(1, 11)]
    assert not re.search(r"\b(\w{4,}) \1\b", memo)
    for line in memo.splitlines():
        words = re.sub(r"^\d+\. ", "", line).rstrip(".").split()
        assert " ".join(words[1:6]) in " ".join(text.split())

    outputs = await run.outputs(result)
    assert outputs["memo"] == memo
    assert set(outputs) == {"memo", "score", "needs_work", "licence"}
