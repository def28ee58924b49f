"""Forms of a step beyond one call: lists, rounds, teams, people, waits, handlers."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError

from client.runs import Run
from contracts.plans import Plan
from contracts.runs import StepResult
from contracts.teams import (
    AgentStatus,
    ApprovalStep,
    ForEachSpec,
    GateStep,
    OutputSpec,
    RepeatSpec,
    SetStep,
    TeamStep,
    WaitStep,
    WorkflowStatus,
)
from contracts.updates import Answer, PauseRequest, SkipRequest
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Harness, Open
from tests.support.scripted import Say, Script
from tests.support.teams import agent, plan, team
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

LIST = {"items": {"type": "list"}}


@pytest.fixture
async def plain(opened: Open) -> AsyncIterator[Harness]:
    async with opened(Script()) as running:
        yield running


def rater(**more: object) -> object:
    spec = ForEachSpec(item="thing", in_="inputs.items", **more)
    return agent("rate", "Rate {thing.name}.", for_each=spec)


def prompts(script: Script) -> list[str]:
    return [request.messages[0].content for _, _, request in script.requests]


async def test_for_each_keeps_the_order_and_the_bound(opened: Open) -> None:
    script = Script({"rate[0]": [Say("rated")]}, default=Say("rated", held=1))
    async with opened(script) as running:
        spec = team(rater(max_parallel=2), inputs=LIST)
        items = [{"name": f"n{n}"} for n in range(5)]
        run = await running.start(plan(spec), {"items": items})
        while not (notes := [one.note for one in (await run.status()).steps if one.note]):
            await asyncio.sleep(0.02)
        while script.in_flight < 2:
            await asyncio.sleep(0.02)
        script.go.set()
        result = await run.wait()
        outputs = await run.outputs(result)
        cost = await run.cost()
    assert notes[0].endswith("of 5 items")
    assert outputs["rate"] == ["rated"] * 5
    assert sorted(prompts(script)) == [f"Rate n{n}." for n in range(5)]
    assert script.most_in_flight == 2
    assert sorted(a.id for a in cost.attempts) == [f"rate[{n}]#1" for n in range(5)]
    assert cost.by_step == {"rate": Decimal("0.030")}


async def test_for_each_over_a_stored_list(opened: Open) -> None:
    script = Script()
    async with opened(script) as running:
        items = [{"name": f"n{n}", "text": "x" * 900} for n in range(20)]
        spec = team(rater(max_parallel=5), inputs=LIST)
        run = await running.start(plan(spec), {"items": items})
        await run.wait()
    assert sorted(prompts(script)) == sorted(f"Rate n{n}." for n in range(20))


@pytest.mark.parametrize(
    ("least", "status"), [(0.5, AgentStatus.COMPLETED), (1.0, AgentStatus.FAILED)]
)
async def test_items_that_fail_are_left_out_and_listed(
    opened: Open, least: float, status: AgentStatus
) -> None:
    script = Script({"rate[1]": [AuthenticationFailed("no such key")]})
    async with opened(script) as running:
        spec = team(rater(min_success=least, max_parallel=1), inputs=LIST)
        items = [{"name": f"n{n}"} for n in range(3)]
        _, steps = await running.run(plan(spec), {"items": items})
    assert steps["rate"].status is status
    failed = steps["rate"].metadata["failed_items"]
    assert [entry["index"] for entry in failed] == [1]
    assert script.count() == (3 if least < 1 else 2)


async def test_for_each_over_no_list_fails_clearly(plain: Harness) -> None:
    number = SetStep(name="number", expression="1 + 1")
    spec = ForEachSpec(item="thing", in_="agents.number.output")
    rate = agent("rate", "{thing}", for_each=spec, dependencies=("number",))
    _, steps = await plain.run(plan(team(number, rate)))
    assert steps["rate"].status is AgentStatus.FAILED
    assert "is no list" in str(steps["rate"].error)


def scored(scores: list[int]) -> Script:
    return Script(
        {
            "memo": [Say(f"memo {n}") for n in range(1, 9)],
            "judge": [Say(f'{{"score": {score}, "critique": "c{score}"}}') for score in scores],
        }
    )


def review(most: int) -> Plan:
    schema = {"type": "object", "required": ["score"]}
    memo = agent(
        "memo",
        "Write. {judge.critique?}",
        repeat=RepeatSpec(until="agents.judge.output.score >= 8", max=most, with_=("judge",)),
    )
    judge = agent(
        "judge",
        "Judge: {memo}",
        dependencies=("memo",),
        output=OutputSpec(kind="json", schema_=schema),
    )
    gate = GateStep(name="gate", dependencies=("judge",), expression="agents.judge.output.score>=8")
    return plan(team(memo, judge, gate))


async def test_an_agent_of_a_round_is_not_skipped_alone(opened: Open) -> None:
    script = scored([9])
    script.turns["memo"][0] = Say("memo 1", held=1)  # type: ignore[index]
    async with opened(script) as running:
        run = await running.start(review(3))
        while script.count("memo") == 0:
            await asyncio.sleep(0.02)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.skip(SkipRequest(step="judge"))
        script.go.set()
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
    assert "judge is repeated with memo: only that can be" in str(refused.value.cause)


async def test_repeat_goes_on_until_it_holds(opened: Open) -> None:
    script = scored([3, 9])
    async with opened(script) as running:
        result, steps = await running.run(review(3))
        assert await running.text(steps["memo"]) == "memo 2"
    assert result.status is WorkflowStatus.COMPLETED
    assert prompts(script) == [
        "Write. ",
        "Judge: memo 1",
        "Write. c3",
        "Judge: memo 2",
    ]
    assert steps["memo"].metadata["rounds"] == 2
    assert steps["memo"].metadata["until_held"] is True
    assert steps["judge"].cost == Decimal("0.012")


async def test_repeat_ends_after_its_bound(opened: Open) -> None:
    script = scored([1, 2, 3])
    async with opened(script) as running:
        _, steps = await running.run(review(2))
    assert script.count("memo") == 2
    assert steps["memo"].metadata["until_held"] is False
    assert steps["gate"].status is AgentStatus.FAILED


async def test_a_handler_runs_only_for_a_failure(opened: Open) -> None:
    script = Script({"a": [AuthenticationFailed("no such key")], "h": [Say("handled")]})
    async with opened(script) as running:
        spec = team(agent("a", catch="h"), agent("h"), agent("b", catch="g"), agent("g"))
        result, steps = await running.run(plan(spec))
    assert steps["a"].status is AgentStatus.FAILED
    assert steps["h"].status is AgentStatus.COMPLETED
    assert steps["g"].status is AgentStatus.CANCELLED
    assert "nothing to catch" in str(steps["g"].metadata["reason"])
    assert result.status is WorkflowStatus.COMPLETED


async def test_a_wait_waits(plain: Harness) -> None:
    spec = team(WaitStep(name="pause", seconds=0.3), agent("a", dependencies=("pause",)))
    _, steps = await plain.run(plan(spec))
    assert steps["pause"].execution_time >= 0.3
    assert steps["a"].status is AgentStatus.COMPLETED


def asking(**more: object) -> Plan:
    ask = ApprovalStep(
        name="ok", ask="{a} Go on?", choices=("go", "stop"), dependencies=("a",), **more
    )
    after = agent("b", dependencies=("ok",), when="agents.ok.output == 'go'")
    return plan(team(agent("a"), ask, after))


async def question(run: Run) -> str:
    while not (asked := (await run.status()).questions):
        await asyncio.sleep(0.05)
    return asked[0].ask


async def answer(run: Run, choice: str) -> None:
    await run.handle.execute_update(RunWorkflow.answer, Answer(step="ok", choice=choice))


@pytest.mark.parametrize(("choice", "calls"), [("go", 1), ("stop", 0)])
async def test_a_person_decides(opened: Open, choice: str, calls: int) -> None:
    script = Script({"a": [Say("All is well.")]})
    async with opened(script) as running:
        run = await running.start(asking())
        assert await question(run) == "All is well. Go on?"
        with pytest.raises(WorkflowUpdateFailedError):
            await answer(run, "perhaps")
        await answer(run, choice)
        result = await run.wait()
        steps = await run.results()
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count("b") == calls
    assert steps[1].output is not None
    assert steps[1].output.inline == choice


async def test_nobody_answers_in_time(plain: Harness) -> None:
    _, steps = await plain.run(asking(timeout=0.3, on_timeout="stop"))
    assert steps["ok"].output is not None
    assert steps["ok"].output.inline == "stop"
    assert steps["b"].status is AgentStatus.CANCELLED


async def with_child(running: Harness, child: Plan, **more: object) -> tuple[Run, list[StepResult]]:
    step = TeamStep(
        name="sub", file="sub.yaml", inputs={"topic": "{a}"}, dependencies=("a",), **more
    )
    spec = team(agent("a"), step, agent("b", "Got {sub.answer}", dependencies=("sub",)))
    stored = await running.store.put_json(child)
    run = await running.start(plan(spec, child_plans={"sub": stored}))
    await run.wait()
    return run, list(await run.results())


def child(**more: object) -> Plan:
    inner = agent("inner", "About {topic}")
    inputs = {"topic": {"type": "text"}}
    return plan(team(inner, name="sub", inputs=inputs, outputs={"answer": "<{inner}>"}, **more))


async def test_a_team_in_a_team(opened: Open) -> None:
    script = Script({"a": [Say("bees")], "inner": [Say("honey")]})
    async with opened(script) as running:
        run, _ = await with_child(running, child())
        cost = await run.cost()
    assert prompts(script) == ["Say something.", "About bees", "Got <honey>"]
    assert cost.cost == Decimal("0.018")
    assert cost.by_step["sub"] == Decimal("0.006")


async def test_a_child_has_its_defaults_and_takes_only_what_it_may(opened: Open) -> None:
    inputs = {
        "topic": {"type": "text", "enum": ("bees", "wasps")},
        "words": {"type": "number", "required": False, "default": 40},
    }
    inner = team(agent("inner", "{topic} in {words} words"), name="sub", inputs=inputs)
    for said, ended in (("bees", AgentStatus.COMPLETED), ("nonsense", AgentStatus.FAILED)):
        script = Script({"a": [Say(said)]})
        async with opened(script) as running:
            _, steps = await with_child(running, plan(inner))
        assert steps[1].status is ended
        assert script.count("inner") == (ended is AgentStatus.COMPLETED)
        if ended is AgentStatus.COMPLETED:
            assert prompts(script)[1] == "bees in 40 words"
        else:
            assert 'topic must be one of "bees", "wasps"' in str(steps[1].error)


async def test_a_child_spends_no_more_than_its_grant(opened: Open) -> None:
    script = Script({"a": [Say("bees")]})
    async with opened(script) as running:
        run, steps = await with_child(running, child(), cost_limit=Decimal("0.001"))
        cost = await run.cost()
    assert script.count("inner") == 0
    assert steps[1].status is AgentStatus.FAILED
    assert cost.by_step.get("sub", 0) == 0


async def test_a_paused_run_starts_nothing_until_resumed(opened: Open) -> None:
    script = Script({"a": [Say("paused in the midst of it", held=1)]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("a"), agent("b", dependencies=("a",)))))
        while script.count("a") == 0:
            await asyncio.sleep(0.02)
        update = running.client.get_workflow_handle_for(RunWorkflow.run, run.run_id)
        await update.execute_update(RunWorkflow.pause, PauseRequest(paused=True, reason="lunch"))
        script.go.set()
        await asyncio.sleep(1)
        assert script.count("b") == 0
        assert "lunch" in str((await run.status()).paused_for)
        await update.execute_update(RunWorkflow.pause, PauseRequest(paused=False))
        result = await run.wait()
    assert result.status is WorkflowStatus.COMPLETED
    assert script.count("b") == 1


async def test_an_agent_is_skipped_by_request(opened: Open) -> None:
    script = Script({"a": [Say("the next is skipped meanwhile", held=1)]})
    async with opened(script) as running:
        spec = team(agent("a"), agent("b", dependencies=("a",)), agent("c", dependencies=("b",)))
        run = await running.start(plan(spec))
        while script.count("a") == 0:
            await asyncio.sleep(0.02)
        skip = SkipRequest(step="b", reason="not needed")
        await run.handle.execute_update(RunWorkflow.skip, skip)
        again = await run.handle.execute_update(RunWorkflow.skip, skip)
        assert again.status == "unchanged"
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await run.handle.execute_update(RunWorkflow.skip, SkipRequest(step="bb"))
        script.go.set()
        await run.wait()
        steps = {step.agent_id: step for step in await run.results()}
    assert "Did you mean" in str(refused.value.cause)
    assert "not needed" in str(steps["b"].metadata["reason"])
    assert steps["c"].status is AgentStatus.CANCELLED
    assert script.count() == 1
