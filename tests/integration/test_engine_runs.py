"""How runs of the engine end on a real server: SEMANTICS D8 to D18, D31, D32, D37."""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from client.engine import (
    AgentStatus,
    FailureHandler,
    LLMClient,
    LLMResponse,
    RetryPolicy,
    WorkflowStatus,
)
from contracts.messages import ChatChunk, ChatRequest, Usage
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


async def test_metadata_lists_every_attempt(make_engine: MakeEngine) -> None:
    answers = iter([RuntimeError("not now"), "An answer."])

    def answer(_: str) -> str:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    flow = await run(make_engine(FakeClient(answer)), workflow(agent()))
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


async def test_D8_never_more_at_once_than_allowed(make_engine: MakeEngine) -> None:
    client = FakeClient(seconds=0.5)
    engine = make_engine(client)
    await run(engine, workflow(agent("warm")))
    flow = workflow(*(agent(f"a{n}") for n in range(5)), max_parallel_agents=2)
    began = time.monotonic()
    flow = await run(engine, flow)
    took = time.monotonic() - began
    assert set(states(flow).values()) == {"completed"}
    assert flow.status is WorkflowStatus.COMPLETED
    assert client.most_in_flight == 2
    assert took >= 1.5


async def test_D10_what_depends_on_a_failure_is_never_called(make_engine: MakeEngine) -> None:
    client = FakeClient(lambda prompt: "fine" if prompt != "fail" else 1 / 0)  # type: ignore[return-value]
    flow = workflow(
        agent("a", "fail", max_retries=0), agent("b", "not b", dependencies=["a"]), agent("c")
    )
    flow = await run(make_engine(client), flow)
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
    make_engine: MakeEngine, failing: int, total: int, priority: int, status: str
) -> None:
    client = FakeClient(lambda prompt: "fine" if prompt != "fail" else 1 / 0)  # type: ignore[return-value]
    agents = [agent(f"f{n}", "fail", priority=priority, max_retries=0) for n in range(failing)]
    agents += [agent(f"g{n}") for n in range(total - failing)]
    assert (await run(make_engine(client), workflow(*agents))).status.value == status


async def test_D12_without_partial_completion_nothing_follows_a_failure(
    make_engine: MakeEngine,
) -> None:
    def answer(prompt: str) -> str:
        return "fine" if prompt != "fail" else 1 / 0  # type: ignore[return-value]

    client = FakeClient(answer, seconds=0.05)
    first = [agent("f", "fail", max_retries=0), *(agent(f"a{n}") for n in range(3))]
    later = [agent(f"b{n}", "second level", dependencies=[f"a{n}"]) for n in range(3)]
    slow = [agent("z", "third", dependencies=["b0", "b1", "b2"])]
    flow = workflow(*first, *later, *slow, allow_partial_completion=False, max_parallel_agents=1)
    flow.agents[0].priority = 7
    flow = await run(make_engine(client), flow)
    assert flow.status is WorkflowStatus.FAILED
    assert "second level" not in client.prompts


async def test_D13_a_limit_that_pays_nothing_ends_without_a_call(make_engine: MakeEngine) -> None:
    client, told = FakeClient(), []
    handler = FailureHandler(on_failure=lambda a, r: told.append(r.status))
    engine = make_engine(client, failure_handler=handler)
    flow = await run(engine, workflow(agent(cost_limit=0.0001)))
    result = result_of(flow)
    assert result.status is AgentStatus.BUDGET_EXCEEDED
    assert not result.is_retriable()
    assert "cost_limit" in (result.error or "")
    assert client.prompts == []
    assert told == [AgentStatus.BUDGET_EXCEEDED]


async def test_D14_the_budget_is_never_passed(make_engine: MakeEngine) -> None:
    client = FakeClient()
    agents = [agent(f"a{n}", "x" * 100) for n in range(5)]
    flow = workflow(*agents, cost_budget=0.013, max_parallel_agents=5)
    flow = await run(make_engine(client), flow)
    assert len(client.prompts) == 2
    assert flow.total_cost == 0.012
    assert sorted(states(flow).values()) == ["budget_exceeded"] * 3 + ["completed"] * 2
    assert flow.status is not WorkflowStatus.COMPLETED


async def test_D15_a_workflow_that_takes_too_long_is_stopped(make_engine: MakeEngine) -> None:
    engine = make_engine(FakeClient(seconds=60.0))
    began = time.monotonic()
    flow = await run(engine, workflow(agent(), timeout=0.05))
    assert time.monotonic() - began < 30
    assert flow.status is WorkflowStatus.FAILED
    assert states(flow) == {"a": "cancelled"}
    assert "timeout" in (flow.error or "")


async def test_D16_an_attempt_that_takes_too_long_fails(make_engine: MakeEngine) -> None:
    flow = await run(
        make_engine(FakeClient(seconds=1.0)), workflow(agent(timeout=0.05, max_retries=0))
    )
    result = result_of(flow)
    assert result.status is AgentStatus.FAILED
    assert "timeout" in (result.error or "")
    assert "0.05" in (result.error or "")
    assert result.is_retriable()


async def test_a_step_that_gives_up_tells_the_text_that_it_had_got(
    make_engine: MakeEngine,
) -> None:
    class BreaksOff(LLMClient):
        async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
            yield ChatChunk(delta_text="half a sen")
            raise ConnectionResetError("gone")

    flow = await run(make_engine(BreaksOff()), workflow(agent(max_retries=0)))
    assert result_of(flow).status is AgentStatus.FAILED
    assert result_of(flow).metadata["partial_text"] == "half a sen"


@pytest.mark.parametrize(("policy", "own", "calls"), [(3, 3, 4), (5, 10, 6), (3, 0, 1)], ids=str)
async def test_D17_attempts_are_one_and_the_smaller_of_both(
    make_engine: MakeEngine, policy: int, own: int, calls: int
) -> None:
    client = FakeClient(RuntimeError("always"))
    retries = RetryPolicy(max_retries=policy, base_delay=0.0)
    engine = make_engine(client, quick(default_retry_policy=retries))
    flow = await run(engine, workflow(agent(max_retries=own, llm_config={"model": "gpt-4"})))
    assert len(client.prompts) == calls
    result = result_of(flow)
    assert (result.status, result.retry_count) == (AgentStatus.FAILED, calls - 1)
    assert "always" in (result.error or "")
    assert flow.total_cost == 0.0


async def test_D18_the_first_wait_of_a_run_is_the_first_delay(make_engine: MakeEngine) -> None:
    policy = RetryPolicy(max_retries=1, base_delay=0.4, jitter=False)
    engine = make_engine(FakeClient(RuntimeError("always")), quick(default_retry_policy=policy))
    flow = await run(engine, workflow(agent()))
    first, second = result_of(flow).metadata["attempts"]
    assert "in 0.4 s" in first["next"]
    waited = _seconds(first["ended_at"], second["queued_at"])
    assert 0.39 <= waited < 10


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def test_D31_a_dependencys_output_is_put_into_the_prompt(make_engine: MakeEngine) -> None:
    client = FakeClient(lambda prompt: f"<{prompt}>")
    flow = workflow(
        agent("a", "first {data}"),
        agent("step-2", "Use {a}", dependencies=["a"]),
        agent("c", "{step-2}, {{literal}}", dependencies=["step-2"]),
        inputs={"data": [1, 2]},
    )
    flow = await run(make_engine(client), flow)
    assert client.prompts == ["first [1,2]", "Use <first [1,2]>", "<Use <first [1,2]>>, {literal}"]
    assert result_of(flow, "step-2").agent_id == "step-2"


async def test_D32_tool_calls_reach_the_output(make_engine: MakeEngine) -> None:
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
    flow = await run(make_engine(client), workflow(agent(tools=[tool])))
    assert result_of(flow).output == {
        "content": "",
        "tool_calls": [{"id": "1", "name": "look", "arguments": {"what": "it"}}],
    }
    assert client.given is not None
    assert client.given[0]["parameters"]["properties"] == {"what": {"type": "string"}}


async def test_D37_an_unknown_model_is_priced_by_default_and_says_so(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine(FakeClient())
    flow = await run(engine, workflow(agent(llm_config={"model": "my-own", "max_tokens": 50})))
    assert flow.total_cost == 0.0025
    assert engine.cost_tracker.get_statistics()["default_priced_models"] == ["my-own"]


async def test_a_client_that_only_chats_works_too(make_engine: MakeEngine) -> None:
    class Chats(LLMClient):
        provider = "mine"

        async def chat(  # type: ignore[override]
            self, req: ChatRequest, timeout: float | None = None
        ) -> AsyncIterator[ChatChunk]:
            for word in (req.model or "", " ", req.messages[0].content):
                yield ChatChunk(delta_text=word)
            yield ChatChunk(finish_reason="stop", usage=Usage(100, 50))

    flow = await run(make_engine(Chats()), workflow(agent(prompt="hello")))
    assert result_of(flow).output == {"content": "gpt-4 hello"}
    assert result_of(flow).metadata["provider"] == "mine"
    assert flow.total_cost == 0.006
