"""Executions under a budget: nothing is sent that it does not hold, and what was spent is told."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APICall,
    APIHandler,
    CachePlan,
    CallSettings,
    ExecutionPlan,
    Failure,
    FilePlaceholder,
    FinalizedCommand,
    OptionsError,
    ResultBuilder,
    TextPart,
    describe_file,
    plan_execution,
)
from contracts.messages import Usage
from contracts.prices import Price, Rate
from providers.exceptions import InvalidRequest, RateLimited, StreamInterrupted
from rules import bounds, prices
from tests.execution.fakes import CachingClient, FakeClient, Waits

pytestmark = pytest.mark.unit

PRICE = Price(
    model="m",
    input=Rate(base=Decimal(1_000)),
    output=Rate(base=Decimal(2_000)),
    cached_input=Rate(base=Decimal(100)),
    cache_storage=Rate(base=Decimal(3_600)),
    source="tests",
    version="1",
)
QUESTION = TextPart(text="Why?")
BOUND = bounds.input_bound(len("Why?"), ())


def plan(calls: int = 1, *, most: int | None = 50, **more: Any) -> ExecutionPlan:
    settings = CallSettings(max_tokens=most)
    call = APICall(model="m", parts=(QUESTION,), settings=settings)
    return ExecutionPlan(calls=(call,) * calls, **more)


def worst(tokens: int = 50) -> Decimal:
    return prices.worst_case(PRICE, BOUND, tokens)


async def handle(client: object, made: ExecutionPlan, **more: Any) -> FinalizedCommand | Failure:
    more.setdefault("price", lambda *_: PRICE)
    more.setdefault("sleep", Waits().sleep)
    return await APIHandler(client, dice=lambda: 0.0, **more).handle(made)


async def test_what_was_spent_is_what_the_vendor_reported() -> None:
    done = await handle(FakeClient(usage=Usage(20, 30)), plan(budget=Decimal(1)))
    assert done.spent is not None
    assert done.spent.cost == done.spent.served == Decimal("0.08")
    assert (done.spent.uncertain, done.spent.budget) == (0, 1)
    assert ResultBuilder().handle(done).spent == done.spent
    assert (await handle(FakeClient(), plan())).spent is None


async def test_nothing_is_sent_that_the_budget_does_not_hold() -> None:
    client = FakeClient()
    done = await handle(client, plan(), budget="0.05")
    assert isinstance(done, Failure)
    assert done.message == (
        "budget 0.05: 0 is spent, the next call on m may cost 0.128 (at most 28 input tokens); "
        "raise budget"
    )
    assert done.primary is not None
    assert done.primary.kind == "BudgetExceeded"
    assert client.requests == []
    assert done.spent is not None
    assert done.spent.cost == 0


async def test_max_tokens_is_lowered_to_what_can_be_paid() -> None:
    client = FakeClient(usage=Usage(20, 300))
    done = await handle(client, plan(most=10_000, budget=worst(700)))
    assert isinstance(done, FinalizedCommand)
    assert client.requests[0].max_tokens == 700
    too_little = await handle(client, plan(most=10_000, budget=worst(255)))
    assert isinstance(too_little, Failure)
    assert len(client.requests) == 1


async def test_a_call_without_max_tokens_is_sent_with_the_default() -> None:
    client = FakeClient()
    await handle(client, plan(most=None, budget=Decimal(100)))
    assert client.requests[0].max_tokens == 4_096


async def test_calls_wait_for_the_money_that_others_give_back() -> None:
    client = FakeClient(usage=Usage(10, 10), seconds=0.01)
    done = await handle(client, plan(5, budget=worst() + 4 * Decimal("0.03")))
    assert isinstance(done, FinalizedCommand)
    assert [result.failure for result in done.results] == [None] * 5
    assert client.most_open == 1
    assert done.spent is not None
    assert done.spent.cost == 5 * Decimal("0.03")


async def test_who_can_never_be_paid_is_told_so_when_the_others_have_ended() -> None:
    client = FakeClient(usage=Usage(20, 50), seconds=0.01)
    done = await handle(client, plan(3, budget=2 * worst()))
    assert isinstance(done, FinalizedCommand)
    failures = [result.failure for result in done.results]
    assert [failure is None for failure in failures] == [True, True, False]
    assert failures[2] is not None
    assert "0.24 is spent" in failures[2].message
    assert len(client.requests) == 2


async def test_a_cut_stream_counts_with_all_that_was_held() -> None:
    cut = StreamInterrupted("cut", usage=Usage(20, 5, estimated=True))
    done = await handle(FakeClient(cut, "An answer.", usage=Usage(20, 30)), plan(budget=Decimal(1)))
    assert done.spent is not None
    assert done.spent.cost == worst() + Decimal("0.08")
    assert done.spent.served == Decimal("0.03") + Decimal("0.08")


async def test_refused_retries_cost_nothing() -> None:
    busy = RateLimited("busy", status=429)
    done = await handle(FakeClient(busy, busy, "An answer."), plan(budget=Decimal(1)))
    assert done.spent is not None
    assert done.spent.cost == Decimal("0.2")


async def test_the_fallback_is_paid_from_the_same_budget_at_its_own_price() -> None:
    cheap = PRICE.model_copy(update={"model": "cheap", "output": Rate(base=Decimal(0))})
    made = plan(budget=worst() - Decimal("0.001"))
    second = plan().model_copy(update={"provider": "other"})
    made = made.model_copy(update={"fallback": second})
    main, other = FakeClient(), FakeClient("From the other.", usage=Usage(20, 30))
    done = await handle(
        main,
        made,
        providers={"other": other},
        price=lambda provider, _: cheap if provider == "other" else PRICE,
    )
    assert isinstance(done, FinalizedCommand)
    assert (done.used_fallback, len(main.requests), len(other.requests)) == (True, 0, 1)
    assert done.spent is not None
    assert done.spent.cost == Decimal("0.02")


class CountingClient(CachingClient):
    """Says how large its caches are."""

    async def create_cache(self, req: Any, ttl_s: float) -> str:
        from providers.spi import CacheName

        return CacheName(await super().create_cache(req, ttl_s), 10)


def cached(**more: Any) -> ExecutionPlan:
    return plan(shared_parts=(TextPart(text="The book."),), **more)


async def test_a_cache_is_paid_for_what_it_holds_and_for_its_time() -> None:
    client = CountingClient(usage=Usage(20, 30, cached_tokens=10))
    made = cached(cache=CachePlan(keep=True, ttl_s=7_200), budget=Decimal(10))
    done = await handle(client, made)
    assert done.spent is not None
    answer = Decimal("0.010") + Decimal("0.001") + Decimal("0.06")
    assert done.spent.cost == answer + Decimal("0.01") + 20 * Decimal("0.0036")
    short = await handle(
        CountingClient(usage=Usage(20, 30, cached_tokens=10)),
        cached(cache=CachePlan(keep=False, ttl_s=7_200), budget=Decimal(10)),
    )
    assert short.spent is not None
    assert short.spent.cost == answer + Decimal("0.01") + Decimal("0.0036")  # an hour's part


async def test_a_cache_that_the_budget_cannot_hold_is_left_out() -> None:
    client = CountingClient()
    done = await handle(client, cached(cache=CachePlan(), budget=Decimal("0.15")))
    assert isinstance(done, FinalizedCommand)
    assert client.caches == []
    assert "no cache is made: the budget cannot hold it now" in done.diagnostics


async def test_a_cache_that_was_refused_costs_nothing() -> None:
    client = CountingClient(cache_fails=[InvalidRequest("too small", status=400)])
    done = await handle(client, cached(cache=CachePlan(), budget=Decimal(10)))
    assert done.spent is not None
    assert done.spent.cost == Decimal("0.2")


async def test_a_file_counts_with_its_bound(tmp_path: Path) -> None:
    paper = tmp_path / "paper.txt"
    paper.write_text("x" * 1_000)
    made = plan(budget=Decimal("3"))
    call = made.calls[0].model_copy(update={"parts": (QUESTION, FilePlaceholder(index=0))})
    made = made.model_copy(update={"calls": (call,), "files": (describe_file(paper),)})
    client = FakeClient()
    done = await handle(client, made)  # 3,000 tokens of text and 1,024 of its name
    assert isinstance(done, Failure)
    assert "at most 4,052 input tokens" in done.message
    assert client.requests == []


async def test_it_is_said_before_anything_is_sent() -> None:
    client = FakeClient()
    with pytest.raises(OptionsError, match="no price is known for model 'm' of provider 'fake'"):
        await handle(client, plan(budget=Decimal(1)), price=lambda *_: None)
    for wrong in ("much", 0, "-1", "NaN"):
        with pytest.raises(OptionsError, match="budget"):
            APIHandler(client, budget=wrong)
    with pytest.raises(OptionsError, match="budget"):
        plan_execution([], "Why?", model="m", budget=0)
    assert plan_execution([], "Why?", model="m", budget=2).budget == 2


async def test_a_cancelled_call_leaves_the_queue() -> None:
    client = FakeClient(usage=Usage(20, 50), seconds=30)
    work = asyncio.create_task(handle(client, plan(2, budget=2 * worst() - Decimal("0.001"))))
    await asyncio.sleep(0.05)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert len(client.requests) == 1
