"""A step's attempts on a real server: the next candidate, what is continued, SEMANTICS D16, D17."""

import asyncio
from decimal import Decimal

import pytest

from contracts.messages import Usage
from contracts.retry import RetryRule
from contracts.teams import (
    AgentStatus,
    GateStep,
    OutputSpec,
    WorkflowStatus,
)
from providers.exceptions import AuthenticationFailed, Overloaded, RateLimited, StreamInterrupted
from tests.support.harness import Open
from tests.support.scripted import Say, Script
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.integration


async def test_D16_an_attempt_that_takes_too_long_fails_retriably(opened: Open) -> None:
    script = Script(default=Say("too slow to matter", seconds=60))
    async with opened(script) as running:
        spec = team(agent("a", timeout=0.05, max_retries=0))
        _, steps = await running.run(plan(spec))
    assert steps["a"].status is AgentStatus.FAILED
    assert "timeout" in str(steps["a"].error)
    assert "0.05 seconds" in str(steps["a"].error)


@pytest.mark.parametrize(
    ("policy", "own", "calls"), [(3, 3, 4), (5, 10, 6), (3, 0, 1)], ids=["both", "policy", "own"]
)
async def test_D17_attempts_are_one_and_the_smaller_bound(
    opened: Open, policy: int, own: int, calls: int
) -> None:
    script = Script(default=Overloaded("busy"))
    rule = RetryRule(max_retries=policy, base_delay=0, jitter=False)
    async with opened(script) as running:
        _, steps = await running.run(plan(team(agent("a", max_retries=own)), retry=rule))
    assert script.count() == calls
    assert steps["a"].retry_count == calls - 1
    assert steps["a"].status is AgentStatus.FAILED


async def test_a_final_error_goes_on_with_the_next_candidate(opened: Open) -> None:
    script = Script({"a": [AuthenticationFailed("no such key"), Say("from the second")]})
    async with opened(script) as running:
        chain = plan(team(agent("a")), candidate(), candidate("second", "gpt-4-turbo"))
        run = await running.start(chain)
        result = await run.wait()
        cost = await run.cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert [(a.provider, a.outcome) for a in cost.attempts] == [
        ("scripted", "AuthenticationFailed"),
        ("second", "completed"),
    ]
    assert cost.attempts[0].decision


async def test_a_prompt_that_cannot_be_filled_in_is_asked_of_nobody_else(opened: Open) -> None:
    async with opened(script := Script()) as running:
        steps = agent("a"), agent("b", "Of {a.lacking}.", dependencies=("a",))
        chain = plan(team(*steps), candidate(), candidate("second", "gpt-4-turbo"))
        run = await running.start(chain)
        await run.wait()
        cost = await run.cost()
        ended = {step.agent_id: step for step in await run.results()}
    assert [(a.id, a.outcome) for a in cost.attempts] == [
        ("a#1", "completed"),
        ("b#1", "Unrendered"),
    ]
    assert cost.attempts[1].decision == "gave up: the prompt cannot be filled in"
    assert "{a.lacking} is missing" in str(ended["b"].error)
    assert (script.count(), cost.reserved) == (1, 0)


async def test_an_interrupted_answer_is_continued_without_a_doubled_word(opened: Open) -> None:
    broken = Say("one two three", fails=StreamInterrupted("cut", usage=Usage(100, 3)))
    script = Script({"a": [broken, Say("two three four five")]})
    async with opened(script) as running:
        step = agent("a", on_interrupt="continue")
        chain = plan(team(step), candidate(), candidate("second"), retry=RetryRule(max_retries=0))
        _, steps = await running.run(chain)
        assert await running.text(steps["a"]) == "one two three four five"
    turns = script.requests[1][2].messages
    assert [turn.role for turn in turns] == ["user", "assistant", "user"]
    assert turns[1].content == "one two three"


async def test_a_restarted_answer_keeps_nothing_of_the_first(opened: Open) -> None:
    broken = Say("one two three", fails=StreamInterrupted("cut"))
    script = Script({"a": [broken, Say("quite another answer")]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("a"))))
        await run.wait()
        cost = await run.cost()
        steps = await run.results()
        assert await running.text(steps[0]) == "quite another answer"
    first = cost.attempts[0]
    assert first.state == "uncertain"
    assert first.cost == first.reserved
    assert cost.cost == first.reserved + Decimal("0.006")
    assert cost.served <= cost.cost


async def test_requests_turned_away_leave_the_budget_alone(opened: Open) -> None:
    script = Script({"a": [RateLimited("no", status=429)] * 3 + [Say("fine")]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("a", cost_limit=Decimal("0.007")))))
        result = await run.wait()
        cost = await run.cost()
    assert result.status is WorkflowStatus.COMPLETED
    assert [(a.state, a.cost) for a in cost.attempts[:3]] == [("settled", 0)] * 3
    assert cost.cost == Decimal("0.006")


async def test_throttled_to_the_end_is_rate_limited(opened: Open) -> None:
    script = Script(default=RateLimited("slow down", retry_after=0.01))
    async with opened(script) as running:
        _, steps = await running.run(plan(team(agent("a", max_retries=1))))
    assert steps["a"].status is AgentStatus.RATE_LIMITED
    assert script.count() == 2


async def test_json_that_does_not_fit_is_repaired_once(opened: Open) -> None:
    schema = {"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}}
    script = Script({"a": [Say('{"points": 3}'), Say('```json\n{"score": 7}\n```')]})
    async with opened(script) as running:
        step = agent("a", output=OutputSpec(kind="json", schema_=schema, repairs=1))
        gate = GateStep(name="good", dependencies=("a",), expression="agents.a.output.score >= 7")
        result, steps = await running.run(plan(team(step, gate)))
    assert result.status is WorkflowStatus.COMPLETED
    assert steps["a"].output is not None
    assert steps["a"].output.inline == {"score": 7}
    shown = script.requests[1][2].messages
    assert shown[1].content == '{"points": 3}'
    assert "'score' is a required property" in shown[2].content


async def test_cancel_ends_a_step_that_waits_for_its_next_attempt(opened: Open) -> None:
    script = Script(default=Overloaded("busy"))
    rule = RetryRule(max_retries=3, base_delay=30, jitter=False)
    async with opened(script) as running:
        run = await running.start(
            plan(team(agent("a"), agent("b", "{a}", dependencies=("a",))), retry=rule)
        )
        while script.count() == 0:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        await run.cancel()
        result = await asyncio.wait_for(run.wait(), 60)
        steps = {step.agent_id: step for step in await run.results()}
    assert result.status is WorkflowStatus.CANCELLED
    assert steps["a"].status is AgentStatus.CANCELLED
    assert steps["b"].status is AgentStatus.CANCELLED
    assert script.count() == 1


async def test_a_provider_that_keeps_failing_is_passed_over(opened: Open) -> None:
    script = Script(default=Say("fine"))
    script.turns = {f"a{n}": [Overloaded("busy"), Say("fine")] for n in range(5)}
    async with opened(script) as running:
        names = [f"a{n}" for n in range(5)]
        first = [agent(name, max_retries=0) for name in names]
        last = agent("last", dependencies=tuple(names))
        await running.run(plan(team(*first, last), candidate(), candidate("second", "gpt-4-turbo")))
    assert [model for name, model, _ in script.requests if name == "last"] == ["gpt-4-turbo"]
