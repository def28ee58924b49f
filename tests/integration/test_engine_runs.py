"""The engine on a real server: SEMANTICS D8 to D17, D23 to D34, with a client that completes."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from client.engine import (
    Agent,
    AgentResult,
    AgentStatus,
    EngineConfig,
    FailureHandler,
    LLMClient,
    LLMResponse,
    OrchestrationEngine,
    RateLimitConfig,
    RetryPolicy,
    Workflow,
    WorkflowStatus,
)
from contracts.messages import ChatChunk, ChatRequest, Usage
from tests.support.engines import FakeClient, agent, quick, workflow
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

Make = Callable[..., OrchestrationEngine]


@pytest.fixture
async def make(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Make]:
    """Make engines on the session's server; all are shut down at the end."""
    monkeypatch.setenv("CALLBOARD_TEMPORAL_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))
    made: list[OrchestrationEngine] = []

    def engine(client: LLMClient, config: EngineConfig | None = None, **more: Any) -> Any:
        made.append(OrchestrationEngine(client, config or quick(), **more))
        return made[-1]

    yield engine
    for one in made:
        await one.shutdown()


async def run(engine: OrchestrationEngine, flow: Workflow) -> Workflow:
    return await engine.execute_workflow(await engine.register_workflow(flow))


def result_of(flow: Workflow, name: str = "a") -> AgentResult:
    found = flow.get_agent_by_name(name)
    assert found is not None
    assert found.result is not None
    return found.result


def states(flow: Workflow) -> dict[str, str]:
    return {a.name: a.status.value for a in flow.agents}


async def test_D25_one_call_is_seen_everywhere(make: Make) -> None:
    engine = make(FakeClient(), EngineConfig())
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


async def test_metadata_lists_every_attempt(make: Make) -> None:
    answers = iter([RuntimeError("not now"), "An answer."])

    def answer(_: str) -> str:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    flow = await run(make(FakeClient(answer)), workflow(agent()))
    result = result_of(flow)
    first, second = result.metadata["attempts"]
    assert (first["outcome"], first["error"]) == ("ServerFailed", "RuntimeError: not now")
    assert "retry 1 of 3" in first["next"]
    assert (first["cost"], second["cost"]) == (0.0, 0.006)
    assert (second["outcome"], second["provider"], second["model"]) == (
        "completed",
        "custom",
        "gpt-4",
    )
    assert result.retry_count == 1


async def test_D8_never_more_at_once_than_allowed(make: Make) -> None:
    client = FakeClient(seconds=0.1)
    engine = make(client)
    await run(engine, workflow(agent("warm")))
    flow = workflow(*(agent(f"a{n}") for n in range(5)), max_parallel_agents=2)
    began = time.monotonic()
    flow = await run(engine, flow)
    took = time.monotonic() - began
    assert set(states(flow).values()) == {"completed"}
    assert flow.status is WorkflowStatus.COMPLETED
    assert client.most_in_flight == 2
    assert took >= 0.3


async def test_D10_what_depends_on_a_failure_is_never_called(make: Make) -> None:
    client = FakeClient(lambda prompt: "fine" if prompt != "fail" else 1 / 0)  # type: ignore[return-value]
    flow = workflow(
        agent("a", "fail", max_retries=0), agent("b", "not b", dependencies=["a"]), agent("c")
    )
    flow = await run(make(client), flow)
    assert states(flow) == {"a": "failed", "b": "cancelled", "c": "completed"}
    assert "not b" not in client.prompts
    assert "a failed" in result_of(flow, "b").metadata["reason"]
    assert flow.status is WorkflowStatus.PARTIALLY_COMPLETED


@pytest.mark.parametrize(
    ("failing", "total", "priority", "status"),
    [
        (0, 3, 5, "completed"),
        (1, 2, 5, "partially_completed"),
        (2, 3, 5, "failed"),
        (1, 3, 8, "failed"),
        (1, 3, 7, "partially_completed"),
    ],
)
async def test_D11_how_many_failures_fail_a_workflow(
    make: Make, failing: int, total: int, priority: int, status: str
) -> None:
    client = FakeClient(lambda prompt: "fine" if prompt != "fail" else 1 / 0)  # type: ignore[return-value]
    agents = [agent(f"f{n}", "fail", priority=priority, max_retries=0) for n in range(failing)]
    agents += [agent(f"g{n}") for n in range(total - failing)]
    assert (await run(make(client), workflow(*agents))).status.value == status


async def test_D12_without_partial_completion_nothing_follows_a_failure(make: Make) -> None:
    def answer(prompt: str) -> str:
        return "fine" if prompt != "fail" else 1 / 0  # type: ignore[return-value]

    client = FakeClient(answer, seconds=0.05)
    first = [agent("f", "fail", max_retries=0), *(agent(f"a{n}") for n in range(3))]
    later = [agent(f"b{n}", "second level", dependencies=[f"a{n}"]) for n in range(3)]
    slow = [agent("z", "third", dependencies=["b0", "b1", "b2"])]
    flow = workflow(*first, *later, *slow, allow_partial_completion=False, max_parallel_agents=1)
    flow.agents[0].priority = 7
    flow = await run(make(client), flow)
    assert flow.status is WorkflowStatus.FAILED
    assert "second level" not in client.prompts


async def test_D13_a_limit_that_pays_nothing_ends_without_a_call(make: Make) -> None:
    client, told = FakeClient(), []
    handler = FailureHandler(on_failure=lambda a, r: told.append(r.status))
    engine = make(client, failure_handler=handler)
    flow = await run(engine, workflow(agent(cost_limit=0.0001)))
    result = result_of(flow)
    assert result.status is AgentStatus.BUDGET_EXCEEDED
    assert not result.is_retriable()
    assert "cost_limit" in (result.error or "")
    assert client.prompts == []
    assert told == [AgentStatus.BUDGET_EXCEEDED]


async def test_D14_the_budget_is_never_passed(make: Make) -> None:
    client = FakeClient()
    agents = [agent(f"a{n}", "x" * 100) for n in range(5)]
    flow = workflow(*agents, cost_budget=0.013, max_parallel_agents=5)
    flow = await run(make(client), flow)
    assert len(client.prompts) == 2
    assert flow.total_cost == 0.012
    assert sorted(states(flow).values()) == ["budget_exceeded"] * 3 + ["completed"] * 2
    assert flow.status is not WorkflowStatus.COMPLETED


async def test_D15_a_workflow_that_takes_too_long_is_stopped(make: Make) -> None:
    engine = make(FakeClient(seconds=60.0))
    began = time.monotonic()
    flow = await run(engine, workflow(agent(), timeout=0.05))
    assert time.monotonic() - began < 30
    assert flow.status is WorkflowStatus.FAILED
    assert states(flow) == {"a": "cancelled"}
    assert "timeout" in (flow.error or "")


async def test_D16_an_attempt_that_takes_too_long_fails(make: Make) -> None:
    flow = await run(make(FakeClient(seconds=1.0)), workflow(agent(timeout=0.05, max_retries=0)))
    result = result_of(flow)
    assert result.status is AgentStatus.FAILED
    assert "timeout" in (result.error or "")
    assert "0.05" in (result.error or "")
    assert result.is_retriable()


@pytest.mark.parametrize(("policy", "own", "calls"), [(3, 3, 4), (5, 10, 6), (3, 0, 1)], ids=str)
async def test_D17_attempts_are_one_and_the_smaller_of_both(
    make: Make, policy: int, own: int, calls: int
) -> None:
    client = FakeClient(RuntimeError("always"))
    retries = RetryPolicy(max_retries=policy, base_delay=0.0)
    engine = make(client, quick(default_retry_policy=retries))
    flow = await run(engine, workflow(agent(max_retries=own, llm_config={"model": "gpt-4"})))
    assert len(client.prompts) == calls
    result = result_of(flow)
    assert (result.status, result.retry_count) == (AgentStatus.FAILED, calls - 1)
    assert "always" in (result.error or "")
    assert flow.total_cost == 0.0


async def test_D18_the_first_wait_of_a_run_is_the_first_delay(make: Make) -> None:
    policy = RetryPolicy(max_retries=1, base_delay=0.4, jitter=False)
    engine = make(FakeClient(RuntimeError("always")), quick(default_retry_policy=policy))
    flow = await run(engine, workflow(agent()))
    first, second = result_of(flow).metadata["attempts"]
    assert "in 0.4 s" in first["next"]
    waited = _seconds(first["ended_at"], second["queued_at"])
    assert 0.39 <= waited < 10


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def test_D20_the_limits_hold_in_a_run(make: Make) -> None:
    client = FakeClient()
    config = quick(rate_limit_config=RateLimitConfig(requests_per_minute=120))
    engine = make(client, config)
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


async def test_open_requests_are_bounded_in_a_run(make: Make) -> None:
    client = FakeClient(seconds=0.05)
    config = quick(rate_limit_config=RateLimitConfig(concurrent_requests=2))
    flow = workflow(*(agent(f"a{n}") for n in range(6)), max_parallel_agents=6)
    assert (await run(make(client, config), flow)).status is WorkflowStatus.COMPLETED
    assert client.most_in_flight == 2


async def test_D22_a_call_larger_than_a_limit_fails_at_once(make: Make) -> None:
    client = FakeClient()
    config = quick(rate_limit_config=RateLimitConfig(tokens_per_minute=10))
    flow = await run(make(client, config), workflow(agent()))
    assert "tokens_per_minute is 10" in (result_of(flow).error or "")
    assert client.prompts == []
    assert flow.total_cost == 0.0


async def test_D23_from_pending_to_completed(make: Make) -> None:
    engine = make(FakeClient())
    workflow_id = await engine.register_workflow(workflow(agent()))
    status = engine.get_workflow_status(workflow_id)
    assert status is not None
    assert (status["status"], status["agents"]["a"]["status"]) == ("pending", "pending")
    await engine.execute_workflow(workflow_id)
    status = engine.get_workflow_status(workflow_id)
    assert status is not None
    assert (status["status"], status["agents"]["a"]["status"]) == ("completed", "completed")


async def test_D23_unknown_ids(make: Make) -> None:
    client = FakeClient()
    engine = make(client)
    known = await engine.register_workflow(workflow(agent()))
    assert engine.get_workflow_status("unknown") is None
    with pytest.raises(ValueError, match="unknown"):
        await engine.execute_workflow("unknown")
    with pytest.raises(ValueError, match="unknown"):
        await engine.execute_multiple_workflows([known, "unknown", known])
    assert client.prompts == []


async def test_the_status_is_live_while_a_workflow_runs(make: Make) -> None:
    engine = make(FakeClient(lambda _: "x", seconds=1.2))
    workflow_id = await engine.register_workflow(workflow(agent()))
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    seen = set()
    while not running.done():
        status = engine.get_workflow_status(workflow_id)
        assert status is not None
        seen.add((status["status"], status["agents"]["a"]["status"]))
        await asyncio.sleep(0.02)
    assert ("running", "running") in seen


async def test_D27_a_workflow_runs_again_from_the_start(make: Make) -> None:
    client = FakeClient(RuntimeError("always"))
    engine = make(client)
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


async def test_D29_workflows_overlap(make: Make) -> None:
    client = FakeClient(seconds=0.3)
    engine = make(client)
    ids = [await engine.register_workflow(workflow(agent(), name=f"w{n}")) for n in range(3)]
    flows = await engine.execute_multiple_workflows(ids)
    assert [f.name for f in flows] == ["w0", "w1", "w2"]
    assert {f.status for f in flows} == {WorkflowStatus.COMPLETED}
    assert client.most_in_flight == 3


async def test_D29_one_at_a_time(make: Make) -> None:
    client = FakeClient(seconds=0.05)
    engine = make(client, quick(max_concurrent_workflows=1))
    ids = [await engine.register_workflow(workflow(agent(), name=f"w{n}")) for n in range(3)]
    flows = await engine.execute_multiple_workflows([*ids, ids[0]])
    assert [f.name for f in flows] == ["w0", "w1", "w2", "w0"]
    assert client.most_in_flight == 1
    assert len(client.prompts) == 3


async def test_D30_a_callback_hears_of_every_failure_once(make: Make) -> None:
    heard: list[tuple[str, int, str | None]] = []

    async def on_failure(failed: Agent, result: AgentResult) -> None:
        await asyncio.sleep(0)
        heard.append((failed.name, result.retry_count, result.error))
        raise RuntimeError("this must not matter")

    client = FakeClient(RuntimeError("always"), seconds=0.1)
    engine = make(client, failure_handler=FailureHandler(on_failure=on_failure))
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


async def test_D31_a_dependencys_output_is_put_into_the_prompt(make: Make) -> None:
    client = FakeClient(lambda prompt: f"<{prompt}>")
    flow = workflow(
        agent("a", "first {data}"),
        agent("step-2", "Use {a}", dependencies=["a"]),
        agent("c", "{step-2}, {{literal}}", dependencies=["step-2"]),
        inputs={"data": [1, 2]},
    )
    flow = await run(make(client), flow)
    assert client.prompts == ["first [1,2]", "Use <first [1,2]>", "<Use <first [1,2]>>, {literal}"]
    assert result_of(flow, "step-2").agent_id == "step-2"


async def test_D32_tool_calls_reach_the_output(make: Make) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks something up.",
            "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
        },
    }

    class Tooled(LLMClient):
        given: list[dict[str, Any]] | None = None

        async def complete(self, prompt: str, *args: Any, **kwargs: Any) -> LLMResponse:
            raise AssertionError("tools go to complete_with_tools")

        async def complete_with_tools(  # type: ignore[override]
            self, messages: Any, model: str, tools: Any, *args: Any, **kwargs: Any
        ) -> LLMResponse:
            self.given = tools
            call = {"id": "1", "name": "look", "arguments": {"what": "it"}}
            return LLMResponse("", model, 100, 50, "tool_calls", [call])

    client = Tooled()
    flow = await run(make(client), workflow(agent(tools=[tool])))
    assert result_of(flow).output == {
        "content": "",
        "tool_calls": [{"id": "1", "name": "look", "arguments": {"what": "it"}}],
    }
    assert client.given is not None
    assert client.given[0]["parameters"]["properties"] == {"what": {"type": "string"}}


async def test_D34_shutdown_waits_and_then_refuses(make: Make) -> None:
    engine = make(FakeClient(seconds=0.3))
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


async def test_D37_an_unknown_model_is_priced_by_default_and_says_so(make: Make) -> None:
    engine = make(FakeClient())
    flow = await run(engine, workflow(agent(llm_config={"model": "my-own", "max_tokens": 50})))
    assert flow.total_cost == 0.0025
    assert engine.cost_tracker.get_statistics()["default_priced_models"] == ["my-own"]


async def test_one_that_is_being_executed_is_not_executed_twice(make: Make) -> None:
    engine = make(FakeClient(seconds=0.2))
    workflow_id = await engine.register_workflow(workflow(agent()))
    running = asyncio.create_task(engine.execute_workflow(workflow_id))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="is being executed"):
        await engine.execute_workflow(workflow_id)
    await running


async def test_who_gives_up_waiting_cancels_the_run(make: Make) -> None:
    client = FakeClient(seconds=30.0)
    engine = make(client)
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


async def test_a_client_that_only_chats_works_too(make: Make) -> None:
    class Chats(LLMClient):
        provider = "mine"

        async def chat(  # type: ignore[override]
            self, req: ChatRequest, timeout: float | None = None
        ) -> AsyncIterator[ChatChunk]:
            for word in (req.model or "", " ", req.messages[0].content):
                yield ChatChunk(delta_text=word)
            yield ChatChunk(finish_reason="stop", usage=Usage(100, 50))

    flow = await run(make(Chats()), workflow(agent(prompt="hello")))
    assert result_of(flow).output == {"content": "gpt-4 hello"}
    assert result_of(flow).metadata["provider"] == "mine"
    assert flow.total_cost == 0.006


async def test_the_client_is_called_on_the_callers_loop(make: Make) -> None:
    client = FakeClient()
    await run(make(client), workflow(agent()))
    assert client.threads == {threading.get_ident()}


async def test_a_client_that_blocks_the_loop_is_not_taken_for_lost(make: Make) -> None:
    class Blocks(FakeClient):
        async def complete(self, *args: Any, **kwargs: Any) -> LLMResponse:
            time.sleep(6.0)
            return await super().complete(*args, **kwargs)

    client = Blocks()
    flow = await run(make(client), workflow(agent()))
    assert flow.status is WorkflowStatus.COMPLETED
    assert len(client.prompts) == 1


async def test_two_engines_share_a_server_but_no_work(make: Make) -> None:
    one, other = FakeClient("one"), FakeClient("other")
    flows = await asyncio.gather(
        run(make(one), workflow(agent())), run(make(other), workflow(agent()))
    )
    contents = [result_of(flow).output for flow in flows]
    assert contents == [{"content": "one"}, {"content": "other"}]
