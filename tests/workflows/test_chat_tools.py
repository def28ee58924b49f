"""Tools within conversations: side by side, approved, mended, and never twice by accident."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from client.chats import Chats
from config.agentfile import load_agent
from contracts.agents import AgentSpec
from contracts.chats import PendingTool, TurnQuery, TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from providers.exceptions import StreamInterrupted
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, begin, header
from workflows.chat import ChatWorkflow

pytestmark = pytest.mark.integration

CODE = '''
import time
from pathlib import Path

LOG = Path(__file__).with_name("log")


def note(text: str) -> str:
    """Write a text down."""
    with LOG.open("a") as log:
        log.write(text + "\\n")
    return f"noted {text}"


def together(text: str) -> str:
    """Wait until four of these have begun."""
    mark = LOG.with_name(f"begun-{text}")
    mark.touch()
    while len(list(mark.parent.glob("begun-*"))) < 4:
        time.sleep(0.02)
    return note(text)


def endless(text: str) -> str:
    """Never return."""
    time.sleep(600)
    return text


def broken(text: str) -> str:
    """Fail."""
    raise RuntimeError(f"cannot {text}")
'''

HEAD = """\
name: tested
model: {provider: simulated, name: gpt-4, max_tokens: 50}
instructions: Use your tools.
"""


def tool(name: str, **more: Any) -> str:
    extra = "".join(f", {key}: {value}" for key, value in more.items())
    function = more.get("function", name)
    extra = "".join(f", {key}: {value}" for key, value in more.items() if key != "function")
    return f"  - {{name: {name}, type: function, file: tools.py, function: {function}{extra}}}\n"


Open = Callable[..., AbstractAsyncContextManager[Talk]]


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    """Open a conversation with an agent that has these tools and a model that plays a script."""
    (tmp_path / "tools.py").write_text(CODE)

    @asynccontextmanager
    async def open_it(script: Script, *tools: str, more: str = "") -> AsyncIterator[Talk]:
        file = tmp_path / "agent.yaml"
        file.write_text(HEAD + more + "tools:\n" + "".join(tools))
        spec: AgentSpec = load_agent(file).agent
        async with harness(server.address, tmp_path, script, tools=True) as h:
            yield await begin(h, await header(h, spec))

    return open_it


def log(folder: Path) -> list[str]:
    file = folder / "log"
    return file.read_text().split() if file.exists() else []


def asks(*calls: tuple[str, dict[str, Any]], text: str = "Let me see.") -> Say:
    return Say(text, finish="tool_calls", calls=calls)


async def test_a_tool_is_called_and_the_model_is_told(opened: Open, tmp_path: Path) -> None:
    script = Script({"t1.1": [asks(("note", {"text": "one"}))], "t1.2": [Say("Done.")]})
    async with opened(script, tool("note", effect="read")) as one:
        said = await one.chat.say("Note one")
        events = [event async for event in one.chat.follow(said.turn)]
        messages = await one.chat.messages()
        cost = (await one.chat.view()).cost
    result = events[-1]
    assert isinstance(result, TurnResult)
    assert result.status is AgentStatus.COMPLETED
    assert result.calls == 2
    assert [m.role for m in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[2].content == "noted one"
    assert messages[2].tool_call_id == messages[1].tool_calls[0].id
    told = [e.tool.event for e in events if isinstance(e, SpoolRecord) and e.tool]
    assert told == ["started", "completed"]
    assert log(tmp_path) == ["one"]
    assert cost == result.cost == Decimal("0.012")
    first = script.requests[0][2]
    assert [t.name for t in first.tools or []] == ["note"]
    assert (first.tools or [])[0].description.startswith("Write a text down")


async def test_a_message_waits_while_the_tools_of_another_agent_are_looked_up(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(Script(), tool("note")) as one:
        gate = tmp_path / "gate"
        late = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"
        (tmp_path / "late.py").write_text(late + CODE)
        file = tmp_path / "second.yaml"
        file.write_text(HEAD + "tools:\n" + tool("note").replace("tools.py", "late.py"))
        await one.chat.use_agent(await header(one.h, load_agent(file).agent))
        said = await one.chat.say("Hello")
        async with asyncio.timeout(20):
            asked = await one.chat.handle.query(ChatWorkflow.turn, TurnQuery(turn=said.turn))
        gate.touch()
        result = await asyncio.wait_for(one.chat.wait(said.turn), 30)
    assert asked.state == "waiting"
    assert result.status is AgentStatus.COMPLETED


async def test_tools_of_one_answer_run_side_by_side(opened: Open, tmp_path: Path) -> None:
    calls = tuple(("together", {"text": f"n{n}"}) for n in range(4))
    script = Script({"t1.1": [asks(*calls)], "t1.2": [Say("Done.")]})
    async with opened(script, tool("together", effect="read")) as one:
        result = await one.ask("Do it")
        messages = await one.chat.messages()
    assert [t.status for t in result.tools] == ["completed"] * 4
    assert [m.content for m in messages if m.role == "tool"] == [f"noted n{n}" for n in range(4)]
    began = [t.started_at for t in result.tools if t.started_at]
    ended = [t.ended_at for t in result.tools if t.ended_at]
    assert max(began) < min(ended)


async def test_C19_a_tool_that_raises_is_an_answer_to_the_model(opened: Open) -> None:
    script = Script({"t1.1": [asks(("broken", {"text": "fly"}))], "t1.2": [Say("It failed.")]})
    async with opened(script, tool("broken")) as one:
        result = await one.ask("Fly")
        messages = await one.chat.messages()
    assert result.status is AgentStatus.COMPLETED
    assert result.tools[0].status == "failed"
    assert "cannot fly" in (result.tools[0].error or "")
    assert "cannot fly" in messages[2].content


async def test_C19_a_critical_tool_that_fails_ends_the_turn(opened: Open) -> None:
    script = Script({"t1.1": [asks(("broken", {"text": "fly"}))]})
    async with opened(script, tool("broken", critical="true")) as one:
        result = await one.ask("Fly")
        assert await one.chat.messages() == []
        script.default = Say("I am here.")
        assert await one.answer("Are you there?") == "I am here."
    assert result.status is AgentStatus.FAILED
    assert result.kind == "ToolFailed"
    assert "broken" in (result.error or "")


async def test_arguments_that_do_not_fit_are_mended_by_the_model(
    opened: Open, tmp_path: Path
) -> None:
    script = Script(
        {
            "t1.1": [asks(("note", {"txt": "one"}), ("nothing", {}))],
            "t1.2": [asks(("note", {"text": "one"}))],
            "t1.3": [Say("Done.")],
        }
    )
    async with opened(script, tool("note")) as one:
        result = await one.ask("Note one")
        messages = await one.chat.messages()
    assert result.status is AgentStatus.COMPLETED
    assert [t.status for t in result.tools] == ["failed", "failed", "completed"]
    assert "text" in messages[2].content
    assert "no tool nothing" in messages[3].content
    assert log(tmp_path) == ["one"]


async def test_arguments_are_mended_only_so_often(opened: Open) -> None:
    script = Script(default=asks(("note", {"txt": "one"})))
    limits = "execution: {argument_repairs: 1}\n"
    async with opened(script, tool("note"), more=limits) as one:
        result = await one.ask("Note one")
    assert result.kind == "ToolArguments"
    assert result.calls == 2


async def test_a_turn_has_only_so_many_calls(opened: Open, tmp_path: Path) -> None:
    script = Script(default=asks(("note", {"text": "again"})))
    async with opened(script, tool("note"), more="execution: {max_turns: 3}\n") as one:
        result = await one.ask("Go on and on")
    assert result.kind == "TurnLimit"
    assert script.count() == 3
    assert log(tmp_path) == ["again"] * 2


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_waits_for_a_persons_word(
    opened: Open, tmp_path: Path, approved: bool
) -> None:
    script = Script({"t1.1": [asks(("note", {"text": "one"}))], "t1.2": [Say("Done.")]})
    async with opened(script, tool("note", approval="always")) as one:
        said = await one.chat.say("Note one")
        async for event in one.chat.follow(said.turn):
            if isinstance(event, PendingTool):
                break
        assert log(tmp_path) == []
        assert event.name == "note"
        assert '"one"' in event.arguments.preview
        other = Chats(one.h.runs).get(one.chat.chat_id)
        await other.decide(event.call_id, approved=approved, comment="as you like")
        result = await one.chat.wait(said.turn)
        messages = await one.chat.messages()
        assert (await one.chat.view()).pending == ()
    assert result.status is AgentStatus.COMPLETED
    assert log(tmp_path) == (["one"] if approved else [])
    if not approved:
        assert "declined" in messages[2].content
        assert "as you like" in messages[2].content


async def test_a_person_who_does_not_answer_in_time_has_declined(
    opened: Open, tmp_path: Path
) -> None:
    script = Script({"t1.1": [asks(("note", {"text": "one"}))], "t1.2": [Say("Well.")]})
    limits = "execution: {approval_timeout: 0.3, turn_timeout: 30}\n"
    async with opened(script, tool("note", approval="always"), more=limits) as one:
        result = await one.ask("Note one")
    assert result.status is AgentStatus.COMPLETED
    assert result.tools[0].error_kind == "refused"
    assert log(tmp_path) == []


async def test_the_time_a_person_takes_is_not_the_turns(opened: Open, tmp_path: Path) -> None:
    script = Script({"t1.1": [asks(("note", {"text": "one"}))], "t1.2": [Say("Done.")]})
    limits = "execution: {turn_timeout: 6}\n"
    async with opened(script, tool("note", approval="always"), more=limits) as one:
        said = await one.chat.say("Note one")
        async for event in one.chat.follow(said.turn):
            if isinstance(event, PendingTool):
                await asyncio.sleep(6.5)
                await one.chat.decide(event.call_id, approved=True)
            last = event
    assert isinstance(last, TurnResult)
    assert last.status is AgentStatus.COMPLETED
    assert log(tmp_path) == ["one"]


async def test_stopped_while_a_tool_works_it_is_ended(opened: Open) -> None:
    calls = tuple(("endless", {"text": f"n{n}"}) for n in range(3))
    script = Script({"t1.1": [asks(*calls)]})
    limits = "execution: {max_parallel_tools: 1}\n"
    async with opened(script, tool("endless", effect="read"), more=limits) as one:
        said = await one.chat.say("Do it")
        async for event in one.chat.follow(said.turn):
            if isinstance(event, SpoolRecord) and event.tool:
                break
        await one.chat.stop()
        result = await asyncio.wait_for(one.chat.wait(said.turn), 60)
        assert await one.answer("Hello?") == "An answer."
    assert result.status is AgentStatus.CANCELLED


async def test_a_turn_with_tools_begins_anew_whatever_the_file_says(opened: Open) -> None:
    script = Script(
        {"t1.1": [Say("one two", fails=StreamInterrupted("cut")), Say("one two three")]}
    )
    limits = "execution: {on_interrupt: continue}\n"
    async with opened(script, tool("note"), more=limits) as one:
        assert await one.answer("Count") == "one two three"
    again = script.requests[1][2]
    assert [message.content for message in again.messages] == ["Count"]
