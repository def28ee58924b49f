"""An agent of hundreds of tool turns: one run, a small history, two activities a turn at most."""

import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from config.agentfile import load_agent
from contracts.chats import TurnResult
from contracts.teams import AgentStatus
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, begin, header
from worker import WORKFLOWS, workflow_runner

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
  - {name: look, type: function, file: tools.py, function: look, effect: EFFECT}
"""


def pages(count: int) -> Script:
    """Return a model that asks for one page after the other."""
    asked = {
        f"t1.{n}": [Say("Next.", finish="tool_calls", calls=(("look", {"page": n}),))]
        for n in range(1, count + 1)
    }
    return Script({**asked, f"t1.{count + 1}": [Say("I have read all of it.")]})


async def read_all(
    server: LocalServer, folder: Path, turns: int, size: int, effect: str = "read"
) -> tuple[TurnResult, int, WorkflowHistory]:
    """Let an agent read; return its turn's result, the history's size, and the history."""
    (folder / "tools.py").write_text(CODE.replace("SIZE", str(size)))
    (folder / "agent.yaml").write_text(FILE.replace("EFFECT", effect))
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
    return result, size_bytes, history


def made(history: WorkflowHistory) -> Counter[str]:
    """Count a history's activities."""
    return Counter(filter(None, map(_activity, history.events)))


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
    more, large, history = await read_all(server, tmp_path / "more", 12, 10_000)
    assert few.status is more.status is AgentStatus.COMPLETED
    assert made(history) == {"list_tools": 1, "call_turn": 13, "call_tool": 12}
    assert (large - small) / 10 <= 2_048


@pytest.mark.slow
async def test_three_hundred_tool_turns_of_ten_kilobytes_are_one_small_history(
    server: LocalServer, tmp_path: Path
) -> None:
    result, size, history = await read_all(server, tmp_path, 300, 10_000)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert result.calls == 301
    assert made(history) == {"list_tools": 1, "call_turn": 301, "call_tool": 300}
    assert size < 1_000_000
    assert result.cost > Decimal(0)


async def calls_up_to(history: WorkflowHistory, turn: int) -> int:
    """Count the functions that a replay up to a turn's end calls in the workflow's thread."""
    events = history.events
    ends = [event.event_id for event in events if _activity(event) == "call_turn"]
    counted = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal counted
        counted += event == "call"

    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
    )
    threading.setprofile(count)
    try:
        await replayer.replay_workflow(WorkflowHistory("part", events[: ends[turn] + 2]))
    finally:
        threading.setprofile(None)
    return counted


@pytest.mark.slow
async def test_a_late_turn_is_replayed_in_as_many_steps_as_an_early_one(
    server: LocalServer, tmp_path: Path
) -> None:
    _, _, history = await read_all(server, tmp_path, 100, 1_000, effect="unsafe")
    begun = [await calls_up_to(history, turn) for turn in (10, 20, 50, 100)]
    early, late = (begun[1] - begun[0]) / 10, (begun[3] - begun[2]) / 50
    assert early > 100
    assert late <= early * 1.02
