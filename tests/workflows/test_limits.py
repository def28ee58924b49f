"""A policy's limits in real runs on a real server: kept, in order, at no cost of history."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType

from activities.clients import RegisteredClients
from contracts.messages import ChatChunk, ChatRequest
from contracts.plans import Candidate, Plan
from contracts.teams import AgentStatus, WorkflowStatus
from providers.account_limits import AccountLimits
from providers.accounts import InProcessLimits
from providers.policy import Limits
from providers.redis_limits import RedisServer
from providers.spi import LLMClient
from tests.support.harness import harness
from tests.support.redis import running_redis
from tests.support.scripted import Say, Script, ScriptedClient
from tests.support.server import LocalServer
from tests.support.teams import agent, candidate, plan, team
from tests.support.windows import Made, broken

pytestmark = pytest.mark.integration


class Timed(ScriptedClient):
    """Notes when each request came."""

    def __init__(self, script: Script, model: str, times: list[float]) -> None:
        super().__init__(script, model)
        self._times = times

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        self._times.append(time.monotonic())
        async for chunk in super().stream(req):
            yield chunk


class Limited(RegisteredClients):
    """The worker's clients, with a scripted provider; counts how often a call asks."""

    def __init__(self, script: Script, limits: AccountLimits) -> None:
        super().__init__({"scripted": limits})
        self.script, self.times = script, list[float]()
        self.asked: Counter[str] = Counter()

    def client(self, candidate: Candidate) -> LLMClient:
        return Timed(self.script, candidate.model, self.times)

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        wait = await super().admit(call, candidate, tokens)
        if wait == 0 or wait > 0.05:  # a shorter one is waited for on the spot
            self.asked[call] += 1
        return wait


def many(count: int) -> Plan:
    steps = [agent(f"a{number}") for number in range(count)]
    return plan(team(*steps, max_parallel_agents=count))


RATE = Limits(requests_per_minute=120, tokens_per_minute=10**6, burst=0.01)


async def test_D20_a_policys_limit_holds_in_a_run_and_costs_no_attempt(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("Yes."))
    clients = Limited(script, InProcessLimits(RATE))
    async with harness(server.address, tmp_path, script, clients=clients) as made:
        run = await made.start(many(16))
        result = await asyncio.wait_for(run.wait(), 60)
        cost = await run.cost()
        history = await made.client.get_workflow_handle(run.run_id).fetch_history()
    assert result.status is WorkflowStatus.COMPLETED
    times = sorted(clients.times)
    assert len(times) == 16
    assert times[15] - times[0] > 6 * 62 / 120 - 0.3, "ten at once, six evenly"
    assert broken([Made(at, 55) for at in times], RATE) == []
    assert max(clients.asked.values()) == 2
    assert sum(asks == 2 for asks in clients.asked.values()) == 6
    assert [attempt.number for attempt in cost.attempts] == [1] * 16
    kinds = Counter(event.event_type for event in history.events)
    assert kinds[EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED] == 0


async def test_a_cancelled_runs_turns_are_free_for_others_at_once(
    server: LocalServer, tmp_path: Path
) -> None:
    """Six wait for theirs, the last for half a minute: another run need not."""
    script = Script(default=Say("Yes."))
    limits = InProcessLimits(Limits(requests_per_minute=12, burst=0.01))
    clients = Limited(script, limits)
    async with harness(server.address, tmp_path, script, clients=clients) as made:
        run = await made.start(many(16))
        async with asyncio.timeout(30):
            while len(clients.asked) < 16:
                await asyncio.sleep(0.05)
        await run.cancel()
        result = await run.wait()
        status = await run.status()
        wait = await limits.admit("another", 1)
    assert result.status is WorkflowStatus.CANCELLED
    assert (status.reserved, status.uncertain) == (0, 0)
    assert wait < 6


async def test_open_requests_are_bounded_over_workers_that_share_a_redis(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("one two three", held=1))
    limits = Limits(concurrency=2)
    with running_redis(tmp_path / "redis") as url:
        shared = RedisServer(url).limits("scripted", limits)
        clients = Limited(script, shared)
        async with harness(server.address, tmp_path, script, clients=clients) as made:
            run = await made.start(many(8))
            while script.in_flight < 2:
                await asyncio.sleep(0.02)
            script.go.set()
            result = await asyncio.wait_for(run.wait(), 60)
        await clients.aclose()
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count() == 8
    assert script.most_in_flight == 2


async def test_D22_a_call_that_can_never_pass_ends_at_once(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script()
    clients = Limited(script, InProcessLimits(Limits(tokens_per_minute=40)))
    async with harness(server.address, tmp_path, script, clients=clients) as made:
        result, steps = await made.run(many(1))
    assert result.status is WorkflowStatus.FAILED
    assert steps["a0"].status is AgentStatus.FAILED
    assert "tokens_per_minute is 40" in (steps["a0"].error or "")
    assert script.count() == 0


async def test_what_can_never_pass_here_goes_to_the_next_candidate(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script()
    clients = Limited(script, InProcessLimits(Limits(tokens_per_minute=40)))
    made_plan = plan(team(agent("a0")), candidate(), candidate("other"))
    names = ("scripted", "other")
    async with harness(server.address, tmp_path, script, names, clients) as made:
        result, _ = await made.run(made_plan)
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count() == 1


async def test_a_run_outlasts_a_redis_that_is_away(server: LocalServer, tmp_path: Path) -> None:
    script = Script()
    with running_redis(tmp_path / "redis") as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
    clients = Limited(script, RedisServer(url).limits("scripted", Limits(concurrency=2)))
    async with harness(server.address, tmp_path, script, clients=clients) as made:
        run = await made.start(many(1))
        description = made.client.get_workflow_handle(run.run_id)
        async with asyncio.timeout(30):
            while True:
                pending = (await description.describe()).raw_description.pending_activities
                if pending and "CALLBOARD_REDIS_URL" in pending[0].last_failure.message:
                    break
                await asyncio.sleep(0.05)
        assert script.count() == 0
        with running_redis(tmp_path / "redis", port):
            result = await asyncio.wait_for(run.wait(), 30)
            await clients.aclose()
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count() == 1
