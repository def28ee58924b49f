"""Money before and after: no run costs more than its plan said, and every bill adds up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from activities.clients import RegisteredClients
from client.cli.bills import load_bill
from client.runs import Run
from contracts.base import Json
from contracts.plans import Candidate, Plan
from contracts.prices import Rate
from contracts.retry import RetryRule
from contracts.teams import (
    ApprovalStep,
    ForEachSpec,
    OutputSpec,
    RepeatSpec,
    SetStep,
    StepSpec,
    TeamSpec,
    TeamStep,
    WorkflowStatus,
)
from contracts.updates import Answer, BudgetRaise, RetryRequest
from providers.exceptions import AuthenticationFailed
from rules.billing import Bill, all_lines, calls, differences
from rules.estimates import Estimate, estimate
from rules.foresight import Given
from tests.support.harness import Harness, Open, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import AT_ONCE, GPT4, agent, candidate, plan, team

pytestmark = pytest.mark.integration

TEXT = "Bees live in hives. Bees make honey. Ants dig. Wasps sting. " * 20
SCORE = OutputSpec(
    kind="json",
    schema_={
        "type": "object",
        "required": ["score", "why"],
        "properties": {"score": {"type": "number"}, "why": {"type": "string"}},
    },
    repairs=2,
)


def simulated(model: str = "gpt-4", dearer: int = 1, **faults: Any) -> Candidate:
    """A candidate of the simulator, at a multiple of gpt-4's price, with cache rates of its own."""
    price = GPT4.model_copy(
        update={
            "output": Rate(base=GPT4.output.base * dearer),
            "cache_write": Rate(base=Decimal("37.5")),
        }
    )
    options = {"tokens_per_second": 0, "first_token_s": 0, **faults}
    return candidate("simulated", model).model_copy(update={"price": price, "options": options})


def fault(kind: str, agent_name: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "agent": agent_name, **more}


def asked(name: str, prompt: str, **more: Any) -> StepSpec:
    return agent(name, prompt, llm_config={"max_tokens": 120}, **more)


def readers() -> tuple[TeamSpec, list[dict[str, Any]]]:
    """Two candidates; the first is refused, cut and throttled."""
    spec = team(
        asked("a", "List three points about: {text}"),
        asked("b", "List two points about: {text}", on_interrupt="continue"),
        asked("c", "Repeat two points of {a} {b}", dependencies=("a", "b")),
        inputs={"text": {"type": "text"}},
    )
    return spec, [
        fault("auth", "a", model="gpt-4"),
        fault("cut", "b", times=2),
        fault("rate_limit", "c", times=1, retry_after=0.01),
        fault("no_usage", "c", times=1),
    ]


def rounds() -> tuple[TeamSpec, list[dict[str, Any]]]:
    """A memo and its judge, three rounds, an answer that does not fit in between."""
    memo = asked(
        "memo",
        "Write three points on {text} {judge.why?}",
        repeat=RepeatSpec(until="agents.judge.output.score > 99.0", max=3, with_=("judge",)),
    )
    judge = asked("judge", "Score from 0 to 10: {memo}", dependencies=("memo",), output=SCORE)
    spec = team(memo, judge, inputs={"text": {"type": "text"}})
    return spec, [fault("wrong_json", "judge", times=2), fault("cut", "memo", times=1)]


def lists() -> tuple[TeamSpec, list[dict[str, Any]]]:
    """A step for each item of an input's part, one after it for each of what was picked."""
    each = ForEachSpec(item="thing", in_="inputs.things.filter(t, t.size > 1)")
    again = ForEachSpec(item="point", in_="agents.rate.output")
    spec = team(
        SetStep(name="first", expression="inputs.things.map(t, t.name)"),
        asked("rate", "Say two points about {thing.name} in {text}", for_each=each),
        asked("more", "Repeat {point} for {first}", for_each=again, dependencies=("rate", "first")),
        inputs={"text": {"type": "text"}, "things": {"type": "list"}},
    )
    return spec, [fault("cut", "rate*", times=2), fault("server_error", "more*", times=2)]


CASES = {"readers": readers, "rounds": rounds, "lists": lists}
INPUTS: Mapping[str, Json] = {
    "text": TEXT,
    "things": [{"name": f"insect {n}", "size": n} for n in range(4)],
}


@contextlib.asynccontextmanager
async def simulator(server: LocalServer, folder: Path) -> AsyncIterator[Harness]:
    opened = harness(server.address, folder, Script(), ("simulated",), RegisteredClients())
    async with opened as running:
        yield running


def foreseen(spec: Plan, inputs: Mapping[str, Json]) -> Estimate:
    return estimate(spec, {name: Given.of(value) for name, value in inputs.items()})


async def billed(run: Run) -> Bill:
    """Return a run's bill, which recomputes and adds up in every form."""
    bill = await load_bill(run)
    assert differences(bill) == []
    assert sum(line.attempt.cost for line in bill.lines) == bill.cost.cost
    assert sum(line.attempt.cost for line in calls(bill)) == bill.cost.cost
    return bill


@pytest.mark.parametrize("case", CASES)
async def test_no_simulated_run_costs_more_than_its_plan_said(
    case: str, server: LocalServer, tmp_path: Path
) -> None:
    spec, faults = CASES[case]()
    candidates = (simulated(faults=faults), simulated("gpt-4-turbo", 2, faults=faults))
    planned = plan(spec, *candidates, retry=RetryRule(max_retries=2, base_delay=0, jitter=False))
    inputs = {name: value for name, value in INPUTS.items() if name in spec.inputs}
    guess = foreseen(planned, inputs)
    async with simulator(server, tmp_path) as running:
        run = await running.start(planned, inputs)
        result = await run.wait()
        bill = await billed(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert {line.attempt.outcome for line in bill.lines} != {"completed"}, "no fault was met"
    assert Decimal(0) < bill.cost.cost <= guess.most < spec.cost_budget
    for step in guess.steps:
        assert step.most is not None
        assert bill.cost.by_step[step.name] <= step.most
        mine = [line for line in bill.lines if line.attempt.step.startswith(step.name)]
        assert step.items is not None
        assert len(mine) <= step.attempts * step.rounds * step.items
        for line in mine:
            assert line.attempt.input_bound <= (step.tokens.prompt_most or 0) or len(mine) > 1
            assert line.attempt.reserved <= step.most


def inner_team() -> TeamSpec:
    return team(
        agent("inner", "About {topic}"),
        agent("after", "And {inner}", dependencies=("inner",), priority=9),
        name="sub",
        inputs={"topic": {"type": "text"}},
        outputs={"answer": "<{after}>"},
    )


def sub_step(**more: Any) -> TeamStep:
    inputs: dict[str, Json] = {"topic": "{a}"}
    return TeamStep(name="sub", file="sub.yaml", inputs=inputs, dependencies=("a",), **more)


async def test_a_team_within_a_team_is_foreseen_and_billed(opened: Open) -> None:
    outer = team(agent("a"), sub_step(), agent("b", "{sub.answer}", dependencies=("sub",)))
    planned = plan(outer, children={"sub": plan(inner_team())})
    guess = foreseen(planned, {})
    async with opened(Script()) as running:
        run = await running.start(planned)
        await run.wait()
        bill = await billed(run)
    assert [line.name for line in all_lines(bill)] == [
        *("a#1", "sub#1", "sub/inner#1", "sub/after#1", "b#1")
    ]
    inner = bill.lines[1].inner
    assert inner is not None
    assert inner.cost.cost == bill.lines[1].attempt.cost == Decimal("0.012")
    assert [line.name for line in calls(bill)] == ["a#1", "sub/inner#1", "sub/after#1", "b#1"]
    assert bill.cost.cost <= guess.most
    sub = guess.steps[1]
    assert sub.team is not None
    assert sub.most is not None
    assert inner.cost.cost <= sub.most <= Decimal(1)


@pytest.mark.slow
async def test_each_round_of_a_team_has_its_own_run_and_line(opened: Open) -> None:
    head = agent("a", repeat=RepeatSpec(until="false", max=2, with_=("sub",)))
    planned = plan(team(head, sub_step()), children={"sub": plan(inner_team())})
    async with opened(Script()) as running:
        run = await running.start(planned)
        await run.wait()
        bill = await billed(run)
    lines = {line.name: line for line in bill.lines}
    assert {"sub#1", "sub#2"} <= set(lines)
    inner = lines["sub#2"].inner
    assert inner is not None
    assert inner.run_id == f"{run.run_id}/sub-2"
    assert [line.name for line in inner.lines] == ["sub-2/inner#1", "sub-2/after#1"]
    assert bill.cost.cost == Decimal("0.036")
    assert bill.cost.cost <= foreseen(planned, {}).most


async def test_a_team_that_failed_and_runs_again_is_billed_twice(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script({"after": [AuthenticationFailed("no"), Say("fine")]})
    last = agent("b", "{sub.answer}", dependencies=("sub",))
    hold = ApprovalStep(name="hold", ask="Done?")
    outer = team(agent("a"), sub_step(), last, hold, name="outer")
    planned = plan(outer, children={"sub": plan(inner_team(), retry=AT_ONCE)})
    async with harness(server.address, tmp_path, script, cached_workflows=10) as running:
        run = await running.start(planned)
        await until(run, "sub", "failed")
        failed = next(step for step in (await run.status()).steps if step.name == "sub")
        assert "after: AuthenticationFailed: no" in (failed.note or "")
        await run.retry(RetryRequest(step="sub"))
        await until(run, "b", "completed")
        await run.answer(Answer(step="hold", choice="approve"))
        result = await run.wait()
        bill = await billed(run)
    assert result.status is WorkflowStatus.COMPLETED
    assert [line.attempt.outcome for line in bill.lines if line.is_sum] == ["failed", "completed"]
    assert [line.name for line in calls(bill) if line.run_id != run.run_id] == [
        *("sub/inner#1", "sub/after#1", "sub-2/inner#1", "sub-2/after#1")
    ]


async def until(run: Run, step: str, wanted: str) -> None:
    for _ in range(400):
        status = {s.name: s.status.value for s in (await run.status()).steps}
        if status.get(step) == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(status)


async def test_usage_that_nobody_reported_is_at_most_its_reservation(opened: Open) -> None:
    script = Script({"a": [Say("half an", usage=None, finish=None), Say("whole")]})
    async with opened(script) as running:
        hold = ApprovalStep(name="hold", ask="Done?", dependencies=("a",))
        run = await running.start(plan(team(agent("a"), hold)))
        await waiting(run, "Done?")
        known = [(await run.status()).uncertain]
        await run.answer(Answer(step="hold", choice="approve"))
        await run.wait()
        known.append((await run.status()).uncertain)
        bill = await billed(run)
    assert known == [bill.cost.uncertain] * 2, "while it goes on, and in the end"
    first = bill.lines[0]
    assert first.attempt.state == "uncertain"
    assert first.attempt.cost == first.reserved > first.served
    assert bill.cost.uncertain == first.attempt.cost - first.attempt.served


async def test_a_team_keeps_to_its_own_budget_where_it_is_granted_more(opened: Open) -> None:
    """Each of its calls costs 0.006; its step grants a dollar."""
    inner = inner_team().model_copy(update={"cost_budget": Decimal("0.0100")})
    planned = plan(team(agent("a"), sub_step()), children={"sub": plan(inner)})
    guess = foreseen(planned, {})
    async with opened(Script()) as running:
        run = await running.start(planned)
        await run.wait()
        bill = await billed(run)
    assert guess.steps[1].most == Decimal("0.0100")
    assert bill.cost.cost == Decimal("0.012")


async def test_what_a_team_is_not_sure_of_its_run_is_not_sure_of_either(opened: Open) -> None:
    script = Script({"inner": [Say("half an", usage=None, finish=None), Say("whole")]})
    children = {"sub": plan(inner_team(), retry=AT_ONCE)}
    planned = plan(team(agent("a"), sub_step()), children=children)
    async with opened(script) as running:
        run = await running.start(planned)
        result = await run.wait()
        bill = await billed(run)
    inner = bill.lines[1].inner
    assert inner is not None
    assert inner.cost.uncertain > 0
    assert bill.cost.uncertain == inner.cost.uncertain == result.uncertain
    assert bill.cost.served == inner.cost.served + Decimal("0.006")
    assert bill.lines[1].attempt.served < bill.lines[1].attempt.cost


async def test_a_team_within_a_team_is_not_given_more_than_its_step_has(
    server: LocalServer, tmp_path: Path
) -> None:
    """What a person adds to the inner run would be spent beyond the outer one's budget."""
    script = Script({"inner": [Say("in the midst of it", held=1)]})
    planned = plan(team(agent("a"), sub_step()), children={"sub": plan(inner_team())})
    async with harness(server.address, tmp_path, script, cached_workflows=10) as running:
        run = await running.start(planned)
        while script.count("inner") == 0:
            await asyncio.sleep(0.02)
        inner = running.runs.get(f"{run.run_id}/sub")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await inner.raise_budget(BudgetRaise(to=Decimal(50)))
        assert "step of another, which gave it 1" in str(refused.value.cause)
        script.go.set()
        await run.wait()


async def test_a_run_pauses_where_nothing_is_left_for_a_team(
    server: LocalServer, tmp_path: Path
) -> None:
    spec = team(
        agent("a", llm_config={"max_tokens": 50}),
        sub_step(),
        cost_budget=Decimal("0.006"),
        on_budget="pause",
    )
    planned = plan(spec, candidate(), children={"sub": plan(inner_team())})
    async with harness(server.address, tmp_path, Script(), cached_workflows=10) as running:
        run = await running.start(planned)
        await waiting(run, "nothing is left for the team sub")
        await run.raise_budget(BudgetRaise(to=Decimal(1)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
        assert {s.agent_id: s.status.value for s in await run.results()}["sub"] == "completed"


async def test_a_raise_that_helps_one_agent_leaves_the_other_known_to_wait(
    server: LocalServer, tmp_path: Path
) -> None:
    """Both wait for money; what was raised pays for the one that was told of last."""
    spec = team(
        agent("dear", llm_config={"max_tokens": 5000}, min_output_tokens=5000),
        agent("cheap", llm_config={"max_tokens": 100}, min_output_tokens=100),
        cost_budget=Decimal("0.001"),
        on_budget="pause",
    )
    async with harness(server.address, tmp_path, Script(), cached_workflows=10) as running:
        run = await running.start(plan(spec))
        await waiting(run, "cost_budget")
        await run.raise_budget(BudgetRaise(to=Decimal("0.05")))
        await until(run, "cheap", "completed")
        await waiting(run, "dear on")
        await run.raise_budget(BudgetRaise(to=Decimal(1)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED


async def waiting(run: Run, text: str) -> None:
    """Wait until a run says what a person has to do."""
    for _ in range(400):
        said = (await run.status()).paused_for
        if text in (said or ""):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(said)
