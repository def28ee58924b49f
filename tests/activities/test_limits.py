"""An account's limits around `call_model`: asked before, told afterwards, however it ends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.clients import RegisteredClients
from activities.models import LIMITS_AWAY_S, CallModel
from contracts.calls import CallFailure, ModelCall, ModelReply
from contracts.messages import Usage
from contracts.plans import Candidate
from providers import exceptions
from providers.account_limits import AccountLimits, LimitsUnreachable
from providers.accounts import InProcessLimits
from providers.limits import NeverAdmitted
from providers.policy import Limits
from providers.spi import LLMClient
from stores.artifacts import ArtifactStore
from stores.spools import FileSpools
from tests.support.replies import replied
from tests.support.scripted import Say, Script, ScriptedClient
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.unit


class Recorded(AccountLimits):
    """Answers with these waits, and writes down what it is told."""

    def __init__(self, *waits: float | Exception) -> None:
        self.waits = list(waits)
        self.told: list[tuple[Any, ...]] = []

    async def admit(self, call: str, tokens: int) -> float:
        self.told.append(("admit", call, tokens))
        wait = self.waits.pop(0) if self.waits else 0.0
        if isinstance(wait, Exception):
            raise wait
        return wait

    async def ended(self, call: str, used: int | None) -> None:
        self.told.append(("ended", call, used))

    async def give_back(self, call: str) -> None:
        self.told.append(("give_back", call))

    async def aclose(self) -> None:
        self.told.append(("aclose",))


class Scripted(RegisteredClients):
    """The worker's clients, with a scripted provider in place of the vendors'."""

    def __init__(self, script: Script, limits: AccountLimits) -> None:
        super().__init__({"scripted": limits})
        self.script = script

    def client(self, candidate: Candidate) -> LLMClient:
        return ScriptedClient(self.script, candidate.model)


class Bench:
    """One activity, a script and the limits of its provider."""

    def __init__(self, folder: Path, limits: AccountLimits, *turns: Say | Exception) -> None:
        self.script = Script({"a": list(turns)} if turns else {})
        self.store = ArtifactStore.open(str(folder / "artifacts"))
        clients = Scripted(self.script, limits)
        self.work = CallModel(self.store, FileSpools(folder / "spools"), clients)

    async def call(self, attempt: int = 1, environment: ActivityEnvironment | None = None,
                   **more: Any) -> ModelReply:  # fmt: skip
        environment = environment or ActivityEnvironment()
        environment.payload_converter = pydantic_data_converter.payload_converter
        values = {
            "run_id": "r1", "unit": "a", "plan": await self.store.put_json(plan(team(agent("a")))),
            "step": "a", "attempt": attempt, "candidate": 0, "max_tokens": 50,
            "input_bound": 1000, "timeout": 5, "first_token_timeout": 5, "idle_timeout": 5, **more,
        }  # fmt: skip
        call = ModelCall.model_validate(values)
        return await replied(environment, self.work.call_model, call, ModelReply)

    async def fail(self, **more: Any) -> CallFailure:
        with pytest.raises(ApplicationError) as caught:
            await self.call(**more)
        failure: CallFailure = caught.value.details[0]
        return failure


async def test_the_limits_are_asked_once_and_told_the_true_usage(tmp_path: Path) -> None:
    limits = Recorded()
    await Bench(tmp_path, limits).call()
    (asked, call, booked), ended = limits.told
    assert (asked, call) == ("admit", "r1/a#1")
    assert 50 < booked < 60
    assert ended == ("ended", "r1/a#1", 150)


async def test_a_long_wait_is_the_servers_and_keeps_the_booking(tmp_path: Path) -> None:
    limits = Recorded(2.5)
    bench = Bench(tmp_path, limits)
    with pytest.raises(ApplicationError) as caught:
        await bench.call()
    assert caught.value.type == "Throttled"
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay is not None
    assert caught.value.next_retry_delay.total_seconds() == 2.5
    assert [told[0] for told in limits.told] == ["admit"]
    assert bench.script.count() == 0


async def test_limits_that_cannot_be_asked_let_nothing_through(tmp_path: Path) -> None:
    limits = Recorded(LimitsUnreachable("Redis at host (CALLBOARD_REDIS_URL) failed"))
    bench = Bench(tmp_path, limits)
    with pytest.raises(ApplicationError, match="CALLBOARD_REDIS_URL") as caught:
        await bench.call()
    assert caught.value.type == "Throttled"
    assert not caught.value.non_retryable
    assert caught.value.next_retry_delay is not None
    assert caught.value.next_retry_delay.total_seconds() == LIMITS_AWAY_S
    assert bench.script.count() == 0


async def test_D22_a_call_that_can_never_pass_is_final_and_unsent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Recorded(NeverAdmitted("larger than tokens_per_minute")))
    failure = await bench.fail()
    assert (failure.kind, failure.retryable, failure.sent) == ("Unavailable", False, False)
    assert bench.script.count() == 0


@pytest.mark.parametrize(
    "turn",
    [
        exceptions.RateLimited("slower", status=429),
        exceptions.ServerFailed("broke", usage=Usage(10, 5)),
        Say("one two", fails=exceptions.StreamInterrupted("cut", usage=Usage(100, 2))),
        Say("no usage", usage=None, finish=None),
    ],
    ids=["429", "500", "cut", "no end"],
)
async def test_a_failed_call_is_told_to_have_ended(tmp_path: Path, turn: Say | Exception) -> None:
    """What it used is not known: the booking goes on counting, the slot is free."""
    limits = Recorded()
    await Bench(tmp_path, limits, turn).fail()
    assert limits.told[1:] == [("ended", "r1/a#1", None)]


async def test_a_cancelled_call_is_told_to_have_ended(tmp_path: Path) -> None:
    limits = Recorded()
    bench = Bench(tmp_path, limits, Say("one two three", seconds=20))
    environment = ActivityEnvironment()
    running = asyncio.create_task(bench.call(environment=environment))
    while bench.script.in_flight == 0:
        await asyncio.sleep(0.01)
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(ApplicationError, match="cancelled"):
        await asyncio.wait_for(running, 30)
    assert limits.told[1:] == [("ended", "r1/a#1", None)]


async def test_a_call_that_is_cancelled_while_it_waits_gives_back(tmp_path: Path) -> None:
    limits = Recorded(*[0.04] * 1000)
    bench = Bench(tmp_path, limits)
    environment = ActivityEnvironment()
    running = asyncio.create_task(bench.call(environment=environment))
    while len(limits.told) < 2:
        await asyncio.sleep(0.01)
    environment.cancel(ActivityCancellationDetails(cancel_requested=True))
    with pytest.raises(ApplicationError):
        await asyncio.wait_for(running, 30)
    assert limits.told[-1] == ("give_back", "r1/a#1")
    assert bench.script.count() == 0


async def test_a_request_that_is_not_sent_asks_for_nothing(tmp_path: Path) -> None:
    limits = Recorded()
    failure = await Bench(tmp_path, limits).fail(input_bound=1)
    assert not failure.sent
    assert limits.told == []


async def test_real_limits_stop_the_second_call_and_let_it_in_after_the_first(
    tmp_path: Path,
) -> None:
    limits = InProcessLimits(Limits(concurrency=1))
    bench = Bench(tmp_path, limits, Say("slow and whole", held=1))
    first = asyncio.create_task(bench.call(1))
    while bench.script.in_flight == 0:
        await asyncio.sleep(0.01)
    with pytest.raises(ApplicationError, match="leave room in"):
        await bench.call(2)
    bench.script.go.set()
    await first
    await bench.call(2)
    assert bench.script.most_in_flight == 1


async def test_other_providers_have_no_limits(tmp_path: Path) -> None:
    clients = RegisteredClients({"openai": Recorded(9.0)})
    made = plan(team(agent("a"))).candidates[0]
    assert await clients.admit("x", made, 10) == 0.0
    await clients.ended("x", made, 10)
    await clients.give_back("x", made)


async def test_limits_are_closed_with_the_clients(tmp_path: Path) -> None:
    limits = Recorded()
    await RegisteredClients({"openai": limits}).aclose()
    assert limits.told == [("aclose",)]
