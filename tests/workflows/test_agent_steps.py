"""Agents with tools as steps of a team: in the run's books, mapped, repeated, approved, again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.runs import Run
from contracts.runs import RunStatus
from contracts.teams import AgentStatus, AgentStep, ForEachSpec, RepeatSpec
from contracts.updates import Answer, PauseRequest, PromptEdit, RetryRequest
from tests.support.finders import found, planned
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent

pytestmark = pytest.mark.integration

PRICE = Decimal("0.006")


@pytest.fixture
def serving(
    server: LocalServer, tmp_path: Path
) -> Callable[[Script], AbstractAsyncContextManager[Harness]]:
    """Serve workers with tools and a model that plays a script."""

    @asynccontextmanager
    async def serve(script: Script) -> AsyncIterator[Harness]:
        async with harness(server.address, tmp_path, script, tools=True) as h:
            yield h

    return serve


Serving = Callable[[Script], AbstractAsyncContextManager[Harness]]


def finder(name: str = "look", prompt: str = "Look for {text}", **more: Any) -> AgentStep:
    more.setdefault("cost_limit", Decimal(1))
    return AgentStep(name=name, file="agent.yaml", prompt_template=prompt, **more)


def asks(*texts: str) -> Say:
    calls = tuple(("find", {"text": text}) for text in texts)
    return Say("Let me see.", finish="tool_calls", calls=calls)


TEXT = {"text": {"type": "text"}}


async def until(run: Run, what: Callable[[RunStatus], bool]) -> RunStatus:
    async with asyncio.timeout(60):
        while not ((status := await run.current_status()).steps and what(status)):
            await asyncio.sleep(0.05)
    return status


async def test_an_agent_calls_its_tools_and_its_answer_is_the_steps(
    serving: Serving, tmp_path: Path
) -> None:
    script = Script(
        {
            "look.1": [asks("a", "b")],
            "look.2": [Say("Both are found.")],
            "report": [Say("A report.")],
        }
    )
    spec = planned(
        tmp_path,
        finder(),
        agent("report", "Report on: {look}", dependencies=("look",)),
        inputs=TEXT,
    )
    async with serving(script) as h:
        result, steps = await h.run(spec, {"text": "needles"})
        bill = await h.runs.get(result.run_id).cost()
        assert await h.text(steps["look"]) == "Both are found."
    first = next(req for name, _, req in script.requests if name == "look.1")
    assert [m.content for m in first.messages] == ["Look for needles"]
    assert [t.name for t in first.tools or ()] == ["find"]
    last = next(req for name, _, req in script.requests if name == "report")
    assert last.messages[0].content == "Report on: Both are found."
    assert sorted(found(tmp_path)) == ["a", "b"]
    assert result.cost == 3 * PRICE
    assert steps["look"].cost == 2 * PRICE
    assert steps["look"].metadata["tools"] == {"find": 2}
    assert [a.id for a in bill.attempts] == ["look#1", "look#2", "report#1"]


async def test_an_agent_is_mapped_over_a_list(serving: Serving, tmp_path: Path) -> None:
    turns: dict[str, list[Say]] = {}
    for n, name in enumerate(("x", "y")):
        turns[f"look[{n}].1"] = [asks(name)]
        turns[f"look[{n}].2"] = [Say(f"{name} is there.")]
    step = finder(prompt="Look for {name}", for_each=ForEachSpec(item="name", in_="inputs.names"))
    spec = planned(tmp_path, step, inputs={"names": {"type": "list"}})
    async with serving(Script(turns)) as h:
        result, steps = await h.run(spec, {"names": ["x", "y"]})
        assert steps["look"].output is not None
        assert steps["look"].output.inline == ["x is there.", "y is there."]
    assert result.cost == steps["look"].cost == 4 * PRICE
    assert sorted(found(tmp_path)) == ["x", "y"]


async def test_an_agent_is_repeated_until_it_is_good(serving: Serving, tmp_path: Path) -> None:
    script = Script(
        {
            "look.1": [asks("one")],
            "look.2": [Say("not yet")],
            "look.3": [asks("two")],
            "look.4": [Say("good")],
        }
    )
    step = finder(repeat=RepeatSpec(until="agents.look.output == 'good'", max=3))
    async with serving(script) as h:
        result, steps = await h.run(planned(tmp_path, step, inputs=TEXT), {"text": "it"})
    assert steps["look"].metadata["rounds"] == 2
    assert found(tmp_path) == ["one", "two"]
    assert result.cost == 4 * PRICE


async def test_what_a_step_may_cost_bounds_all_its_calls(serving: Serving, tmp_path: Path) -> None:
    script = Script(default=asks("again"))
    step = finder(cost_limit=Decimal("0.013"))
    async with serving(script) as h:
        result, steps = await h.run(planned(tmp_path, step, inputs=TEXT), {"text": "it"})
    assert steps["look"].status is AgentStatus.BUDGET_EXCEEDED
    assert "agents.look.cost_limit" in (steps["look"].error or "")
    assert result.cost <= Decimal("0.013")


@pytest.mark.parametrize("choice", ["approve", "reject"])
async def test_a_tool_that_needs_a_word_is_a_question_of_the_run(
    serving: Serving, tmp_path: Path, choice: str
) -> None:
    script = Script({"look.1": [asks("it")], "look.2": [Say("Done.")]})
    spec = planned(tmp_path, finder(), how="approval: always", inputs=TEXT)
    async with serving(script) as h:
        run = await h.start(spec, {"text": "it"})
        status = await until(run, lambda s: bool(s.questions))
        (question,) = status.questions
        assert question.step == "look.1.1"
        assert '{"text":"it"}' in question.ask
        assert "waits for an answer" in (status.steps[0].note or "")
        assert found(tmp_path) == []
        await run.answer(Answer(step="look", choice=choice, comment="as you like"))
        result = await asyncio.wait_for(run.wait(), 30)
    assert result.status.value == "completed"
    assert found(tmp_path) == (["it"] if choice == "approve" else [])
    if choice == "reject":
        told = next(req for name, _, req in script.requests if name == "look.2").messages[-1]
        assert "as you like" in told.content


async def test_a_failed_agent_runs_again_with_another_prompt(
    serving: Serving, tmp_path: Path
) -> None:
    script = Script(
        {
            "look.1": [asks("one")],
            "look.2": [Say("", fails=RuntimeError("no"))],
            "look.3": [asks("two")],
            "look.4": [Say("Found.")],
        }
    )
    spec = planned(
        tmp_path, finder(), agent("other", "{text}"), agent("third", "{text}"), inputs=TEXT
    )
    slow = {"other": [Say("a long and slow answer", seconds=120)]}
    script.turns = {**script.turns, **slow}
    async with serving(script) as h:
        run = await h.start(spec, {"text": "it"})
        await until(run, lambda s: s.steps[0].status is AgentStatus.FAILED)
        await run.edit_prompt(PromptEdit(step="look", prompt="Look harder for {text}"))
        await until(run, lambda s: s.steps[0].status is AgentStatus.COMPLETED)
        await run.cancel()
        await asyncio.wait_for(run.wait(), 30)
    again = next(req for name, _, req in script.requests if name == "look.3")
    assert again.messages[0].content == "Look harder for it"
    assert len(again.messages) == 1
    assert found(tmp_path) == ["one", "two"]


async def test_a_paused_run_lets_an_agent_call_no_model(serving: Serving, tmp_path: Path) -> None:
    script = Script({"look.1": [asks("it")], "look.2": [Say("Done.")]})
    spec = planned(tmp_path, finder(), how="approval: always", inputs=TEXT)
    async with serving(script) as h:
        run = await h.start(spec, {"text": "it"})
        await until(run, lambda s: bool(s.questions))
        await run.pause(PauseRequest(paused=True))
        await run.answer(Answer(step="look", choice="approve"))
        await asyncio.sleep(1)
        assert script.count("look.2") == 0
        await run.pause(PauseRequest(paused=False))
        result = await asyncio.wait_for(run.wait(), 30)
    assert result.status.value == "completed"


async def test_a_cancelled_agent_settles_what_it_spent(serving: Serving, tmp_path: Path) -> None:
    script = Script({"look.1": [Say("a long and slow answer", seconds=120)]})
    async with serving(script) as h:
        run = await h.start(planned(tmp_path, finder(), inputs=TEXT), {"text": "it"})
        await until(run, lambda s: s.reserved > 0)
        while not script.in_flight:
            await asyncio.sleep(0.05)
        await run.cancel()
        result = await asyncio.wait_for(run.wait(), 30)
        bill = await run.cost()
    assert result.status.value == "cancelled"
    assert bill.reserved == 0
    assert [a.outcome for a in bill.attempts] == ["Stopped"]


async def test_an_agent_without_its_tools_says_so(serving: Serving, tmp_path: Path) -> None:
    spec = planned(tmp_path, finder(), inputs=TEXT)
    (tmp_path / "tools.py").write_text("def other() -> None: ...\n")
    async with serving(Script(default=Say("Without tools."))) as h:
        _, steps = await h.run(spec, {"text": "it"})
    assert steps["look"].status is AgentStatus.COMPLETED
    assert "find" in str(steps["look"].metadata["notes"])


async def test_a_retried_step_calls_its_tools_anew(serving: Serving, tmp_path: Path) -> None:
    """An unsafe tool of a second try is another call, not the repetition of the first."""
    script = Script(
        {
            "look.1": [asks("same")],
            "look.2": [Say("", fails=RuntimeError("no"))],
            "look.3": [asks("same")],
            "look.4": [Say("Found.")],
            "other": [Say("a long and slow answer", seconds=120)],
        }
    )
    spec = planned(
        tmp_path,
        finder(),
        agent("other", "{text}"),
        agent("third", "{text}"),
        how="effect: unsafe",
        inputs=TEXT,
    )
    async with serving(script) as h:
        run = await h.start(spec, {"text": "it"})
        await until(run, lambda s: s.steps[0].status is AgentStatus.FAILED)
        await run.retry(RetryRequest(step="look"))
        await until(run, lambda s: s.steps[0].status is AgentStatus.COMPLETED)
        await run.cancel()
        await asyncio.wait_for(run.wait(), 30)
    assert found(tmp_path) == ["same", "same"]
