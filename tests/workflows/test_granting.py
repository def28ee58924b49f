"""Teams within a team that run out of their grant: the run around them gives more, or waits.

Every call costs 0.0033 dollars; its worst case is a little more.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from client.runs import Run
from contracts.messages import Usage
from contracts.teams import AgentStatus, ApprovalStep, TeamSpec, TeamStep, WorkflowStatus
from contracts.updates import Answer, BudgetRaise
from tests.support.harness import Open, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration

D = Decimal
COST = D("0.0033")
SAY = Say("An answer.", usage=Usage(10, 50))


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    return lambda script: harness(server.address, tmp_path, script, cached_workflows=10)


def inner(**more: object) -> TeamSpec:
    steps = (agent("one"), agent("two", dependencies=("one",)), agent("three", priority=9))
    return team(*steps, name="sub", **more)


def sub(**more: object) -> TeamStep:
    return TeamStep(name="sub", file="sub.yaml", inputs={}, **more)  # type: ignore[arg-type]


def outer(*steps: object, budget: str = "0.0052", **more: object) -> TeamSpec:
    more.setdefault("on_budget", "pause")
    return team(*steps, cost_budget=D(budget), **more)  # type: ignore[arg-type]


async def waits(run: Run, *texts: str) -> None:
    """Wait until the run says what a person has to do."""
    async with asyncio.timeout(60):
        said = ""
        while not all(text in said for text in texts):
            await asyncio.sleep(0.02)
            said = (await run.status()).paused_for or ""


async def booked(run: Run) -> D:
    """Return what the run counts; what it holds is nothing, and its cap was kept."""
    cost = await run.cost()
    assert cost.reserved == 0
    assert cost.cost == cost.served <= cost.budget
    return cost.cost


async def test_a_team_whose_grant_is_spent_waits_and_goes_on(opened: Open) -> None:
    script = Script(default=SAY)
    async with opened(script) as running:
        run = await running.start(plan(outer(sub()), children={"sub": plan(inner())}))
        await waits(run, "the team sub needs", "raise cost_budget")
        asked = {name: script.count(name) for name in ("one", "two", "three")}
        assert sum(asked.values()) == 1
        child = running.runs.get(f"{run.run_id}/sub")
        assert "may cost" in ((await child.status()).paused_for or "")
        await run.raise_budget(BudgetRaise(to=D(1)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
        assert (await child.status()).status is WorkflowStatus.COMPLETED
    assert {name: script.count(name) for name in asked} == dict.fromkeys(asked, 1)
    assert await booked(run) == 3 * COST


async def test_a_little_more_each_time(opened: Open) -> None:
    """Raised by one call's worst case, the run waits again for the next one."""
    script = Script(default=SAY)
    async with opened(script) as running:
        run = await running.start(plan(outer(sub()), children={"sub": plan(inner())}))
        for budget in ("0.0085", "0.0118"):
            await waits(run, "the team sub needs", f"cost_budget {(await run.cost()).budget}")
            await run.raise_budget(BudgetRaise(to=D(budget)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
    assert await booked(run) == 3 * COST


async def test_a_raise_reaches_a_team_though_another_agent_waits_for_room(opened: Open) -> None:
    """The agent waits for what the team holds, and the team for more: it goes first."""
    dear = agent("dear", llm_config={"max_tokens": 400}, min_output_tokens=100)
    script = Script(default=SAY)
    async with opened(script) as running:
        spec = outer(sub(), dear, budget="0.0052")
        run = await running.start(plan(spec, children={"sub": plan(inner())}))
        await waits(run, "cost_budget")
        await run.raise_budget(BudgetRaise(to=D("0.03")))
        assert (await asyncio.wait_for(run.wait(), 60)).status is WorkflowStatus.COMPLETED
    await booked(run)


async def test_a_team_within_a_team_within_a_team(opened: Open) -> None:
    middle = team(sub(), agent("last", dependencies=("sub",)), name="middle")
    plans = {"middle": plan(middle, children={"sub": plan(inner())})}
    step = TeamStep(name="middle", file="middle.yaml", inputs={})
    async with opened(Script(default=SAY)) as running:
        run = await running.start(plan(outer(step), children=plans))
        await waits(run, "the team middle needs")
        await run.raise_budget(BudgetRaise(to=D(1)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
        assert await booked(run) == 4 * COST


async def test_what_another_agent_leaves_is_given_without_a_raise(opened: Open) -> None:
    """Of what was raised another agent holds its worst case, and then costs less."""
    hold = ApprovalStep(name="hold", ask="Go on?")
    beside = agent("beside", llm_config={"max_tokens": 80}, dependencies=("hold",))
    script = Script({"beside": [Say("An answer.", usage=Usage(10, 50), held=1)]}, default=SAY)
    async with opened(script) as running:
        child = team(agent("one"), agent("two", dependencies=("one",)), name="sub")
        spec = outer(sub(), hold, beside, budget="0.0060")
        run = await running.start(plan(spec, children={"sub": plan(child)}))
        await waits(run, "the team sub needs")
        await run.answer(Answer(step="hold", choice="approve"))
        async with asyncio.timeout(60):
            while (await run.status()).steps[2].status is not AgentStatus.RUNNING:
                await asyncio.sleep(0.02)
            await run.raise_budget(BudgetRaise(to=D("0.0125")))
            while script.count("beside") == 0:
                await asyncio.sleep(0.02)
        await waits(run, "the team sub needs", "cost_budget 0.0125")
        assert script.count("two") == 0
        script.go.set()
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
        assert await booked(run) == 3 * COST


@pytest.mark.parametrize(
    ("step", "child", "around", "key"),
    [
        (sub(cost_limit=D("0.0052")), inner(), outer, "cost_limit 0.0052 of sub"),
        (sub(), inner(cost_budget=D("0.0052")), outer, "cost_budget 0.0052"),
    ],
)
async def test_more_is_no_help_where_another_limit_binds(
    opened: Open, step: TeamStep, child: TeamSpec, around: Callable[..., TeamSpec], key: str
) -> None:
    async with opened(Script(default=SAY)) as running:
        spec = around(step, budget="1")
        run = await running.start(plan(spec, children={"sub": plan(child)}))
        await run.wait()
        results = {r.agent_id: r for r in await running.runs.get(f"{run.run_id}/sub").results()}
        failed = [r for r in results.values() if r.status is AgentStatus.BUDGET_EXCEEDED]
        assert failed
        assert all(key in (r.error or "") for r in failed)
        assert await booked(run) == COST


async def test_a_run_that_does_not_pause_refuses(opened: Open) -> None:
    async with opened(Script(default=SAY)) as running:
        spec = outer(sub(), on_budget="fail")
        run = await running.start(plan(spec, children={"sub": plan(inner())}))
        await run.wait()
        assert await booked(run) == COST
        statuses = [r.status for r in await running.runs.get(f"{run.run_id}/sub").results()]
        assert AgentStatus.BUDGET_EXCEEDED in statuses


async def test_who_waits_can_be_stopped(opened: Open) -> None:
    async with opened(Script(default=SAY)) as running:
        run = await running.start(plan(outer(sub()), children={"sub": plan(inner())}))
        await waits(run, "the team sub needs")
        await run.cancel()
        async with asyncio.timeout(60):
            while not await run.ended():
                await asyncio.sleep(0.02)
        assert (await run.status()).status is WorkflowStatus.CANCELLED
        assert await booked(run) == COST
