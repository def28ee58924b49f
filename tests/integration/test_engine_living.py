"""An engine and its workflows through their life, on a real server: SEMANTICS D20 to D34."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from client.engine import (
    Agent,
    AgentResult,
    EngineConfig,
    FailureHandler,
    LLMResponse,
    RateLimitConfig,
    WorkflowStatus,
)
from tests.support.engines import (
    FakeClient,
    MakeEngine,
    agent,
    quick,
    result_of,
    run,
    states,
    workflow,
)

pytestmark = pytest.mark.integration


async def test_D25_one_call_is_seen_everywhere(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient(), EngineConfig())
    flow = await run(engine, workflow(agent()))
    assert (flow.status, flow.total_cost, flow.total_tokens) == (
        WorkflowStatus.COMPLETED,
        0.006,
        150,
    )
    status = engine.get_system_status()
    assert {"monitoring", "rate_limiting", "cost_tracking"} <= set(status)
    assert status["rate_limiting"]["total_requests"] == 1
    assert status["cost_tracking"]["total_cost"] == 0.006
    assert status["monitoring"]["workflows"]["completed"] == 1
    assert status["monitoring"]["total_cost"] == 0.006
    result = result_of(flow)
    assert result.output == {"content": "An answer."}
    assert (result.cost, result.tokens_used, result.retry_count) == (0.006, 150, 0)
    assert result.started_at is not None
    assert result.completed_at is not None
    json.dumps([status, flow.to_dict(), engine.get_workflow_status(flow.workflow_id or "")])


async def test_D20_the_limits_hold_in_a_run(make_engine: MakeEngine) -> None:
    client = FakeClient()
    config = quick(rate_limit_config=RateLimitConfig(requests_per_minute=120))
    engine = make_engine(client, config)
    for _ in range(119):
        await engine.rate_limiter.acquire(1)
        engine.rate_limiter.release()
    flow = workflow(*(agent(f"a{n}") for n in range(4)), max_parallel_agents=4)
    began = time.monotonic()
    flow = await run(engine, flow)
    assert flow.status is WorkflowStatus.COMPLETED
    assert time.monotonic() - began >= 1.0
    shown = engine.rate_limiter.get_statistics()
    assert shown["total_requests"] == 123
    assert shown["throttled_requests"] >= 1
    assert shown["active_requests"] == 0


async def test_open_requests_are_bounded_in_a_run(make_engine: MakeEngine) -> None:
    client = FakeClient(seconds=0.05)
    config = quick(rate_limit_config=RateLimitConfig(concurrent_requests=2))
    flow = workflow(*(agent(f"a{n}") for n in range(6)), max_parallel_agents=6)
    assert (await run(make_engine(client, config), flow)).status is WorkflowStatus.COMPLETED
    assert client.most_in_flight == 2


async def test_D22_a_call_larger_than_a_limit_fails_at_once(make_engine: MakeEngine) -> None:
    client = FakeClient()
    config = quick(rate_limit_config=RateLimitConfig(tokens_per_minute=10))
    flow = await run(make_engine(client, config), workflow(agent()))
    assert "tokens_per_minute is 10" in (result_of(flow).error or "")
    assert client.prompts == []
    assert flow.total_cost == 0.0


async def test_D23_from_pending_to_completed(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient())
    workflow_id = await engine.register_workflow(workflow(agent()))
    status = engine.get_workflow_status(workflow_id)
    assert status is not None
    assert (status["status"], status["agents"]["a"]["status"]) == ("pending", "pending")
    await engine.execute_workflow(workflow_id)
    status = engine.get_workflow_status(workflow_id)
    assert status is not None
    assert (status["status"], status["agents"]["a"]["status"]) == ("completed", "completed")


async def test_D23_unknown_ids(make_engine: MakeEngine) -> None:
    client = FakeClient()
    engine = make_engine(client)
    known = await engine.register_workflow(workflow(agent()))
    assert engine.get_workflow_status("unknown") is None
    with pytest.raises(ValueError, match="unknown"):
        await engine.execute_workflow("unknown")
    with pytest.raises(ValueError, match="unknown"):
        await engine.execute_multiple_workflows([known, "unknown", known])
    assert client.prompts == []


async def test_the_status_is_live_while_a_workflow_runs(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient(lambda _: "x", seconds=1.2))
    workflow_id = await engine.register_workflow(workflow(agent()))
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    seen = set()
    while not running.done():
        status = engine.get_workflow_status(workflow_id)
        assert status is not None
        seen.add((status["status"], status["agents"]["a"]["status"]))
        await asyncio.sleep(0.02)
    assert ("running", "running") in seen


async def test_D27_a_workflow_runs_again_from_the_start(make_engine: MakeEngine) -> None:
    client = FakeClient(RuntimeError("always"))
    engine = make_engine(client)
    flow = workflow(agent(max_retries=0))
    workflow_id = await engine.register_workflow(flow)
    assert await engine.register_workflow(flow) == workflow_id
    assert (await engine.execute_workflow(workflow_id)).status is WorkflowStatus.FAILED
    client.answer = "An answer."
    again = await engine.execute_workflow(workflow_id)
    assert again is flow
    assert (again.status, again.error, again.total_cost) == (
        WorkflowStatus.COMPLETED,
        None,
        0.006,
    )
    assert len(result_of(again).metadata["attempts"]) == 1


async def test_D29_workflows_overlap(make_engine: MakeEngine) -> None:
    client = FakeClient(seconds=0.3)
    engine = make_engine(client)
    ids = [await engine.register_workflow(workflow(agent(), name=f"w{n}")) for n in range(3)]
    flows = await engine.execute_multiple_workflows(ids)
    assert [f.name for f in flows] == ["w0", "w1", "w2"]
    assert {f.status for f in flows} == {WorkflowStatus.COMPLETED}
    assert client.most_in_flight == 3


async def test_D29_one_at_a_time(make_engine: MakeEngine) -> None:
    client = FakeClient(seconds=0.05)
    engine = make_engine(client, quick(max_concurrent_workflows=1))
    ids = [await engine.register_workflow(workflow(agent(), name=f"w{n}")) for n in range(3)]
    flows = await engine.execute_multiple_workflows([*ids, ids[0]])
    assert [f.name for f in flows] == ["w0", "w1", "w2", "w0"]
    assert client.most_in_flight == 1
    assert len(client.prompts) == 3


async def test_D30_a_callback_hears_of_every_failure_once(make_engine: MakeEngine) -> None:
    heard: list[tuple[str, int, str | None]] = []

    async def on_failure(failed: Agent, result: AgentResult) -> None:
        await asyncio.sleep(0)
        heard.append((failed.name, result.retry_count, result.error))
        raise RuntimeError("this must not matter")

    client = FakeClient(RuntimeError("always"), seconds=0.1)
    engine = make_engine(client, failure_handler=FailureHandler(on_failure=on_failure))
    flow = await run(engine, workflow(agent("a"), agent("b", max_retries=0)))
    assert sorted(heard) == [
        ("a", 0, "ServerFailed: RuntimeError: always"),
        ("a", 1, "ServerFailed: RuntimeError: always"),
        ("a", 2, "ServerFailed: RuntimeError: always"),
        ("a", 3, "ServerFailed: RuntimeError: always"),
        ("b", 0, "ServerFailed: RuntimeError: always"),
    ]
    assert flow.status is WorkflowStatus.FAILED
    events = engine.monitor.get_recent_events(event_type="attempt_failed")
    assert len(events) == 5
    assert engine.get_system_status()["failure_handling"]["total_failures"] == 5


async def test_D34_shutdown_waits_and_then_refuses(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient(seconds=0.3))
    workflow_id = await engine.register_workflow(workflow(agent()))
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(engine.shutdown())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="shut down"):
        await engine.execute_workflow(workflow_id)
    await stopping
    assert running.done()
    assert (await running).status is WorkflowStatus.COMPLETED
    with pytest.raises(RuntimeError, match="shut down"):
        await engine.register_workflow(workflow(agent()))
    await engine.shutdown()


async def test_one_that_is_being_executed_is_not_executed_twice(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient(seconds=0.2))
    workflow_id = await engine.register_workflow(workflow(agent()))
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="is being executed"):
        await engine.execute_workflow(workflow_id)
    await running


async def test_who_gives_up_waiting_cancels_the_run(make_engine: MakeEngine) -> None:
    client = FakeClient(seconds=30.0)
    engine = make_engine(client)
    flow = workflow(agent())
    workflow_id = await engine.register_workflow(flow)
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    while not client.in_flight:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert client.in_flight == 0
    assert flow.status is WorkflowStatus.CANCELLED
    assert states(flow) == {"a": "cancelled"}


async def test_the_client_is_called_on_the_callers_loop(make_engine: MakeEngine) -> None:
    client = FakeClient()
    await run(make_engine(client), workflow(agent()))
    assert client.threads == {threading.get_ident()}


async def test_a_client_that_blocks_the_loop_is_not_taken_for_lost(make_engine: MakeEngine) -> None:
    class Blocks(FakeClient):
        async def complete(self, *args: Any, **kwargs: Any) -> LLMResponse:
            time.sleep(6.0)
            return await super().complete(*args, **kwargs)

    client = Blocks()
    flow = await run(make_engine(client), workflow(agent()))
    assert flow.status is WorkflowStatus.COMPLETED
    assert len(client.prompts) == 1


async def test_two_engines_share_a_server_but_no_work(make_engine: MakeEngine) -> None:
    one, other = FakeClient("one"), FakeClient("other")
    flows = await asyncio.gather(
        run(make_engine(one), workflow(agent())), run(make_engine(other), workflow(agent()))
    )
    contents = [result_of(flow).output for flow in flows]
    assert contents == [{"content": "one"}, {"content": "other"}]
