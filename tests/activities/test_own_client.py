"""A caller's own client in an attempt: told the model, its errors translated, its limits kept."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.clients import OwnClient
from activities.models import CallModel
from activities.own_client import UNNAMED
from contracts.calls import CallFailure, ModelCall, ModelReply
from contracts.messages import ChatChunk, ChatRequest, ToolCall, Usage
from contracts.plans import Plan
from providers.exceptions import Overloaded, RateLimited, RouterError
from providers.spi import LLMClient, LLMResponse
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from tests.support.replies import replied
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit


class Completes(LLMClient):
    """Has `complete` only, as seed 004 shows it; answers or raises what it is given."""

    def __init__(self, answer: str | Exception = "An answer.") -> None:
        self.answer = answer
        self.models: list[str | None] = []

    async def complete(self, prompt: str, model: str | None = None, *_: Any, **__: Any) -> Any:
        self.models.append(model)
        if isinstance(self.answer, Exception):
            raise self.answer
        return LLMResponse(self.answer, model or "?", 100, 50)


class Breaks(LLMClient):
    """Breaks off after a word."""

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield ChatChunk(delta_text="half")
        raise RuntimeError("it broke")


class CallsATool(LLMClient):
    """Breaks off after a tool call, and after its usage."""

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        yield ChatChunk(tool_call=ToolCall("1", "look", {}))
        yield ChatChunk(usage=Usage(100, 50))
        raise RuntimeError("it broke")


class Waits:
    """Limits that ask for these waits, one after the other."""

    def __init__(self, *waits: float | Exception) -> None:
        self.waits = list(waits)
        self.asked: list[tuple[str, int]] = []
        self.calls: list[tuple[int, int | None] | None] = []

    def admit(self, key: str, tokens: int) -> float:
        self.asked.append((key, tokens))
        wait = self.waits.pop(0) if self.waits else 0.0
        if isinstance(wait, Exception):
            raise wait
        return wait

    def began(self) -> None:
        self.calls.append(None)

    def ended(self, booked: int, used: int | None) -> None:
        assert self.calls.pop() is None
        self.calls.append((booked, used))


async def called(
    folder: Path, client: LLMClient, limiter: Waits | None = None, made: Plan | None = None
) -> ModelReply:
    store = ArtifactStore.open(str(folder / "artifacts"))
    work = CallModel(store, FileSpools(folder / "spools"), OwnClient(client, limiter))
    environment = ActivityEnvironment()
    environment.payload_converter = pydantic_data_converter.payload_converter
    call = ModelCall(
        run_id="r1", unit="a", plan=await store.put_json(made or plan(team(agent("a")))),
        step="a", attempt=1, candidate=0, max_tokens=50, input_bound=1000, timeout=5,
        first_token_timeout=5, idle_timeout=5,
    )  # fmt: skip
    return await replied(environment, work.call_model, call, ModelReply)


async def failed(folder: Path, client: LLMClient, limiter: Waits | None = None) -> CallFailure:
    with pytest.raises(ApplicationError) as caught:
        await called(folder, client, limiter)
    failure: CallFailure = caught.value.details[0]
    return failure


@pytest.mark.parametrize(
    "error", [IndexError("list index"), KeyError("usage"), ValueError("no JSON")]
)
async def test_an_answer_that_the_client_could_not_read_may_have_been_paid(
    tmp_path: Path, error: Exception
) -> None:
    failure = await failed(tmp_path, Completes(error))
    assert failure.sent
    assert not failure.usage_final


async def test_negative_tokens_are_no_answer(tmp_path: Path) -> None:
    class Owes(Completes):
        async def complete(self, *_: Any, **__: Any) -> Any:
            return LLMResponse("An answer.", "gpt-4", -10, 5)

    failure = await failed(tmp_path, Owes())
    assert (failure.retryable, failure.usage_final) == (False, False)


async def test_a_client_that_only_completes_is_told_the_model(tmp_path: Path) -> None:
    client = Completes()
    reply = await called(tmp_path, client)
    assert client.models == ["gpt-4"]
    assert reply.output.preview == "An answer."
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (100, 50)


async def test_an_agent_without_a_model_tells_none(tmp_path: Path) -> None:
    client = Completes()
    made = plan(team(agent("a")), candidate(model="whichever", options={UNNAMED: True}))
    await called(tmp_path, client, made=made)
    assert client.models == [None]


async def test_what_it_raises_may_pass_and_cost_nothing(tmp_path: Path) -> None:
    failure = await failed(tmp_path, Completes(RuntimeError("the API is down")))
    assert (failure.kind, failure.retryable) == ("ServerFailed", True)
    assert failure.message == "RuntimeError: the API is down"
    assert failure.usage == Usage(0, 0)
    assert failure.usage_final


@pytest.mark.parametrize(
    "client", [Breaks(), CallsATool(), Completes(ConnectionResetError("gone"))]
)
async def test_what_may_have_been_billed_counts_so(tmp_path: Path, client: LLMClient) -> None:
    failure = await failed(tmp_path, client)
    assert (failure.kind, failure.retryable) == ("StreamInterrupted", True)
    assert failure.sent
    assert not failure.usage_final


async def test_an_error_without_a_text_or_with_an_odd_status_is_told_like_any(
    tmp_path: Path,
) -> None:
    assert (await failed(tmp_path, Completes(TimeoutError()))).message == "timeout"
    odd = Overloaded("full", status="529")  # type: ignore[arg-type]
    failure = await failed(tmp_path, Completes(odd))
    assert (failure.kind, failure.usage_final) == ("Overloaded", False)


async def test_its_errors_do_not_quote_the_prompt(tmp_path: Path) -> None:
    failure = await failed(tmp_path, Completes(ValueError("bad prompt: Say something.")))
    assert failure.message == "ValueError: bad prompt: [prompt]"


async def test_a_providers_error_is_left_as_it_is(tmp_path: Path) -> None:
    failure = await failed(tmp_path, Completes(RateLimited("slower", retry_after=7.0)))
    assert (failure.kind, failure.retry_after) == ("RateLimited", 7.0)


async def test_its_own_timeout_is_one(tmp_path: Path) -> None:
    failure = await failed(tmp_path, Completes(TimeoutError("too slow")))
    assert (failure.kind, failure.usage_final) == ("Timeout", False)


async def test_a_long_wait_for_the_limits_is_the_servers(tmp_path: Path) -> None:
    client = Completes()
    with pytest.raises(ApplicationError) as caught:
        await called(tmp_path, client, Waits(2.5))
    assert caught.value.type == "Throttled"
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay is not None
    assert caught.value.next_retry_delay.total_seconds() == 2.5
    assert client.models == []


async def test_a_short_wait_is_slept_off(tmp_path: Path) -> None:
    client, limiter = Completes(), Waits(0.02)
    began = asyncio.get_running_loop().time()
    await called(tmp_path, client, limiter)
    assert asyncio.get_running_loop().time() - began >= 0.02
    assert [key for key, _ in limiter.asked] == ["r1/a#1", "r1/a#1"]


async def test_the_limits_learn_what_was_used(tmp_path: Path) -> None:
    limiter = Waits()
    await called(tmp_path, Completes(), limiter)
    booked = limiter.asked[0][1]
    assert 50 < booked < 60
    assert limiter.calls == [(booked, 150)]


async def test_the_limits_learn_that_a_failed_call_has_ended(tmp_path: Path) -> None:
    limiter = Waits()
    await failed(tmp_path, Breaks(), limiter)
    assert limiter.calls == [(limiter.asked[0][1], None)]


async def test_a_call_that_can_never_pass_is_final_and_unsent(tmp_path: Path) -> None:
    client = Completes()
    failure = await failed(tmp_path, client, Waits(RouterError("larger than a limit")))
    assert (failure.kind, failure.retryable, failure.sent) == ("Unavailable", False, False)
    assert client.models == []
