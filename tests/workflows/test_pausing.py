"""A pause: no call is sent until the run is resumed, whatever else it waited for meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from client.runs import Run
from contracts.teams import AgentStep, TeamStep, WorkflowStatus
from contracts.updates import BudgetRaise, PauseRequest
from providers.exceptions import StreamInterrupted
from tests.support.finders import planned
from tests.support.harness import Harness, Open, harness, waits_for
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration

BROKEN = Say("broken off in the midst", held=1, fails=StreamInterrupted("gone"))
ENDS = pytest.mark.parametrize("resumed", [True, False], ids=["resumed", "cancelled"])


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    @asynccontextmanager
    async def serve(script: Script) -> AsyncIterator[Harness]:
        async with harness(server.address, tmp_path, script, tools=True) as running:
            yield running

    return serve


@ENDS
async def test_a_paused_run_makes_no_further_attempt(opened: Open, resumed: bool) -> None:
    script = Script({"a": [BROKEN, Say("whole")]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("a"))))
        await pause_in_flight(run, script, "a")
        await no_further_call(run, script, 1)
        await ends(run, resumed)
    assert script.count("a") == 1 + resumed


async def test_nor_does_an_agent_with_tools(opened: Open, tmp_path: Path) -> None:
    script = Script({"look.1": [BROKEN, Say("whole")]})
    step = AgentStep(name="look", file="agent.yaml", prompt_template="Look", cost_limit=Decimal(1))
    async with opened(script) as running:
        run = await running.start(planned(tmp_path, step))
        await pause_in_flight(run, script, "look.1")
        await no_further_call(run, script, 1)
        await ends(run, resumed=True)


@ENDS
async def test_more_money_sends_no_call_of_a_paused_run(opened: Open, resumed: bool) -> None:
    script = Script()
    spec = team(agent("a"), cost_budget=Decimal("0.000001"), on_budget="pause")
    async with opened(script) as running:
        run = await running.start(plan(spec))
        await waits_for(run, "cost_budget")
        await pause_and_raise(run)
        await no_further_call(run, script, 0)
        await ends(run, resumed)


async def test_nor_does_room_that_another_agent_leaves(opened: Open) -> None:
    """There is money for one of them at a time; the other waits for what it does not need."""
    script = Script({"a": [Say("a long answer", held=1)], "b": [Say("a long answer", held=1)]})
    agents = [agent(n, llm_config={"max_tokens": 500}, min_output_tokens=500) for n in "ab"]
    spec = team(*agents, cost_budget=Decimal("0.04"))
    async with opened(script) as running:
        run = await running.start(plan(spec))
        while script.count() == 0:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        assert script.count() == 1, "the test has too much money"
        await run.pause(PauseRequest(paused=True))
        script.go.set()
        await no_further_call(run, script, 1)
        await ends(run, resumed=True)


@ENDS
async def test_nor_does_a_team_within_that_has_its_money(opened: Open, resumed: bool) -> None:
    inner = team(agent("inner"), name="sub", outputs={"answer": "{inner}"})
    step = TeamStep(name="sub", file="sub.yaml", dependencies=("a",))
    spec = team(
        agent("a", llm_config={"max_tokens": 50}),
        step,
        cost_budget=Decimal("0.006"),
        on_budget="pause",
    )
    script = Script()
    async with opened(script) as running:
        run = await running.start(plan(spec, children={"sub": plan(inner)}))
        await waits_for(run, "nothing is left for the team sub")
        await pause_and_raise(run)
        await no_further_call(run, script, 1)
        await ends(run, resumed)
    assert script.count("inner") == resumed


async def pause_in_flight(run: Run, script: Script, name: str) -> None:
    """Pause a run while an agent is answered; then let the answer break off."""
    while script.count(name) == 0:
        await asyncio.sleep(0.02)
    await run.pause(PauseRequest(paused=True))
    script.go.set()


async def pause_and_raise(run: Run) -> None:
    """Pause a run that waits for money, and give it some."""
    await run.pause(PauseRequest(paused=True))
    await run.raise_budget(BudgetRaise(to=Decimal(1)))
    await waits_for(run, "resume it")


async def no_further_call(run: Run, script: Script, count: int) -> None:
    """Wait until nothing is in flight, and see that nothing was sent."""
    await asyncio.sleep(1.5)
    assert script.in_flight == 0
    assert script.count() == count
    status = await run.status()
    assert status.reserved == 0, "who looks takes it for a call under way"
    assert "resume it" in str(status.paused_for)


async def ends(run: Run, resumed: bool) -> None:
    """Resume or cancel a run and see how it ends; nothing stays held."""
    await (run.pause(PauseRequest(paused=False)) if resumed else run.cancel())
    result = await run.wait()
    ended = WorkflowStatus.COMPLETED if resumed else WorkflowStatus.CANCELLED
    assert result.status is ended
    assert (await run.cost()).reserved == 0
