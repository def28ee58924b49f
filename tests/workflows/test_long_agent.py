"""An agent of hundreds of tool turns: one run, a small history, two activities a turn at most."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent

from config.agentfile import load_agent
from contracts.chats import TurnResult
from contracts.teams import AgentStatus
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, begin, header

pytestmark = pytest.mark.integration

CODE = '''
def look(page: int) -> str:
    """Return a page."""
    return f"page {page}: " + "x" * SIZE
'''

FILE = """\
name: reader
model: {provider: simulated, name: gpt-4, max_tokens: 50}
instructions: Read all pages.
execution: {max_turns: 1000, turn_timeout: 3600}
budget: {session: 1000000, turn: 1000000}
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
"""


def pages(count: int) -> Script:
    """Return a model that asks for one page after the other."""
    asked = {
        f"t1.{n}": [Say("Next.", finish="tool_calls", calls=(("look", {"page": n}),))]
        for n in range(1, count + 1)
    }
    return Script({**asked, f"t1.{count + 1}": [Say("I have read all of it.")]})


async def read_all(
    server: LocalServer, folder: Path, turns: int, size: int
) -> tuple[TurnResult, int, Counter[str]]:
    """Let an agent read; return its turn's result, the history's size, and its activities."""
    (folder / "tools.py").write_text(CODE.replace("SIZE", str(size)))
    (folder / "agent.yaml").write_text(FILE)
    spec = load_agent(folder / "agent.yaml").agent
    async with harness(server.address, folder, pages(turns), tools=True, cached_workflows=10) as h:
        one: Talk = await begin(h, await header(h, spec))
        begun = (await one.chat.handle.describe()).run_id
        accepted = await one.chat.say("Read.")
        result = await one.chat.wait(accepted.turn)
        # After so long a turn the conversation goes on in a new history.
        handle = h.client.get_workflow_handle(one.chat.chat_id, run_id=begun)
        described, history = await handle.describe(), await handle.fetch_history()
        size_bytes = described.raw_description.workflow_execution_info.history_size_bytes
        await one.chat.end()
    made = Counter(filter(None, map(_activity, history.events)))
    return result, size_bytes, made


def _activity(event: HistoryEvent) -> str:
    """Return the activity that an event begins, or is the whole of: a quick tool's call."""
    if event.marker_recorded_event_attributes.marker_name == "core_local_activity":
        return "call_tool"
    return event.activity_task_scheduled_event_attributes.activity_type.name


async def test_a_tool_turn_is_two_activities_and_two_kilobytes(
    server: LocalServer, tmp_path: Path
) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "more").mkdir()
    few, small, _ = await read_all(server, tmp_path / "few", 2, 10_000)
    more, large, made = await read_all(server, tmp_path / "more", 12, 10_000)
    assert few.status is more.status is AgentStatus.COMPLETED
    assert made == {"list_tools": 1, "call_turn": 13, "call_tool": 12}
    assert (large - small) / 10 <= 2_048


@pytest.mark.slow
async def test_three_hundred_tool_turns_of_ten_kilobytes_are_one_small_history(
    server: LocalServer, tmp_path: Path
) -> None:
    result, size, made = await read_all(server, tmp_path, 300, 10_000)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert result.calls == 301
    assert made == {"list_tools": 1, "call_turn": 301, "call_tool": 300}
    assert size < 1_000_000
    assert result.cost > Decimal(0)
