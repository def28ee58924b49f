"""Tools that ask a model: a prompt, another agent; under one ledger, told to viewers, bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.agent_plans import plan_own
from client.chat_bills import chat_bill
from client.chats import Chats
from config.agentfile import load_agent
from contracts.chats import TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from rules.billing import differences
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, begin
from tests.support.teams import AT_ONCE, candidate

pytestmark = pytest.mark.integration

HEAD = """\
name: asker
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Use your tools.
"""
SUM_UP = """\
  - name: sum_up
    type: prompt
    prompt: "Sum up: {text}"
    parameters: {text: string}
"""
LAWYER = """\
  - name: lawyer
    type: agent
    agent: lawyer.yaml
    description: Ask a lawyer.
"""
LAWYER_FILE = """\
name: lawyer
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Know the law.
tools:
  - {name: statute, type: function, file: tools.py, function: statute, effect: read}
"""
CODE = '''
def statute(number: int) -> str:
    """Return a statute."""
    return f"statute {number}"
'''

Open = Callable[..., AbstractAsyncContextManager[Talk]]


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    """Open a conversation with an agent of these tools and a model that plays a script."""
    (tmp_path / "tools.py").write_text(CODE)
    (tmp_path / "lawyer.yaml").write_text(LAWYER_FILE)

    @asynccontextmanager
    async def open_it(script: Script, *tools: str, more: str = "") -> AsyncIterator[Talk]:
        file = tmp_path / "agent.yaml"
        file.write_text(HEAD + more + "tools:\n" + "".join(tools))
        planned = plan_own(load_agent(file, {}), lambda _: candidate(), AT_ONCE)
        async with harness(server.address, tmp_path, script, tools=True) as h:
            yield await begin(h, await planned.stored(h.store))

    return open_it


def asks(*calls: tuple[str, dict[str, Any]]) -> Say:
    return Say("Let me see.", finish="tool_calls", calls=calls)


async def events(one: Talk, turn: int) -> list[tuple[str, str]]:
    """Return the events of tools as a viewer is told them."""
    return [
        (event.tool.tool, event.tool.event)
        async for event in one.chat.follow(turn)
        if isinstance(event, SpoolRecord) and event.tool is not None
    ]


async def test_a_prompt_is_rendered_and_its_answer_is_the_result(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("sum_up", {"text": "a long text"}))],
            "t1.1.1.1": [Say("In short.")],
            "t1.2": [Say("Done.")],
        }
    )
    async with opened(script, SUM_UP) as one:
        said = await one.chat.say("Sum up")
        told = await events(one, said.turn)
        result = await one.chat.wait(said.turn)
        messages = await one.chat.messages()
        view = await one.chat.view()
    assert result.status is AgentStatus.COMPLETED
    asked = next(req for name, _, req in script.requests if name == "t1.1.1.1")
    assert [m.content for m in asked.messages] == ["Sum up: a long text"]
    assert not asked.tools
    assert messages[2].content == "In short."
    assert told == [("sum_up", "started"), ("sum_up", "completed")]
    assert result.cost == view.cost == 3 * Decimal("0.006")
    assert result.tools[0].cost == Decimal("0.006")
    assert [a.id for a in view.attempts] == ["t1#1", "t1.1.1#1", "t1#2"]


async def test_an_agent_as_a_tool_has_tools_of_its_own(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("lawyer", {"message": "May I?"}))],
            "t1.1.1.1": [asks(("statute", {"number": 7}))],
            "t1.1.1.2": [Say("By statute 7 you may.")],
            "t1.2": [Say("You may.")],
        }
    )
    async with opened(script, LAWYER) as one:
        result = await one.ask("May I?")
        messages = await one.chat.messages()
    assert result.status is AgentStatus.COMPLETED
    assert messages[2].content == "By statute 7 you may."
    own = next(req for name, _, req in script.requests if name == "t1.1.1.2")
    assert own.system == "Know the law."
    assert own.messages[2].content == "statute 7"
    assert result.cost == 4 * Decimal("0.006")
    assert result.attempts == 4
    assert [t.name for t in result.tools] == ["lawyer"]


async def test_what_a_tool_may_cost_bounds_its_calls(opened: Open) -> None:
    script = Script({"t1.1": [asks(("lawyer", {"message": "?"}))], "t1.2": [Say("Too dear.")]})
    limited = LAWYER + "    cost_limit: 0.0001\n"
    async with opened(script, limited) as one:
        result = await one.ask("May I?")
    assert result.status is AgentStatus.COMPLETED
    assert result.tools[0].status == "failed"
    assert "tools.lawyer.cost_limit" in (result.tools[0].error or "")
    assert script.count() == 2


async def test_what_a_tool_costs_counts_against_the_turn(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("lawyer", {"message": "?"}))],
            "t1.1.1.1": [asks(("statute", {"number": 7}))],
        },
        default=Say("Well."),
    )
    async with opened(script, LAWYER, more="budget: {turn: 0.014}\n") as one:
        result: TurnResult = await one.ask("May I?")
        view = await one.chat.view()
    assert view.cost <= Decimal("0.014")
    assert result.status is AgentStatus.BUDGET_EXCEEDED
    assert "budget.turn" in (result.error or "")


async def test_arguments_that_give_no_prompt_are_mended(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("sum_up", {"txt": "x"}))],
            "t1.2": [asks(("sum_up", {"text": "x"}))],
            "t1.2.1.1": [Say("Short.")],
            "t1.3": [Say("Done.")],
        }
    )
    async with opened(script, SUM_UP) as one:
        result = await one.ask("Sum up")
    assert [t.status for t in result.tools] == ["failed", "completed"]
    assert result.status is AgentStatus.COMPLETED


async def test_an_agent_that_fails_is_an_answer_to_who_asked_it(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("lawyer", {"message": "?"}))],
            "t1.1.1.1": [Say("", fails=RuntimeError("no"))],
            "t1.2": [Say("The lawyer is away.")],
        }
    )
    async with opened(script, LAWYER) as one:
        said = await one.chat.say("May I?")
        told = await events(one, said.turn)
        result = await one.chat.wait(said.turn)
    assert result.status is AgentStatus.COMPLETED
    assert told == [("lawyer", "started"), ("lawyer", "failed")]


async def test_the_time_of_an_agent_as_a_tool_is_bounded(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("lawyer", {"message": "?"}))],
            "t1.1.1.1": [Say("slow and slow and slow", seconds=30)],
            "t1.2": [Say("It took too long.")],
        }
    )
    async with opened(script, LAWYER + "    timeout: 0.5\n") as one:
        result = await one.ask("May I?")
    assert result.status is AgentStatus.COMPLETED
    assert result.tools[0].error_kind == "timeout"


async def test_stopped_while_an_agent_it_asked_answers_it_settles_all(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("lawyer", {"message": "?"}))],
            "t1.1.1.1": [Say("slow and slow and slow", seconds=30)],
        }
    )
    async with opened(script, LAWYER) as one:
        said = await one.chat.say("May I?")
        while script.count("t1.1.1.1") == 0:
            await asyncio.sleep(0.05)
        await one.chat.stop()
        result = await asyncio.wait_for(one.chat.wait(said.turn), 30)
        view = await one.chat.view()
        assert await one.answer("Hello?") == "An answer."
    assert result.status is AgentStatus.CANCELLED
    assert view.reserved == 0
    assert [a.outcome for a in view.attempts] == ["completed", "Stopped"]
    assert result.cost == view.cost


async def test_a_tool_that_an_agent_lacks_is_a_note(opened: Open, tmp_path: Path) -> None:
    script = Script({"t1.1": [asks(("lawyer", {"message": "?"}))], "t1.2": [Say("Well.")]})
    async with opened(script, LAWYER) as one:
        (tmp_path / "tools.py").write_text("def other() -> None: ...\n")
        result = await one.ask("May I?")
    assert result.status is AgentStatus.COMPLETED
    assert "statute" in " ".join(result.notes)


async def test_prompts_and_agents_are_asked_side_by_side(opened: Open) -> None:
    calls = [("lawyer", {"message": "a"}), ("sum_up", {"text": "b"}), ("sum_up", {"text": "c"})]
    script = Script(
        {"t1.1": [asks(*calls)], "t1.2": [Say("Done.")]}, default=Say("one two", held=1)
    )
    async with opened(script, LAWYER, SUM_UP) as one:
        said = await one.chat.say("All")
        async with asyncio.timeout(60):
            while script.in_flight < 3:
                await asyncio.sleep(0.02)
        script.go.set()
        result = await asyncio.wait_for(one.chat.wait(said.turn), 60)
    assert result.status is AgentStatus.COMPLETED
    assert [t.status for t in result.tools] == ["completed"] * 3


async def test_what_tools_asked_of_models_is_on_the_bill(opened: Open) -> None:
    script = Script(
        {
            "t1.1": [asks(("sum_up", {"text": "a long text"}), ("lawyer", {"message": "May I?"}))],
            "t1.1.1.1": [Say("In short.")],
            "t1.1.2.1": [asks(("statute", {"number": 7}))],
            "t1.1.2.2": [Say("By statute 7 you may.")],
            "t1.2": [Say("You may.")],
        }
    )
    async with opened(script, SUM_UP, LAWYER) as one:
        result = await one.ask("May I?")
        bill = await chat_bill(Chats(one.h.runs), one.chat.chat_id)
    assert result.status is AgentStatus.COMPLETED
    lines = {line.name: line for line in bill.lines}
    assert sorted(lines) == ["t1#1", "t1#2", "t1.1.1#1", "t1.1.2#1", "t1.1.2#2"]
    assert all(line.attempt.cost == Decimal("0.006") for line in bill.lines)
    assert all(line.candidate is not None for line in bill.lines), "each with its own price"
    assert [tool.cost for tool in result.tools] == [Decimal("0.006"), Decimal("0.012")]
    assert bill.computed == bill.cost.cost == result.cost == Decimal("0.030")
    assert differences(bill) == []
