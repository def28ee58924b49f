"""Long runs: they go on in new histories, and nothing is lost, doubled or paid twice."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from client.runs import Run
from contracts.plans import Plan
from contracts.teams import AgentStatus, ApprovalStep, WaitStep, WorkflowStatus
from contracts.updates import Answer, BudgetRaise, PauseRequest, PromptEdit, RetryRequest
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Open, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer, local_server
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration

SOON = 40
"""Events of a history after which the server of these tests suggests a new one."""


@pytest.fixture(scope="module")
def hasty(server_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    setting = f"limit.historyCount.suggestContinueAsNew={SOON}"
    with local_server(server_binary, tmp_path_factory.mktemp("hasty"), setting) as running:
        yield running


@pytest.fixture
def opened(hasty: LocalServer, tmp_path: Path) -> Open:
    return lambda script: harness(hasty.address, tmp_path, script)


def chain(length: int, **more: object) -> Plan:
    """Return a plan of agents that read the one before."""
    first = agent("a0", "Begin with {text}.")
    rest = (
        agent(f"a{n}", f"Go on after {{a{n - 1}}}.", dependencies=(f"a{n - 1}",))
        for n in range(1, length)
    )
    return plan(team(first, *rest, inputs={"text": {"type": "text"}}, **more))


async def histories(run: Run) -> list[int]:
    """Return how many events each history of a run has, the last one first."""
    service = run.handle._client
    found, run_id = [], None
    while True:
        handle = service.get_workflow_handle(run.run_id, run_id=run_id)
        history = await handle.fetch_history()
        found.append(len(history.events))
        started = history.events[0].workflow_execution_started_event_attributes
        run_id = started.continued_execution_run_id
        if not run_id:
            return found


async def test_a_chain_goes_on_in_new_histories(opened: Open) -> None:
    script = Script({f"a{n}": [Say(f"answer {n}")] for n in range(30)})
    async with opened(script) as running:
        run = await running.start(chain(30), {"text": "a text"})
        result = await asyncio.wait_for(run.wait(), 60)
        status, cost = await run.status(), await run.cost()
        counts = await histories(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert len(counts) >= 3
    assert max(counts) < SOON + 40
    assert script.count() == 30
    assert len(cost.attempts) == 30
    assert cost.cost == sum((a.cost for a in cost.attempts), Decimal(0)) == result.cost
    assert status.started_at == (await run.record()).started_at  # type: ignore[union-attr]
    assert all(s.status is AgentStatus.COMPLETED for s in status.steps)
    assert script.requests[-1][2].messages[0].content == "Go on after answer 28."


async def test_questions_and_waits_keep_their_deadlines(opened: Open) -> None:
    spec = chain(14).team
    parked = (
        ApprovalStep(name="ok", ask="Is {text} fine?", choices=("yes", "no"), timeout=600),
        ApprovalStep(
            name="late", ask="Anybody?", choices=("yes", "no"), timeout=4, on_timeout="no"
        ),
        WaitStep(name="wait", seconds=4),
        agent("last", "{ok}{late}", dependencies=("ok", "late", "wait", "a13")),
    )
    async with opened(Script()) as running:
        run = await running.start(
            plan(spec.model_copy(update={"agents": (*spec.agents, *parked)})), {"text": "it"}
        )
        while (await _step(run, "a13")) is not AgentStatus.COMPLETED:
            await asyncio.sleep(0.05)
        moved = len(await histories(run))
        await run.answer(Answer(step="ok", choice="yes"))
        result = await asyncio.wait_for(run.wait(), 60)
        steps = {step.agent_id: step for step in await run.results()}
    assert moved > 1
    assert result.status is WorkflowStatus.COMPLETED
    assert steps["ok"].output is not None
    assert steps["ok"].output.inline == "yes"
    for name in ("late", "wait"):
        assert 4 <= steps[name].execution_time < 30
    assert steps["late"].output is not None
    assert steps["late"].output.inline == "no"


async def test_what_was_told_is_known_in_the_next_history(opened: Open) -> None:
    script = Script({"broken": [AuthenticationFailed("no such key"), Say("mended")]})
    spec = chain(24, cost_budget=Decimal("0.5")).team
    more = (agent("broken"), agent("edited", "Old.", dependencies=("a20",)))
    async with opened(script) as running:
        run = await running.start(
            plan(spec.model_copy(update={"agents": (*spec.agents, *more)})), {"text": "it"}
        )
        while (await _step(run, "broken")) is not AgentStatus.FAILED:
            await asyncio.sleep(0.02)
        raised = BudgetRaise(to=Decimal(2), request_id="b1")
        await run.raise_budget(raised)
        await run.edit_prompt(PromptEdit(step="edited", prompt="New {text}.", request_id="e1"))
        while len(await histories(run)) < 2:
            await asyncio.sleep(0.05)
        stop, go = (PauseRequest(paused=paused) for paused in (True, False))
        await run.pause(stop)
        assert (await run.raise_budget(raised)).budget == Decimal(2)
        edit = PromptEdit(step="edited", prompt="Newer {text}.", request_id="e1")
        assert (await run.edit_prompt(edit)).status == "unchanged"
        await run.retry(RetryRequest(step="broken", request_id="r1"))
        await run.pause(go)
        result = await asyncio.wait_for(run.wait(), 60)
        cost = await run.cost()
    assert result.status is WorkflowStatus.COMPLETED
    prompts = {name: r.messages[0].content for name, _, r in script.requests}
    assert prompts["edited"] == "New it."
    assert [a.number for a in cost.attempts if a.step == "broken"] == [1, 2]
    assert script.count() == len(cost.attempts)


async def test_a_run_is_cancelled_whichever_history_it_is_in(opened: Open) -> None:
    async with opened(Script()) as running:
        run = await running.start(chain(200), {"text": "it"})
        while len(await histories(run)) < 2:
            await asyncio.sleep(0.02)
        await run.cancel()
        result = await asyncio.wait_for(run.wait(), 60)
        cost = await run.cost()
    assert result.status is WorkflowStatus.CANCELLED
    assert running.script.count() == len(cost.attempts) < 200


async def _step(run: Run, name: str) -> AgentStatus | None:
    steps = (await run.status()).steps
    return next((step.status for step in steps if step.name == name), None)
