"""The run workflow on a real server: SEMANTICS D8 to D17, and what a step can be."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from contracts.messages import Usage
from contracts.teams import (
    AgentStatus,
    ApprovalStep,
    EndStep,
    GateStep,
    OutputSpec,
    SetStep,
    WaitStep,
    WorkflowStatus,
)
from contracts.updates import BudgetRaise
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Harness, Open
from tests.support.scripted import Say, Script
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.integration


@pytest.fixture
async def plain(opened: Open) -> AsyncIterator[Harness]:
    """A harness whose every agent answers at once."""
    async with opened(Script()) as running:
        yield running


async def test_an_answer_is_stored_and_counted(plain: Harness) -> None:
    spec = team(agent("one", "Sum up: {text}"), inputs={"text": {"type": "text"}})
    result, steps = await plain.run(plan(spec), {"text": "abc"})
    assert result.status is WorkflowStatus.COMPLETED
    assert result.cost == Decimal("0.006")
    assert result.tokens == 150
    assert await plain.text(steps["one"]) == "An answer."
    assert plain.script.requests[0][2].messages[0].content == "Sum up: abc"
    assert steps["one"].execution_time > 0
    assert steps["one"].metadata["finish_reason"] == "stop"


async def test_a_dependency_is_given_to_the_prompt(opened: Open) -> None:
    script = Script({"a": [Say("first words")]})
    async with opened(script) as running:
        spec = team(agent("a"), agent("b", "Go on from: {a}", dependencies=("a",)))
        _, steps = await running.run(plan(spec))
    assert [name for name, _, _ in script.requests] == ["a", "b"]
    assert script.requests[1][2].messages[0].content == "Go on from: first words"
    assert steps["b"].started_at >= steps["a"].completed_at  # type: ignore[operator]


async def test_D8_never_more_in_flight_than_allowed(opened: Open) -> None:
    script = Script(default=Say("done", held=1))
    async with opened(script) as running:
        spec = team(*(agent(f"a{n}") for n in range(5)), max_parallel_agents=2)
        run = await running.start(plan(spec))
        while script.in_flight < 2:
            await asyncio.sleep(0.02)
        script.go.set()
        result = await asyncio.wait_for(run.wait(), 60)
        steps = {step.agent_id: step for step in await run.results()}
    assert result.status is WorkflowStatus.COMPLETED
    assert {step.status for step in steps.values()} == {AgentStatus.COMPLETED}
    assert script.most_in_flight == 2


async def test_D10_what_depends_on_a_failure_is_skipped_with_a_reason(opened: Open) -> None:
    script = Script({"a": [AuthenticationFailed("no such key")]})
    async with opened(script) as running:
        spec = team(agent("a"), agent("b", dependencies=("a",)), agent("c"))
        result, steps = await running.run(plan(spec))
    assert result.status is WorkflowStatus.PARTIALLY_COMPLETED
    assert script.count("b") == 0
    assert steps["a"].status is AgentStatus.FAILED
    assert steps["b"].status is AgentStatus.CANCELLED
    assert "a failed" in str(steps["b"].metadata["reason"])
    assert steps["c"].status is AgentStatus.COMPLETED


async def test_D12_without_partial_completion_nothing_follows_a_failure(opened: Open) -> None:
    script = Script({"a0": [AuthenticationFailed("no such key")]}, Say("done", held=1))
    async with opened(script) as running:
        first = [agent(f"a{n}") for n in range(4)]
        second = [agent(f"b{n}", dependencies=(f"a{n}",)) for n in range(1, 4)]
        spec = team(*first, *second, allow_partial_completion=False)
        run = await running.start(plan(spec))
        while not any(s.status is AgentStatus.FAILED for s in (await run.status()).steps):
            await asyncio.sleep(0.05)
        script.go.set()
        result = await asyncio.wait_for(run.wait(), 60)
    assert result.status is WorkflowStatus.FAILED
    assert not [name for name, _, _ in script.requests if name.startswith("b")]


async def test_D13_a_cost_limit_that_pays_nothing_ends_without_a_call(plain: Harness) -> None:
    spec = team(agent("a", cost_limit=Decimal("0.0001")))
    result, steps = await plain.run(plan(spec))
    assert steps["a"].status is AgentStatus.BUDGET_EXCEEDED
    assert "cost_limit" in str(steps["a"].error)
    assert plain.script.count() == 0
    assert result.status is WorkflowStatus.FAILED


async def test_D14_the_budget_is_never_passed(plain: Harness) -> None:
    prompt = "x" * 90
    agents = [agent(f"a{n}", prompt) for n in range(5)]
    spec = team(*agents, cost_budget=Decimal("0.013"), max_parallel_agents=5)
    result, steps = await plain.run(plan(spec))
    done = [step for step in steps.values() if step.status is AgentStatus.COMPLETED]
    rest = {step.status for step in steps.values()} - {AgentStatus.COMPLETED}
    assert len(done) == plain.script.count() == 2
    assert rest == {AgentStatus.BUDGET_EXCEEDED}
    assert result.cost == Decimal("0.012")
    assert result.status is WorkflowStatus.FAILED


async def test_max_tokens_is_lowered_to_what_can_be_paid(opened: Open) -> None:
    script = Script(default=Say("short", usage=Usage(10, 10)))
    async with opened(script) as running:
        step = agent("a", llm_config={"max_tokens": 4000}, cost_limit=Decimal("0.1"))
        _, steps = await running.run(plan(team(step)))
    assert steps["a"].status is AgentStatus.COMPLETED
    sent = script.requests[0][2].max_tokens
    assert sent is not None
    assert 256 <= sent < 4000


@pytest.mark.parametrize("counts", [True, False])
async def test_a_provider_that_counts_is_asked_before_a_refusal(opened: Open, counts: bool) -> None:
    script = Script(default=Say("fine", usage=Usage(1000, 10)))
    async with opened(script) as running:
        step = agent("a", "x" * 4000, cost_limit=Decimal("0.05"))
        _, steps = await running.run(plan(team(step), candidate(counts_tokens=counts)))
    assert script.counted == counts
    assert steps["a"].status is (AgentStatus.COMPLETED if counts else AgentStatus.BUDGET_EXCEEDED)


async def test_D15_a_run_that_takes_too_long_is_stopped_and_settled(opened: Open) -> None:
    script = Script(default=Say("too slow to matter here", seconds=60))
    async with opened(script) as running:
        run = await running.start(plan(team(agent("a"), timeout=0.4)))
        started = time.monotonic()
        result = await run.wait()
        assert time.monotonic() - started < 30
        steps = {step.agent_id: step for step in await run.results()}
        cost = await run.cost()
    assert result.status is WorkflowStatus.FAILED
    assert "timeout" in str(result.error)
    assert steps["a"].status is AgentStatus.CANCELLED
    assert steps["a"].error == f"cancelled: {result.error}"
    assert cost.reserved == 0
    assert cost.attempts[0].outcome == "Stopped"
    assert script.in_flight == 0


async def test_a_gate_that_is_false_fails_and_what_follows_is_skipped(plain: Harness) -> None:
    gate = GateStep(name="gate", dependencies=("a",), expression="agents.a.cost > 1.0", priority=8)
    spec = team(agent("a"), gate, agent("b", dependencies=("gate",)))
    result, steps = await plain.run(plan(spec))
    assert steps["gate"].status is AgentStatus.FAILED
    assert "agents.a.cost > 1.0 is false" in str(steps["gate"].error)
    assert plain.script.count("b") == 0
    assert result.status is WorkflowStatus.FAILED


async def test_set_computes_and_when_skips(plain: Harness) -> None:
    numbers = SetStep(name="numbers", expression="inputs.given.filter(n, n > 2)")
    spec = team(
        numbers,
        agent("many", dependencies=("numbers",), when="size(agents.numbers.output) > 5"),
        agent("few", "Those: {numbers}", dependencies=("numbers",)),
        agent("after", "Any? {many?}", optional_dependencies=("many",)),
        inputs={"given": {"type": "list"}},
    )
    result, steps = await plain.run(plan(spec), {"given": [1, 2, 3, 4]})
    assert steps["many"].status is AgentStatus.CANCELLED
    assert str(steps["many"].metadata["reason"]).startswith("skipped:")
    assert steps["after"].status is AgentStatus.COMPLETED
    prompts = {name: request.messages[0].content for name, _, request in plain.script.requests}
    assert prompts == {"few": "Those: [3,4]", "after": "Any? "}
    assert result.status is WorkflowStatus.COMPLETED


async def test_an_end_step_ends_the_run(plain: Harness) -> None:
    spec = team(
        agent("a"),
        EndStep(name="stop", dependencies=("a",), status="completed", because="enough"),
        agent("b", dependencies=("stop",)),
        WaitStep(name="beside", seconds=60),
    )
    result, steps = await plain.run(plan(spec))
    assert result.status is WorkflowStatus.COMPLETED
    assert steps["beside"].error == "cancelled: the run was ended: enough"
    assert plain.script.count("b") == 0
    assert steps["b"].status is AgentStatus.CANCELLED


async def test_cancel_stops_the_call_and_keeps_what_was_done(opened: Open) -> None:
    script = Script({"slow": [Say("never to be finished here", seconds=60)]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("fast"), agent("slow"))))
        while not any(s.status is AgentStatus.COMPLETED for s in (await run.status()).steps):
            await asyncio.sleep(0.05)
        await run.cancel()
        result = await asyncio.wait_for(run.wait(), 60)
        steps = {step.agent_id: step for step in await run.results()}
        cost = await run.cost()
    assert result.status is WorkflowStatus.CANCELLED
    assert steps["fast"].status is AgentStatus.COMPLETED
    assert steps["slow"].status is AgentStatus.CANCELLED
    assert cost.reserved == 0
    assert {a.outcome for a in cost.attempts} == {"completed", "Stopped"}
    assert script.in_flight == 0


async def test_a_paused_run_goes_on_when_its_budget_is_raised(plain: Harness) -> None:
    spec = team(agent("a"), cost_budget=Decimal("0.001"), on_budget="pause")
    run = await plain.start(plan(spec))
    while not (status := await run.status()).error:
        await asyncio.sleep(0.05)
    assert "raise cost_budget" in str(status.error)
    assert plain.script.count() == 0
    view = await run.raise_budget(BudgetRaise(to=Decimal(1)))
    assert view.budget == 1
    result = await asyncio.wait_for(run.wait(), 60)
    assert result.status is WorkflowStatus.COMPLETED


async def test_a_failed_run_has_its_declared_outputs_as_far_as_they_go(opened: Open) -> None:
    """Not those of the steps that nobody reads: who reads the answer knows it by its name."""
    script = Script({"a": [Say("alpha")], "b": [AuthenticationFailed("no such key")]})
    async with opened(script) as running:
        spec = team(
            agent("a"),
            agent("b", dependencies=("a",)),
            outputs={"first": "<{a}>", "second": "{b}"},
            allow_partial_completion=False,
        )
        run = await running.start(plan(spec))
        result = await run.wait()
        outputs = await run.outputs(result)
        record = await run.record()
    assert result.status is WorkflowStatus.FAILED
    assert outputs == {"first": "<alpha>", "second": None}
    assert record is not None
    assert set(record.outputs) == {"first", "second"}


async def test_a_schemas_fields_are_asked_for_in_their_order(opened: Open) -> None:
    """A model that is to give its reasons first fills them in first; so with outputs."""
    fields = {name: {"type": "string"} for name in ("reasons", "verdict", "confidence")}
    judged = '{"reasons": "r", "verdict": "v", "confidence": "c"}'
    script = Script({"judge": [Say(judged)]})
    async with opened(script) as running:
        schema = {"type": "object", "properties": fields}
        judge = agent("judge", output=OutputSpec(kind="json", schema_=schema))
        spec = team(judge, outputs={"whole": "{judge}", "alone": "{judge.verdict}"})
        run = await running.start(plan(spec))
        outputs = await run.outputs(await run.wait())
    asked = script.requests[0][2].response_schema
    assert asked is not None
    assert list(asked["properties"]) == ["reasons", "verdict", "confidence"]
    assert list(outputs) == ["whole", "alone"]
    assert list(outputs["whole"]) == ["reasons", "verdict", "confidence"]


async def test_declared_outputs_are_rendered(opened: Open) -> None:
    script = Script({"a": [Say("alpha")], "b": [Say("beta")]})
    async with opened(script) as running:
        spec = team(agent("a"), agent("b"), outputs={"both": "{a} and {b}", "one": "{a}"})
        run = await running.start(plan(spec))
        outputs = await run.outputs(await run.wait())
    assert outputs == {"both": "alpha and beta", "one": "alpha"}


async def test_what_a_lone_reference_leads_to_keeps_its_type(plain: Harness) -> None:
    made = SetStep(name="s", expression="{'l': [1, 2], 'n': 2.5}")
    lone = {"list": "{s.l}", "item": "{s.l.1}", "number": "{s.n}", "none": "{s.x?}"}
    # Names that a step's own templates have mean nothing here.
    named = {"ask": "{s.l}", "prompt": "{s.n}", "text": "{s.l}."}
    run = await plain.start(plan(team(made, outputs={**lone, **named})))
    outputs = await run.outputs(await run.wait())
    assert outputs == {
        **{"list": [1, 2], "item": 2, "number": 2.5, "none": None},
        **{"ask": [1, 2], "prompt": 2.5, "text": "[1,2]."},
    }


async def test_a_question_is_a_text_whatever_it_reads(plain: Harness) -> None:
    made = SetStep(name="s", expression="{'l': [true]}")
    asks = ApprovalStep(name="ok", dependencies=("s",), ask="{s.l}")
    run = await plain.start(plan(team(made, asks)))
    while not (asked := (await run.status()).questions):
        await asyncio.sleep(0.02)
    assert asked[0].ask == "[true]"
    await run.cancel()
