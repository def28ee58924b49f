"""Scenes of tools that are called within the workflow's own task: one hangs, some are unsafe."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from temporalio.api.history.v1 import MarkerRecordedEventAttributes

from client.chats import Chat
from config.agentfile import load_agent
from tests.support.harness import Harness
from tests.support.scripted import Say
from tests.support.talks import begin, header

CODE = '''
import time
from pathlib import Path


def look(page: int) -> str:
    """Return a page; the last one not at first."""
    seen = Path(__file__).with_name("seen")
    if page == 8 and not seen.exists():
        seen.touch()
        time.sleep(60)
    return f"page {page}"
'''

AGENT = """\
name: reader
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Read all pages.
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
"""


async def quick_tools(h: Harness) -> Chat:
    """Two turns: pages one by one and in pairs, of which one hangs and is looked at again."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tools.py").write_text(CODE)
        file = Path(folder) / "agent.yaml"
        file.write_text(AGENT)
        h.script.turns = {
            "t1.1": [_asks(1)],
            "t1.2": [_asks(2, 3)],
            "t1.3": [_asks(4, 5)],
            "t1.4": [_asks(6)],
            "t1.5": [Say("Six pages.")],
            "t2.1": [_asks(7, 8)],
            "t2.2": [_asks(9)],
            "t2.3": [Say("Nine pages.")],
        }
        one = await begin(h, await header(h, load_agent(file).agent))
        for text in ("Read six pages", "Read the rest"):
            await one.ask(text)
        await one.chat.end()
        await one.chat.handle.result()
    at_once = [marker async for marker in _markers(one.chat)]
    if not any(m.HasField("failure") for m in at_once) or len(at_once) < 4:
        raise RuntimeError("the machine is too busy for quick tools: record it again")
    return one.chat


UNSAFE_CODE = '''
def look(page: int) -> str:
    """Return a page."""
    return f"page {page}"


def note(page: int) -> str:
    """Note a page."""
    return f"noted {page}"
'''

UNSAFE_AGENT = """\
name: writer
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Note all pages.
execution: {max_parallel_tools: 1}
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
  - {name: note, type: function, file: tools.py, function: note}
"""


async def unsafe_tools(h: Harness) -> Chat:
    """Two turns: notes one by one, after each other, and after a page that is looked at at once."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tools.py").write_text(UNSAFE_CODE)
        file = Path(folder) / "agent.yaml"
        file.write_text(UNSAFE_AGENT)
        both = (_call("look", 3), _call("note", 3))
        h.script.turns = {
            "t1.1": [_asks(1)],
            "t1.2": [_asks(2, tool="note")],
            "t1.3": [Say("Next.", finish="tool_calls", calls=both)],
            "t1.4": [_asks(4, 5, tool="note")],
            "t1.5": [Say("Noted.")],
            "t2.1": [_asks(6, tool="note")],
            "t2.2": [Say("Noted, too.")],
        }
        one = await begin(h, await header(h, load_agent(file).agent))
        for text in ("Note five pages", "Note the last"):
            await one.ask(text)
        await one.chat.end()
        await one.chat.handle.result()
    if len([marker async for marker in _markers(one.chat)]) != 5:
        raise RuntimeError("the machine is too busy for quick tools: record it again")
    return one.chat


async def _markers(chat: Chat) -> AsyncIterator[MarkerRecordedEventAttributes]:
    """Yield the calls that were made at once."""
    async for event in chat.handle.fetch_history_events():
        if event.marker_recorded_event_attributes.marker_name == "core_local_activity":
            yield event.marker_recorded_event_attributes


def _asks(*pages: int, tool: str = "look") -> Say:
    calls = tuple(_call(tool, page) for page in pages)
    return Say("Next.", finish="tool_calls", calls=calls)


def _call(tool: str, page: int) -> tuple[str, dict[str, int]]:
    return tool, {"page": page}
