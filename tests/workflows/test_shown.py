"""What a status shows of rounds and of lists."""

import asyncio
from datetime import UTC, datetime

import pytest

from contracts.artifacts import ArtifactRef
from contracts.plans import Plan
from contracts.runs import RunRequest, RunStatus, StepResult
from contracts.teams import AgentStatus, ForEachSpec, RepeatSpec, WorkflowStatus
from providers.exceptions import AuthenticationFailed
from rules import planning
from tests.support.harness import Open
from tests.support.scripted import Say, Script
from tests.support.teams import agent, plan, team
from workflows.state import RunState
from workflows.views import status_view

pytestmark = pytest.mark.integration

PENDING, RUNNING, COMPLETED = AgentStatus.PENDING, AgentStatus.RUNNING, AgentStatus.COMPLETED
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rounds() -> Plan:
    repeat = RepeatSpec(until="false", max=2, with_=("judge",))
    memo = agent("memo", "Write. {judge?}", repeat=repeat)
    judge = agent("judge", "Judge: {memo}", dependencies=("memo",))
    return plan(team(memo, judge, agent("last", "{judge}", dependencies=("judge",))))


def shown(status: RunStatus) -> dict[str, AgentStatus]:
    return {step.name: step.status for step in status.steps}


def test_a_group_runs_until_its_last_round_has_ended() -> None:
    made = rounds()
    ref = ArtifactRef(sha256="a" * 64, size_bytes=1)
    request = RunRequest(run_id="r", team="t", plan=ref)
    state = RunState(request, planning.header(made, 1), list(planning.nodes(made)))
    assert shown(status_view(state)) == {"memo": PENDING, "judge": PENDING, "last": PENDING}
    state.begin("memo", NOW)
    done = StepResult(agent_id="memo", status=COMPLETED)
    state.hold(done, NOW)
    assert shown(status_view(state)) == {"memo": RUNNING, "judge": PENDING, "last": PENDING}
    skipped = {"reason": "skipped: false", "skipped": True}
    state.hold(
        StepResult(agent_id="judge", status=AgentStatus.CANCELLED, metadata=dict(skipped)), NOW
    )
    assert shown(status_view(state)) == {"memo": RUNNING, "judge": RUNNING, "last": PENDING}
    assert [step.note for step in status_view(state).steps] == [None, None, None]
    assert state.results["memo"].status is COMPLETED, "others read what the round gave"
    state.end(done, NOW)
    state.frontier.start("judge")
    state.end(StepResult(agent_id="judge", status=COMPLETED), NOW)
    assert shown(status_view(state)) == {"memo": COMPLETED, "judge": COMPLETED, "last": PENDING}


async def test_a_group_runs_as_long_as_its_rounds(opened: Open) -> None:
    script = Script({"memo": [Say("one"), Say("two", held=1)]})
    async with opened(script) as running:
        run = await running.start(rounds())
        while script.count("memo") < 2:
            await asyncio.sleep(0.02)
        during = shown(await run.status())
        script.go.set()
        await run.wait()
        after = shown(await run.status())
    assert during == {"memo": RUNNING, "judge": RUNNING, "last": PENDING}
    assert after == {"memo": COMPLETED, "judge": COMPLETED, "last": COMPLETED}


async def test_a_list_says_how_many_items_it_left_out_during_the_run_and_after_it(
    opened: Open,
) -> None:
    broken = {f"rate[{n}]": [AuthenticationFailed("no such key")] for n in range(2, 60)}
    script = Script({**broken, "last": [Say("all of it", held=1)]})
    each = ForEachSpec(item="thing", in_="inputs.items", min_success=0.01, max_parallel=8)
    rate = agent("rate", "Rate {thing}.", for_each=each)
    spec = team(
        rate,
        agent("last", "{rate}", dependencies=("rate",)),
        inputs={"items": {"type": "list"}},
    )
    async with opened(script) as running:
        run = await running.start(plan(spec), {"items": list(range(60))})
        while script.count("last") == 0:
            await asyncio.sleep(0.02)
        during = (await run.status()).steps[0]
        script.go.set()
        assert (await run.wait()).status is WorkflowStatus.COMPLETED
        after = (await run.status()).steps[0]
    assert during.note is not None
    assert during.note.startswith("2 of 60 items; 58 failed: ")
    assert "no such key" in during.note
    assert (during.items, during.failed_items) == (60, 58)
    assert (after.note, after.items, after.failed_items) == (during.note, 60, 58)
