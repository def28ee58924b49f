"""Long lists: slices in child runs, which together are what a short list is in the run itself."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from client.inner_runs import calls_under_way
from client.runs import Run
from contracts.messages import Usage
from contracts.plans import Plan
from contracts.runs import RunStatus
from contracts.teams import AgentStatus, ForEachSpec, ModelStep, WorkflowStatus
from contracts.updates import BudgetRaise, PauseRequest, RetryRequest
from providers.exceptions import AuthenticationFailed, StreamInterrupted
from rules.bounds import input_bound
from rules.prices import worst_case
from stores.values import load_value
from tests.support.harness import Harness, Open, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import GPT4, agent, plan, team
from tests.workflows.test_history import EVENTS_PER_CALL, FIXED_EVENTS, MOST_PAYLOAD, measure

pytestmark = pytest.mark.integration

LIST = {"items": {"type": "list"}}
EVENTS_PER_RUN, EVENTS_PER_SLICE = 60, 40


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


async def settled(script: Script) -> int:
    """Wait until no further call is made for two seconds; return how many were."""
    count = -1
    while count != script.count():
        count = script.count()
        await asyncio.sleep(2)
    return count


async def children(harness: Harness, run: Run) -> list[Run]:
    """Return the child runs that a run has had."""
    started = "child_workflow_execution_started_event_attributes"
    events = (await run.handle.fetch_history()).events
    ids = [
        getattr(e, started).workflow_execution.workflow_id for e in events if e.HasField(started)
    ]
    return [harness.runs.get(run_id) for run_id in ids]


async def test_501_items_are_two_child_runs_and_one_list(opened: Open) -> None:
    script = Script({f"rate[{n}]": [Say(f"answer {n}")] for n in range(501)})
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=20, max_parallel_agents=20), items(501))
        result = await run.wait()
        outputs, cost = await run.outputs(result), await run.cost()
        status, had = await run.status(), await children(running, run)
        sizes = [await measure(one) for one in (run, *had)]
    assert result.status is WorkflowStatus.COMPLETED
    assert outputs["rate"] == [f"answer {n}" for n in range(501)]
    assert len(had) == 2
    assert all(largest <= MOST_PAYLOAD for _, _, largest in sizes)
    assert sizes[0][0] <= EVENTS_PER_RUN + EVENTS_PER_SLICE * 2
    assert all(e <= FIXED_EVENTS + EVENTS_PER_CALL * calls for e, calls, _ in sizes[1:])
    assert script.most_in_flight <= 20
    prompts = [request.messages[0].content for _, _, request in script.requests]
    assert sorted(prompts) == sorted(f"Rate n{n}." for n in range(501))
    assert sorted(a.id for a in cost.attempts) == sorted(f"rate[{n}]#1" for n in range(501))
    assert cost.cost == sum(a.cost for a in cost.attempts) == 501 * Decimal("0.006")
    assert cost.by_step == {"rate": cost.cost}
    assert result.tokens == status.tokens == 501 * 150


LONG_PROMPT = "Rate {thing.name}. " + "Say why. " * 12
"""So long that the bound of its tokens covers the 100 that the script reports."""


def priced(**more: object) -> Plan:
    """Return a team of one step whose calls cost $0.006 and at most a little more."""
    spec = ForEachSpec(item="thing", in_="inputs.items", max_parallel=20, min_success=0)
    step = agent("rate", LONG_PROMPT, for_each=spec, max_retries=0)
    return plan(team(step, inputs=LIST, max_parallel_agents=20, **more))


@pytest.mark.slow
async def test_a_long_list_that_runs_again_asks_only_for_what_it_lacks(opened: Open) -> None:
    turns = {f"rate[{n}]": [Say(f"n{n}")] for n in range(501)}
    turns["rate[480]"] = [AuthenticationFailed("no such key"), Say("mended")]
    script = Script({**turns, "slow": [Say("keeps the run open", seconds=120)]})
    each = ForEachSpec(item="thing", in_="inputs.items", max_parallel=20)
    lists = agent("rate", "Rate {thing.name}.", for_each=each)
    made = plan(team(agent("slow"), lists, inputs=LIST, max_parallel_agents=22))
    async with opened(script) as running:
        run = await running.start(made, items(501))
        await until(run, lambda now: rating(now) is AgentStatus.FAILED)
        asked = script.count()
        await run.retry(RetryRequest(step="rate"))
        await until(run, lambda now: rating(now) is AgentStatus.COMPLETED)
        [step] = [one for one in await run.results() if one.agent_id == "rate"]
        cost, had = await run.cost(), await children(running, run)
        sizes = [await measure(one) for one in had]
        assert step.output is not None
        answers = await load_value(running.store, step.output)
        await run.cancel()
        await run.wait()
    assert answers == ["mended" if n == 480 else f"n{n}" for n in range(501)]
    assert asked > 300
    answered = [a.step for a in cost.attempts if a.outcome == "completed"]
    assert sorted(answered) == sorted(f"rate[{n}]" for n in range(501))
    assert script.count() <= 1 + 501 + 1 + 20
    assert all(largest <= MOST_PAYLOAD for _, _, largest in sizes)


def rating(status: RunStatus) -> AgentStatus | None:
    """Return how far the step over the list is."""
    return next((step.status for step in status.steps if step.name == "rate"), None)


@pytest.mark.slow
async def test_1200_items_keep_their_order_and_lose_what_failed(opened: Open) -> None:
    broken = {7, 399, 400, 1199}
    script = Script(
        {
            f"rate[{n}]": [AuthenticationFailed("no such key") if n in broken else Say(f"n{n}")]
            for n in range(1200)
        }
    )
    async with opened(script) as running:
        made = rated(max_parallel=30, max_parallel_agents=30, min_success=0.9)
        run = await running.start(made, items(1200))
        result = await run.wait()
        outputs, steps = await run.outputs(result), await run.results()
        had = await children(running, run)
    assert outputs["rate"] == [f"n{n}" for n in range(1200) if n not in broken]
    (step,) = steps
    assert step.status is AgentStatus.COMPLETED
    assert step.metadata["failed"] == len(broken)
    assert [entry["index"] for entry in step.metadata["failed_items"]] == sorted(broken)
    assert step.metadata["items"] == 1200
    assert len(had) == step.metadata["slices"] == 3


async def test_a_list_that_can_no_longer_succeed_is_stopped(opened: Open) -> None:
    script = Script({f"rate[{n}]": [AuthenticationFailed("no such key")] for n in range(50, 100)})
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=10, min_success=0.99), items(1200))
        result = await run.wait()
        (step,) = await run.results()
        cost = await run.cost()
    assert result.status is WorkflowStatus.FAILED
    assert step.status is AgentStatus.FAILED
    assert "min_success is 0.99; item 5" in str(step.error)
    assert 13 <= step.metadata["failed"] <= 13 + 20
    assert script.count() < 500
    asked = {f"{name}#1" for name, _, _ in script.requests}
    assert len(asked) == script.count()
    told = {attempt.id: attempt for attempt in cost.attempts}
    assert asked <= told.keys()
    # One that was stopped before it was sent is on the bill too, for nothing.
    stopped = [told[name] for name in told.keys() - asked]
    assert all(each.state == "released" and each.cost == 0 for each in stopped)
    assert cost.reserved == 0


async def test_a_cancelled_list_settles_what_was_in_flight(opened: Open) -> None:
    script = Script(default=Say("some words of an answer", seconds=0.4))
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=10), items(600))
        await until(run, lambda _: script.count() >= 60)
        await run.cancel()
        result = await run.wait()
        cost, steps = await run.cost(), await run.results()
        made = script.count()
        await asyncio.sleep(0.5)
    assert result.status is WorkflowStatus.CANCELLED
    assert steps[0].status is AgentStatus.CANCELLED
    assert script.count() == made
    assert sum(a.state != "released" for a in cost.attempts) == made  # those were never sent
    assert cost.cost == sum(a.cost for a in cost.attempts)
    assert cost.served < cost.cost
    assert {a.outcome for a in cost.attempts} == {"completed", "Stopped"}


@pytest.mark.slow
async def test_a_budget_for_half_of_a_list_pays_for_half(opened: Open) -> None:
    script = Script()
    async with opened(script) as running:
        cap = Decimal("0.006") * 300
        run = await running.start(priced(cost_budget=cap), items(600))
        result = await run.wait()
        outputs, cost, (step,) = await run.outputs(result), await run.cost(), await run.results()
    # The last call's worst case is a little more than its cost: 299 fit for certain.
    assert script.count() in (299, 300)
    assert len(outputs["rate"]) == script.count()
    assert cost.cost == script.count() * Decimal("0.006") <= cap
    assert step.metadata["failed"] == 600 - script.count()
    assert "raise cost_budget" in step.metadata["failed_items"][0]["error"]
    assert {request.max_tokens for _, _, request in script.requests} == {50}


@pytest.mark.slow
async def test_no_item_is_refused_while_there_is_money_for_it(opened: Open) -> None:
    script = Script(default=Say("an answer", usage=Usage(30, 2)))
    worst = worst_case(GPT4, input_bound(0, [len(LONG_PROMPT) + len("n519")]), 50)
    async with opened(script) as running:
        run = await running.start(priced(cost_budget=Decimal("0.3")), items(520))
        await run.wait()
        cost = await run.cost()
    # Eight times what a call costs is held for each, and nearly all of the budget is spent.
    assert Decimal("0.3") - worst < cost.cost <= Decimal("0.3")
    assert {request.max_tokens for _, _, request in script.requests[:-1]} == {50}
    assert cost.cost == script.count() * Decimal("0.00102")


@pytest.mark.slow
async def test_a_raised_budget_lets_a_paused_list_go_on(opened: Open) -> None:
    script = Script()
    async with opened(script) as running:
        made = priced(cost_budget=Decimal("0.6"), on_budget="pause")
        run = await running.start(made, items(520))
        status = await until(run, lambda status: status.paused_for is not None)
        before = await settled(script)
        await run.raise_budget(BudgetRaise(to=Decimal(10)))
        result = await run.wait()
        cost = await run.cost()
    assert "cost_budget 0.6" in str(status.paused_for)
    assert before in (99, 100)
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count() == len(cost.attempts) == 520
    assert cost.cost == 520 * Decimal("0.006")


@pytest.mark.slow
async def test_a_pause_reaches_the_child_runs(opened: Open) -> None:
    script = Script(default=Say("an answer", seconds=0.05))
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=10), items(520))
        await until(run, lambda _: script.count() >= 40)
        await run.pause(PauseRequest(paused=True))
        held = await settled(script)
        assert (await run.status()).paused_for is not None
        assert not await calls_under_way(run, await run.status())
        await run.pause(PauseRequest(paused=False))
        await until(run, lambda _: script.count() > held + 40)
        await run.cancel()
        await run.wait()
    assert 40 <= held < 520 - 40


@pytest.mark.slow
async def test_a_pause_holds_back_the_next_attempt_at_an_item(opened: Open) -> None:
    broken = Say("broken off in the midst", held=1, fails=StreamInterrupted("gone"))
    script = Script({"rate[0]": [broken, Say("whole")]})
    async with opened(script) as running:
        run = await running.start(rated(max_parallel=2), items(501))
        await until(run, lambda _: script.count("rate[0]") == 1)
        await run.pause(PauseRequest(paused=True))
        await settled(script)
        script.go.set()
        await asyncio.sleep(2)
        held = script.count("rate[0]")
        await run.pause(PauseRequest(paused=False))
        await until(run, lambda _: script.count("rate[0]") == 2)
        await run.cancel()
        await run.wait()
    assert held == 1


@pytest.mark.slow
async def test_two_lists_and_a_step_share_the_runs_slots(opened: Open) -> None:
    script = Script(default=Say("an answer", seconds=0.02))
    each = ForEachSpec(item="thing", in_="inputs.items", max_parallel=8)
    async with opened(script) as running:
        spec = team(
            agent("rate", "Rate {thing.name}.", for_each=each),
            agent("sum", "Add {thing.name}.", for_each=each),
            agent("first"),
            agent("second", "{first}", dependencies=("first",)),
            inputs=LIST,
            max_parallel_agents=6,
        )
        run = await running.start(plan(spec), items(501))
        notes = (await until(run, lambda status: "second" in _completed(status))).steps
        early = script.count()
        result = await run.wait()
        outputs, cost = await run.outputs(result), await run.cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert [len(outputs[name]) for name in ("rate", "sum")] == [501, 501]
    assert script.most_in_flight <= 6
    assert early < 900
    assert all("of 501 items" in str(step.note) for step in notes[:2])
    assert len({a.id for a in cost.attempts}) == len(cost.attempts) == 1004


def _completed(status: RunStatus) -> set[str]:
    return {step.name for step in status.steps if step.status is AgentStatus.COMPLETED}


async def test_more_than_100_000_items_are_refused(opened: Open) -> None:
    script = Script()
    async with opened(script) as running:
        run = await running.start(rated(), {"items": list(range(100_001))})
        await run.wait()
        (step,) = await run.results()
    assert "100,001 items, and 100,000 are the most" in str(step.error)
    assert script.count() == 0


@pytest.mark.slow
async def test_5000_items_of_many_sizes(opened: Open) -> None:
    """Shows what 100,000 come to: events and bytes grow with the slices, and with nothing else."""
    script = Script()
    many = [{"name": f"n{n}", "text": "x" * (n % 700)} for n in range(5000)]
    async with opened(script) as running:
        made = rated(max_parallel=50, max_parallel_agents=50)
        run = await running.start(made, {"items": many})
        result = await run.wait()
        outputs, had = await run.outputs(result), await children(running, run)
        sizes = [await measure(one) for one in (run, *had)]
        cost = await run.cost()
    print(sizes)
    assert len(outputs["rate"]) == len({a.id for a in cost.attempts}) == 5000
    assert len(had) == 10
    assert all(largest <= MOST_PAYLOAD for _, _, largest in sizes)
    assert sizes[0][0] <= EVENTS_PER_RUN + EVENTS_PER_SLICE * 10
    assert all(e <= FIXED_EVENTS + EVENTS_PER_CALL * calls for e, calls, _ in sizes[1:])
