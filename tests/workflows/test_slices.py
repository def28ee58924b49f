"""Long lists: slices in child runs, which together are what a short list is in the run itself."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path

import pytest

from client.runs import Run
from contracts.plans import Plan
from contracts.runs import RunStatus
from contracts.teams import AgentStatus, ForEachSpec, ModelStep, WorkflowStatus
from contracts.updates import BudgetRaise, PauseRequest
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration

Open = Callable[[Script], AbstractAsyncContextManager[Harness]]
LIST = {"items": {"type": "list"}}


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    return lambda script: harness(server.address, tmp_path, script, cached_workflows=100)


def rater(**more: object) -> ModelStep:
    spec = ForEachSpec(item="thing", in_="inputs.items", **more)
    return agent("rate", "Rate {thing.name}.", for_each=spec)


def rated(**more: object) -> Plan:
    """Return a team of one step over a list."""
    each = {name: more.pop(name) for name in ("max_parallel", "min_success") if name in more}
    return plan(team(rater(**each), inputs=LIST, **more))


def items(count: int) -> dict[str, object]:
    return {"items": [{"name": f"n{n}"} for n in range(count)]}


async def until(run: Run, holds: Callable[[RunStatus], bool]) -> RunStatus:
    """Ask for a run's state until something holds of it."""
    while not holds(status := await run.status()):
        await asyncio.sleep(0.05)
    return status


async def children(harness: Harness, run: Run) -> int:
    """Return how many child runs a run has had."""
    history = await run.handle.fetch_history()
    kind = "child_workflow_execution_started_event_attributes"
    return sum(event.HasField(kind) for event in history.events)


async def test_501_items_are_two_child_runs_and_one_list(opened: Open) -> None:
    script = Script({f"rate[{n}]": [Say(f"answer {n}")] for n in range(501)})
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=20, max_parallel_agents=20), items(501))
        result = await run.wait()
        outputs, cost = await run.outputs(result), await run.cost()
        status, had = await run.status(), await children(running, run)
    assert result.status is WorkflowStatus.COMPLETED
    assert outputs["rate"] == [f"answer {n}" for n in range(501)]
    assert had == 2
    assert script.most_in_flight <= 20
    prompts = [request.messages[0].content for _, _, request in script.requests]
    assert sorted(prompts) == sorted(f"Rate n{n}." for n in range(501))
    assert sorted(a.id for a in cost.attempts) == sorted(f"rate[{n}]#1" for n in range(501))
    assert cost.cost == sum(a.cost for a in cost.attempts) == 501 * Decimal("0.006")
    assert cost.by_step == {"rate": cost.cost}
    assert result.tokens == status.tokens == 501 * 150
