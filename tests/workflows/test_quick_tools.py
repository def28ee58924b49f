"""Quick tools within the workflow's own task: which ones, what it costs, what else happens then."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Container
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from temporalio import activity
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from activities.tools import RunTools
from config.agentfile import load_agent
from contracts.chats import TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from contracts.tools import ToolOutcome, ToolRequest
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, begin, header
from worker import WORKFLOWS, workflow_runner

pytestmark = pytest.mark.integration

CODE = '''
from pathlib import Path


def look(page: int) -> str:
    """Return a page."""
    with (Path(__file__).parent / "log").open("a") as log:
        log.write(f"{page}\\n")
    return f"page {page}"
'''

FILE = """\
name: reader
model: {{provider: simulated, name: gpt-4, max_tokens: 50}}
instructions: Read all pages.
execution: {{max_turns: 20}}
tools:
  - {{name: look, type: function, file: tools.py, function: look, effect: {effect}}}
"""


class Timed(RunTools):
    """Tools whose calls take the time that the test says, by their own clock.

    `took` seconds each; of those named in `hang` nothing is heard for `silent_s` where they are
    made at once.
    """

    def __init__(self, took: float, hang: Container[str], silent_s: float, *args: Any) -> None:
        super().__init__(*args)
        self._took, self._hang, self._silent_s = timedelta(seconds=took), hang, silent_s

    @activity.defn(name="call_tool")
    async def call_tool(self, request: ToolRequest) -> ToolOutcome:
        outcome = await super().call_tool(request)
        if activity.info().is_local and request.call_id in self._hang:
            await asyncio.sleep(self._silent_s)
        return outcome.model_copy(update={"ended_at": outcome.started_at + self._took})


class Open(Protocol):
    def __call__(
        self,
        pages: int,
        effect: str = ...,
        took: float = ...,
        hang: Container[str] = ...,
        silent_s: float = ...,
    ) -> AbstractAsyncContextManager[Talk]: ...


@pytest.fixture
def opened(server: LocalServer, tmp_path: Path) -> Open:
    """Open a conversation with an agent that looks at one page after the other; replay it."""
    (tmp_path / "tools.py").write_text(CODE)

    @asynccontextmanager
    async def open_it(
        pages: int,
        effect: str = "read",
        took: float = 0.0,
        hang: Container[str] = (),
        silent_s: float = 60.0,
    ) -> AsyncIterator[Talk]:
        (tmp_path / "agent.yaml").write_text(FILE.format(effect=effect))
        spec = load_agent(tmp_path / "agent.yaml").agent
        asked = {
            f"t1.{n}": [Say("Next.", finish="tool_calls", calls=(("look", {"page": n}),))]
            for n in range(1, pages + 1)
        }
        asked["t2.1"] = [Say("You are welcome.")]
        script = Script({**asked, f"t1.{pages + 1}": [Say("I have read all of it.")]})
        timed = partial(Timed, took, hang, silent_s)
        async with harness(server.address, tmp_path, script, tools=True, run_tools=timed) as h:
            talk = await begin(h, await header(h, spec))
            yield talk
            await replay(talk)

    return open_it


async def replay(one: Talk) -> None:
    """Replay a conversation: what is called at once is found in its history."""
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
        debug_mode=True,
    )
    await replayer.replay_workflow(await one.chat.handle.fetch_history())


def looked(folder: Path) -> list[int]:
    """Return the pages that the tool has begun to look at, in order."""
    return [int(line) for line in (folder / "log").read_text().split()]


async def ways(one: Talk) -> Counter[str]:
    """Return how often tools were called by their queue, and how often at once."""
    made: Counter[str] = Counter()
    async for event in one.chat.handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        made["queue"] += scheduled.activity_type.name == "call_tool"
        marker = event.marker_recorded_event_attributes
        made["at once"] += marker.marker_name == "core_local_activity"
    return made


@pytest.mark.parametrize("effect", ["read", "unsafe"])
async def test_a_tool_that_was_quick_is_called_at_once(
    opened: Open, tmp_path: Path, effect: str
) -> None:
    async with opened(6, effect) as one:
        said = await one.chat.say("Read")
        events = [event async for event in one.chat.follow(said.turn)]
        made, messages = await ways(one), await one.chat.messages()
    result = events[-1]
    assert isinstance(result, TurnResult)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert made == Counter({"queue": 1, "at once": 5})
    assert looked(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert [m.content for m in messages if m.role == "tool"] == [f"page {n}" for n in range(1, 7)]
    assert [t.call_id for t in result.tools] == [f"t1.{n}.1" for n in range(1, 7)]
    told = [e.tool.event for e in events if isinstance(e, SpoolRecord) and e.tool]
    assert told == ["started", "completed"] * 6


@pytest.mark.parametrize("effect", ["read", "unsafe"])
async def test_a_tool_that_takes_its_time_goes_by_the_queue(
    opened: Open, tmp_path: Path, effect: str
) -> None:
    async with opened(4, effect, took=0.3) as one:
        assert (await one.ask("Read")).status is AgentStatus.COMPLETED
        assert await ways(one) == Counter({"queue": 4})
    assert looked(tmp_path) == [1, 2, 3, 4]


async def test_a_quick_tool_that_hangs_is_called_again_by_the_queue(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(5, hang={"t1.3.1"}) as one:
        said = await one.chat.say("Read")
        events = [event async for event in one.chat.follow(said.turn)]
        made = await ways(one)
    result = events[-1]
    assert isinstance(result, TurnResult)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert [t.status for t in result.tools] == ["completed"] * 5
    assert looked(tmp_path) == [1, 2, 3, 3, 4, 5]
    assert made == Counter({"queue": 4, "at once": 2})
    told = [e.tool for e in events if isinstance(e, SpoolRecord) and e.tool]
    again = [one.event for one in told if one.call_id == "t1.3.1"]
    assert again == ["started", "completed"] * 2
    assert (told[-1].call_id, told[-1].event) == ("t1.5.1", "completed")


async def test_an_unsafe_tool_that_is_slow_this_time_is_waited_for(
    opened: Open, tmp_path: Path
) -> None:
    """It is not given up after the time that others have: nobody would know what it did."""
    async with opened(4, "unsafe", hang={"t1.3.1"}, silent_s=4) as one:
        result = await one.ask("Read")
        made = await ways(one)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert [t.status for t in result.tools] == ["completed"] * 4
    assert looked(tmp_path) == [1, 2, 3, 4]
    assert made == Counter({"queue": 1, "at once": 3})


@pytest.mark.parametrize("effect", ["read", pytest.param("unsafe", marks=pytest.mark.slow)])
async def test_a_stop_is_heard_though_a_quick_tool_hangs(
    opened: Open, tmp_path: Path, effect: str
) -> None:
    async with opened(10, effect, hang={"t1.3.1"}) as one:
        said = await one.chat.say("Read")
        async with asyncio.timeout(60):
            while not (tmp_path / "log").exists() or 3 not in looked(tmp_path):
                await asyncio.sleep(0.02)
        await one.chat.stop()
        result = await asyncio.wait_for(one.chat.wait(said.turn), 30)
        assert result.status is AgentStatus.CANCELLED
        assert await one.answer("Thank you") == "You are welcome."
    assert 10 not in looked(tmp_path)
