"""Commands to a run: what they do, that each is one, and what is refused."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from client.runs import Run
from contracts.runs import StepResult
from contracts.teams import (
    AgentStatus,
    ApprovalStep,
    ForEachSpec,
    RepeatSpec,
    TeamSpec,
    WaitStep,
    WorkflowStatus,
)
from contracts.updates import (
    Answer,
    BudgetRaise,
    Command,
    PauseRequest,
    PromptEdit,
    RetryRequest,
    SkipRequest,
)
from providers.exceptions import AuthenticationFailed
from tests.support.harness import Harness, Open, harness, waits_for
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team
from workflows.run import RunWorkflow

pytestmark = pytest.mark.integration

SLOW = Say("told something in the midst of it", held=1)
NO_KEY = AuthenticationFailed("no such key")


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    # What a validator is asked while a history is replayed is asked of an earlier state.
    return lambda script: harness(server.address, tmp_path, script, cached_workflows=10)


def broken_team(**more: object) -> TeamSpec:
    """A team of which `broken` fails while `slow` goes on, and `after` needs it."""
    return team(
        agent("slow"),
        agent("broken", "Read {text}."),
        agent("after", "{broken}", dependencies=("broken",)),
        inputs={"text": {"type": "text"}},
        **more,
    )


async def with_failure(running: Harness, spec: TeamSpec) -> Run:
    """Start a team and wait until `broken` has failed."""
    run = await running.start(plan(spec), {"text": "a text"})
    while (await _status(run, "broken")) is not AgentStatus.FAILED:
        await asyncio.sleep(0.02)
    return run


async def _status(run: Run, name: str) -> AgentStatus | None:
    steps = (await run.status()).steps
    return next((step.status for step in steps if step.name == name), None)


async def results(run: Run) -> dict[str, StepResult]:
    await run.wait()
    return {step.agent_id: step for step in await run.results()}


async def refusal(run: Run, command: Command) -> str:
    """Return why a command is refused; it leaves no event."""
    before = len((await run.handle.fetch_history()).events)
    names = {
        SkipRequest: "skip",
        RetryRequest: "retry",
        PromptEdit: "edit_prompt",
        BudgetRaise: "raise_budget",
    }
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await run.handle.execute_update(names[type(command)], command)
    events = (await run.handle.fetch_history()).events
    assert not [e for e in events[before:] if e.HasField(_UPDATE_ACCEPTED)]
    return str(refused.value.cause)


_UPDATE_ACCEPTED = "workflow_execution_update_accepted_event_attributes"


async def test_a_failed_agent_runs_again_and_what_it_skipped(opened: Open) -> None:
    script = Script({"slow": [SLOW], "broken": [NO_KEY, Say("mended")]})
    async with opened(script) as running:
        run = await with_failure(running, broken_team(allow_partial_completion=False))
        assert await _status(run, "after") is AgentStatus.CANCELLED
        again = RetryRequest(step="broken", request_id="r1")
        assert (await run.retry(again)).status == "done"
        assert (await run.retry(again)).status == "unchanged"
        script.go.set()
        steps = await results(run)
        cost = await run.cost()
        status = (await run.status()).status
    assert status is WorkflowStatus.COMPLETED
    assert {step.status for step in steps.values()} == {AgentStatus.COMPLETED}
    assert [a.outcome for a in cost.attempts if a.step == "broken"] == [
        "AuthenticationFailed",
        "completed",
    ]
    assert cost.cost == sum((a.cost for a in cost.attempts), Decimal(0))
    assert (script.count("broken"), script.count("after")) == (2, 1)


async def test_a_failed_agent_runs_again_with_another_prompt(opened: Open) -> None:
    script = Script({"slow": [SLOW], "broken": [NO_KEY, Say("mended")]})
    async with opened(script) as running:
        run = await with_failure(running, broken_team())
        await run.edit_prompt(PromptEdit(step="broken", prompt="Now read {text} {{twice}}."))
        script.go.set()
        steps = await results(run)
    prompt = [r.messages[0].content for name, _, r in script.requests if name == "broken"][-1]
    assert prompt == "Now read a text {twice}."
    assert steps["after"].status is AgentStatus.COMPLETED


async def test_a_list_that_runs_again_asks_only_for_what_it_lacks(opened: Open) -> None:
    script = Script({"slow": [SLOW], "broken[1]": [NO_KEY, Say("mended")]})
    each = ForEachSpec(item="word", in_="['a', 'b', 'c']", max_parallel=3)
    spec = team(agent("slow"), agent("broken", "Explain {word}.", for_each=each))
    async with opened(script) as running:
        run = await with_failure(running, spec)
        await run.retry(RetryRequest(step="broken"))
        script.go.set()
        steps = await results(run)
    assert steps["broken"].output is not None
    assert steps["broken"].output.inline == ["An answer.", "mended", "An answer."]
    assert script.count() == 1 + 4


async def test_a_pending_agent_is_given_another_prompt_that_its_bound_covers(opened: Open) -> None:
    script = Script({"slow": [SLOW]})
    spec = team(
        agent("slow"),
        agent("next", "Short.", dependencies=("slow",)),
        inputs={"text": {"type": "text"}},
    )
    async with opened(script) as running:
        run = await running.start(plan(spec), {"text": "word " * 2000})
        while script.count("slow") == 0:
            await asyncio.sleep(0.02)
        edit = PromptEdit(step="next", prompt="Use {slow} on {text}.", request_id="e1")
        assert (await run.edit_prompt(edit)).status == "done"
        assert (await run.edit_prompt(edit)).status == "unchanged"
        script.go.set()
        steps = await results(run)
        attempt = next(a for a in (await run.cost()).attempts if a.step == "next")
    assert steps["next"].status is AgentStatus.COMPLETED
    assert script.requests[-1][2].messages[0].content.startswith(f"Use {SLOW.text} on word word")
    assert attempt.input_bound > 10_000


async def test_what_cannot_be_done_is_refused_without_an_event(opened: Open) -> None:
    script = Script({"slow": [SLOW], "broken": [NO_KEY]})
    async with opened(script) as running:
        run = await with_failure(running, broken_team())
        said = [
            await refusal(run, RetryRequest(step="brokn")),
            await refusal(run, RetryRequest(step="slow")),
            await refusal(run, SkipRequest(step="slow")),
            await refusal(run, PromptEdit(step="slow", prompt="Too late")),
            await refusal(run, PromptEdit(step="broken", prompt="Read {txt}.")),
            await refusal(run, PromptEdit(step="broken", prompt="x" * 9000)),
        ]
        script.go.set()
        await run.wait()
        with pytest.raises(RPCError, match="already completed"):
            await run.retry(RetryRequest(step="broken"))
    assert 'no step named "brokn". Did you mean "broken"?' in said[0]
    assert "slow has not failed: it is running" in said[1]
    assert "cannot be skipped any more: it is running" in said[2]
    assert "cannot be given a prompt any more" in said[3]
    assert 'Did you mean "{text}"' in said[4] or "text" in said[4]
    assert "9,000 bytes, 8,000 at most" in said[5]


@pytest.mark.parametrize("amount", ["1e400", "1e-300", "2." + "1" * 250])
async def test_a_budget_that_no_ledger_can_count_is_refused(opened: Open, amount: str) -> None:
    """It is not carried out and found impossible: that would keep the run from going on."""
    script = Script({"slow": [SLOW]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("slow"), cost_budget=Decimal("1e-2"))))
        while script.count("slow") == 0:
            await asyncio.sleep(0.02)
        await refusal(run, BudgetRaise(to=Decimal(amount)))
        assert (await run.raise_budget(BudgetRaise(to=Decimal(2)))).budget == Decimal(2)
        script.go.set()
        assert (await run.wait()).status is WorkflowStatus.COMPLETED


async def test_an_agent_that_a_pause_holds_back_can_be_skipped_or_given_another_prompt(
    opened: Open,
) -> None:
    script = Script({"slow": [SLOW]})
    steps = (
        agent("slow"),
        agent("edited", "Old {slow}.", dependencies=("slow",)),
        agent("left_out", "{slow}", dependencies=("slow",)),
    )
    async with opened(script) as running:
        run = await running.start(plan(team(*steps)))
        while script.count("slow") == 0:
            await asyncio.sleep(0.02)
        await run.pause(PauseRequest(paused=True))
        script.go.set()
        while (await _status(run, "slow")) is not AgentStatus.COMPLETED:
            await asyncio.sleep(0.02)
        held = [await _status(run, name) for name in ("edited", "left_out")]
        await run.edit_prompt(PromptEdit(step="edited", prompt="New."))
        await run.skip(SkipRequest(step="left_out", reason="not needed"))
        await run.pause(PauseRequest(paused=False))
        result = await asyncio.wait_for(run.wait(), 60)
    assert held == [AgentStatus.PENDING, AgentStatus.PENDING]
    assert result.status is WorkflowStatus.COMPLETED
    assert [(name, r.messages[0].content) for name, _, r in script.requests][1:] == [
        ("edited", "New.")
    ]


async def test_an_agent_that_waits_for_money_can_be_skipped(opened: Open) -> None:
    """It was started and has asked nobody; another goes on without it."""
    dear = agent("dear", llm_config={"max_tokens": 5000}, min_output_tokens=5000)
    after = agent("after", "{dear}", dependencies=("dear",))
    cheap = agent("cheap", "Any? {dear?}", optional_dependencies=("dear",))
    script = Script({"cheap": [SLOW]})
    async with opened(script) as running:
        spec = team(dear, after, cheap, cost_budget=Decimal("0.02"), on_budget="pause")
        run = await running.start(plan(spec))
        await waits_for(run, "dear on")
        skip = SkipRequest(step="dear", reason="too dear")
        assert (await run.skip(skip)).status == "done"
        assert (await run.skip(skip)).status == "unchanged"
        script.go.set()
        result = await asyncio.wait_for(run.wait(), 60)
        status = await run.status()
    assert result.status is WorkflowStatus.COMPLETED
    notes = {step.name: step.note for step in status.steps}
    assert notes["dear"] == "skipped: by request: too dear"
    assert "dear" in str(notes["after"])
    assert [name for name, _, _ in script.requests] == ["cheap"]
    assert (status.paused_for, status.reserved) == (None, 0)


async def test_what_is_repeated_can_be_skipped_before_its_first_call(opened: Open) -> None:
    again = RepeatSpec(until="false", max=3, with_=("judge",))
    dear = agent("dear", repeat=again, llm_config={"max_tokens": 5000}, min_output_tokens=5000)
    judge = agent("judge", "{dear}", dependencies=("dear",))
    cheap = agent("cheap", "Any? {judge?}", optional_dependencies=("judge",))
    script = Script()
    async with opened(script) as running:
        spec = team(dear, judge, cheap, cost_budget=Decimal("0.02"), on_budget="pause")
        run = await running.start(plan(spec))
        await waits_for(run, "dear on")
        assert "repeated with dear" in await refusal(run, SkipRequest(step="judge"))
        await run.skip(SkipRequest(step="dear", reason="too dear"))
        result = await asyncio.wait_for(run.wait(), 60)
        notes = {step.name: step.note for step in (await run.status()).steps}
    assert result.status is WorkflowStatus.COMPLETED
    assert notes["dear"] == "skipped: by request: too dear"
    assert "dear" in str(notes["judge"])
    assert [name for name, _, _ in script.requests] == ["cheap"]


async def test_of_two_that_wait_for_money_one_is_skipped_and_the_other_still_waits(
    opened: Open,
) -> None:
    async with opened(Script()) as running:
        spec = team(agent("a"), agent("b"), cost_budget=Decimal("0.000001"), on_budget="pause")
        run = await running.start(plan(spec))
        async with asyncio.timeout(20):
            while (last := str((await run.status()).paused_for)) == "None":
                await asyncio.sleep(0.05)
        other = "a" if "b on" in last else "b"
        await run.skip(SkipRequest(step="b" if other == "a" else "a"))
        assert f"{other} on" in str((await run.status()).paused_for)
        await run.raise_budget(BudgetRaise(to=Decimal(1)))
        assert (await run.wait()).status is WorkflowStatus.COMPLETED


async def test_a_command_finds_the_run_as_it_is_though_its_worker_is_new(
    server: LocalServer, tmp_path: Path
) -> None:
    """The last tasks of its history gave no commands; the new worker has none of it yet."""
    ends = {f"a{n}": [Say("so many words", seconds=n / 2)] for n in range(1, 5)}
    late = Say("too late to be good", seconds=2.5, fails=NO_KEY)
    script = Script({**ends, "two": [late, Say("mended")]})
    waits = ApprovalStep(name="ok", ask="Go on?")
    spec = team(*(agent(name) for name in ends), agent("two"), waits)
    async with harness(server.address, tmp_path, script, cached_workflows=10) as running:
        run = await running.start(plan(spec))
        while (await _status(run, "two")) is not AgentStatus.FAILED:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
    async with harness(server.address, tmp_path, script, cached_workflows=10) as running:
        run = running.runs.get(run.run_id)
        await run.retry(RetryRequest(step="two"))
        await run.answer(Answer(step="ok", choice="approve"))
        await asyncio.wait_for(run.wait(), 60)
        assert await _status(run, "two") is AgentStatus.COMPLETED


async def test_a_run_that_is_paused_before_its_first_agent_waits(opened: Open) -> None:
    script = Script()
    async with opened(script) as running:
        nap = WaitStep(name="nap", seconds=1)
        run = await running.start(plan(team(nap, agent("first", dependencies=("nap",)))))
        await run.pause(PauseRequest(paused=True))
        while (await _status(run, "nap")) is not AgentStatus.COMPLETED:
            await asyncio.sleep(0.02)
        assert (await run.status()).status is WorkflowStatus.RUNNING
        assert script.count() == 0
        await run.pause(PauseRequest(paused=False))
        assert (await asyncio.wait_for(run.wait(), 60)).status is WorkflowStatus.COMPLETED


async def test_one_command_sent_twice_is_one(opened: Open) -> None:
    script = Script({"slow": [SLOW]})
    async with opened(script) as running:
        run = await running.start(plan(team(agent("slow"), cost_budget=Decimal(1))))
        while script.count("slow") == 0:
            await asyncio.sleep(0.02)
        stop = PauseRequest(paused=True, request_id="p1")
        go = PauseRequest(paused=False, request_id="p2")
        said = [(await run.pause(command)).status for command in (stop, go, stop)]
        assert said == ["done", "done", "unchanged"]
        assert (await run.status()).paused_for is None
        await run.raise_budget(BudgetRaise(to=Decimal(3), request_id="b1"))
        await run.raise_budget(BudgetRaise(to=Decimal(5), request_id="b2"))
        view = await run.raise_budget(BudgetRaise(to=Decimal(3), request_id="b1"))
        assert view.budget == Decimal(5)
        await run.handle.execute_update(RunWorkflow.skip, SkipRequest(step="slow", request_id="p1"))
        script.go.set()
        await run.wait()
