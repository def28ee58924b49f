"""Groups that are repeated: the order within a round, what ends the rounds, what each has cost."""

import asyncio
from decimal import Decimal

import pytest

from contracts.runs import StepResult
from contracts.teams import (
    AgentStatus,
    EndStep,
    RepeatSpec,
    SetStep,
    StepSpec,
    TeamSpec,
    WaitStep,
    WorkflowStatus,
)
from contracts.updates import PromptEdit
from tests.support.harness import Open
from tests.support.scripted import Say, Script
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


def rounds(most: int, *members: str, until: str = "false") -> RepeatSpec:
    return RepeatSpec(until=until, max=most, with_=members)


async def ran(
    opened: Open, script: Script, *steps: StepSpec
) -> tuple[WorkflowStatus, dict[str, StepResult], Decimal]:
    """Run a team; return its status, its steps' results, and what it cost."""
    async with opened(script) as running:
        result, found = await running.run(plan(team(*steps)))
    return result.status, found, result.cost


async def test_a_member_waits_for_the_optional_ones_of_its_round(opened: Open) -> None:
    """However the file orders them."""
    script = Script()
    status, found, _ = await ran(
        opened,
        script,
        agent("a", repeat=rounds(2, "fix", "judge")),
        SetStep(
            name="fix",
            expression="agents.judge.status",
            dependencies=("a",),
            optional_dependencies=("judge",),
        ),
        agent("judge", "{a}", dependencies=("a",)),
    )
    assert status is WorkflowStatus.COMPLETED
    assert [name for name, _, _ in script.requests] == ["a", "judge"] * 2
    assert found["fix"].output is not None
    assert found["fix"].output.inline == "completed"


async def test_rounds_within_rounds_are_run_so_often_and_no_more(opened: Open) -> None:
    script = Script()
    status, found, _ = await ran(
        opened,
        script,
        agent("outer", repeat=rounds(2, "inner")),
        agent("inner", "{outer}", dependencies=("outer",), repeat=rounds(2, "leaf")),
        agent("leaf", "{inner}", dependencies=("inner",)),
    )
    assert status is WorkflowStatus.COMPLETED
    assert [script.count(name) for name in ("outer", "inner", "leaf")] == [2, 4, 4]
    assert {step.status for step in found.values()} == {AgentStatus.COMPLETED}


async def test_an_end_within_a_round_is_the_last_of_all(opened: Open) -> None:
    script = Script()
    status, found, _ = await ran(
        opened,
        script,
        agent("draft", repeat=rounds(4, "judge", "enough", "late")),
        agent("judge", "{draft}", dependencies=("draft",)),
        EndStep(name="enough", dependencies=("judge",), status="completed", because="good"),
        agent("late", "{judge}", dependencies=("judge", "enough")),
        WaitStep(name="hold", seconds=100),
    )
    assert status is WorkflowStatus.COMPLETED
    assert [name for name, _, _ in script.requests] == ["draft", "judge"]
    assert found["late"].metadata["reason"] == "skipped: the run was ended: good"


async def test_who_worked_in_a_round_before_keeps_what_it_cost(opened: Open) -> None:
    script = Script({"draft": [Say("one"), Say("good")]})
    status, found, cost = await ran(
        opened,
        script,
        agent("draft", repeat=rounds(2, "revise")),
        agent("revise", "{draft}", dependencies=("draft",), when="agents.draft.output != 'good'"),
    )
    assert status is WorkflowStatus.COMPLETED
    assert found["revise"].status is AgentStatus.CANCELLED
    assert found["revise"].cost > 0
    assert sum(step.cost for step in found.values()) == cost


async def test_a_repeated_steps_new_prompt_may_read_the_round_before(opened: Open) -> None:
    script = Script({"judge": [Say("too long")]})
    spec: TeamSpec = team(
        WaitStep(name="nap", seconds=1),
        agent("draft", dependencies=("nap",), repeat=rounds(2, "judge")),
        agent("judge", "{draft}", dependencies=("draft",)),
    )
    async with opened(script) as running:
        run = await running.start(plan(spec))
        await run.edit_prompt(PromptEdit(step="draft", prompt="Shorter. {judge?}"))
        await asyncio.wait_for(run.wait(), 60)
    asked = [r.messages[0].content for name, _, r in script.requests if name == "draft"]
    assert asked == ["Shorter. ", "Shorter. too long"]


async def test_steps_that_wait_for_each_other_fail_the_run(opened: Open) -> None:
    """A team file with such rounds is refused; a plan may come from elsewhere."""
    status, _, _ = await ran(
        opened,
        Script(),
        agent("a", repeat=rounds(2, "j")),
        SetStep(name="mid", expression="agents.a.output", dependencies=("a",)),
        agent("j", "{mid}", dependencies=("mid",)),
    )
    assert status is WorkflowStatus.FAILED
