"""A scene of tools that are called within the workflow's own task, and of one that then hangs."""

import tempfile
from pathlib import Path

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
    made = [
        e.marker_recorded_event_attributes async for e in one.chat.handle.fetch_history_events()
    ]
    at_once = [marker for marker in made if marker.marker_name == "core_local_activity"]
    if not any(m.HasField("failure") for m in at_once) or len(at_once) < 4:
        raise RuntimeError("the machine is too busy for quick tools: record it again")
    return one.chat


def _asks(*pages: int) -> Say:
    calls = tuple(("look", {"page": page}) for page in pages)
    return Say("Next.", finish="tool_calls", calls=calls)
