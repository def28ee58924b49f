"""A workflow that waits for money: who is told, and each way on (`on_budget: pause`)."""

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import client.engine
from client.engine import OrchestrationEngine, Workflow, WorkflowStatus
from client.engine.waiting import budget_of
from tests.support.engines import FakeClient, MakeEngine, agent, run, states, workflow

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parent.parent.parent / "docs" / "money.md"


def poor(**more: Any) -> Workflow:
    """Return a workflow that can afford the first of three agents, each of 0.006 dollars."""
    agents = [agent(name, "x" * 100, priority=p) for name, p in (("a", 9), ("b", 5), ("c", 1))]
    return workflow(*agents, cost_budget=0.0075, max_parallel_agents=1, on_budget="pause", **more)


async def until(waits: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not waits():
            await asyncio.sleep(0.05)


async def test_a_wait_is_told_once_and_ends_with_the_answer(make_engine: MakeEngine) -> None:
    told: list[tuple[str, float]] = []

    async def more(flow: Workflow, why: str) -> float:
        told.append((why, flow.cost_budget))
        await asyncio.sleep(0)
        return flow.cost_budget + 0.0075

    engine = make_engine(FakeClient(), on_budget_wait=more)
    flow = await run(engine, poor())
    assert set(states(flow).values()) == {"completed"}
    assert flow.status is WorkflowStatus.COMPLETED
    assert (flow.error, flow.waits_for) == (None, None)
    assert len(told) == len({why for why, _ in told}) >= 1
    assert "raise cost_budget" in told[0][0]
    waits = engine.monitor.get_recent_events(event_type="workflow_waits_for_money")
    raised = engine.monitor.get_recent_events(event_type="budget_raised")
    assert len(waits) == len(raised) == len(told)
    assert flow.cost_budget == 0.0075 * (1 + len(told))


async def test_without_a_callback_it_is_logged_and_raised_by_hand(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(FakeClient())
    flow = poor()
    id = await engine.register_workflow(flow)
    with caplog.at_level(logging.WARNING, "callboard.engine"):
        going = asyncio.create_task(engine.execute_workflow(id))
        await until(lambda: flow.waits_for)
    status = engine.get_workflow_status(id)
    assert status is not None
    assert "raise cost_budget" in status["waits_for"]
    assert f"engine.raise_budget({id!r}, DOLLARS)" in caplog.text
    with pytest.raises(ValueError, match="it can only be raised"):
        await engine.raise_budget(id, 0.001)
    for wrong in (0, -1, "much", float("nan"), True):
        with pytest.raises(ValueError, match="the budget must be"):
            await engine.raise_budget(id, wrong)  # type: ignore[arg-type]
    await engine.raise_budget(id, 1)
    flow = await going
    assert flow.status is WorkflowStatus.COMPLETED
    assert flow.get_statistics()["cost_budget"] == 1.0
    with pytest.raises(ValueError, match="is not running"):
        await engine.raise_budget(id, 2)


async def test_a_workflow_is_given_up_with_0_or_by_hand(make_engine: MakeEngine) -> None:
    by_answer = await run(make_engine(FakeClient(), on_budget_wait=lambda *_: 0), poor())
    engine, by_hand = make_engine(FakeClient()), poor()
    going = asyncio.create_task(run(engine, by_hand))
    await until(lambda: by_hand.waits_for)
    assert by_hand.workflow_id is not None
    await engine.give_up(by_hand.workflow_id)
    await going
    for flow in (by_answer, by_hand):
        assert flow.status is WorkflowStatus.CANCELLED
        assert states(flow)["a"] == "completed"
        assert "it waited for money" in (flow.error or "")
        assert flow.waits_for is None


@pytest.mark.slow
async def test_a_timeout_says_what_was_waited_for(make_engine: MakeEngine) -> None:
    flow = await run(make_engine(FakeClient()), poor(timeout=8.0))
    assert flow.status is WorkflowStatus.FAILED
    assert re.search("timeout.*it waited for money: cost_budget 0.0075", flow.error or "")


async def test_who_is_cancelled_leaves_no_run_waiting(make_engine: MakeEngine) -> None:
    engine, flow = make_engine(FakeClient()), poor()
    going = asyncio.create_task(run(engine, flow))
    await until(lambda: flow.waits_for)
    assert flow.workflow_id is not None
    held = engine._runs[flow.workflow_id]
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert await held.ended()
    assert flow.status is WorkflowStatus.CANCELLED


async def test_a_callback_that_fails_leaves_it_waiting(
    make_engine: MakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(flow: Workflow, why: str) -> float:
        raise RuntimeError("no bank")

    engine, flow = make_engine(FakeClient(), on_budget_wait=broken), poor()
    going = asyncio.create_task(run(engine, flow))
    await until(lambda: "no bank" in caplog.text)
    assert flow.workflow_id is not None
    await engine.raise_budget(flow.workflow_id, 1)
    assert (await going).status is WorkflowStatus.COMPLETED


async def test_the_guides_example_runs(
    make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    make_engine(FakeClient())  # sets the place
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    names: dict[str, Any] = dict(vars(client.engine))
    exec(compile(code, str(PAGE), "exec"), names)
    flow: Workflow = await names["main"](FakeClient())
    assert flow.status is WorkflowStatus.COMPLETED
    assert "letters waits: " in capsys.readouterr().out


def test_a_wrong_word_is_refused() -> None:
    with pytest.raises(ValueError, match="on_budget must be 'fail' or 'pause', not 'wait'"):
        workflow(agent(), on_budget="wait")
    with pytest.raises(ValueError, match="not None"):
        budget_of(None)
    assert OrchestrationEngine(FakeClient()).on_budget_wait is None
