"""A real worker lost while a quick tool is called within the workflow's task: the chat goes on.

An unsafe tool is begun once: a person says whether again.
The simulated provider notes each request that it receives, the tool each time that it begins.
"""

import asyncio
import json
import signal
import uuid
from pathlib import Path
from subprocess import Popen

import pytest

from client.agent_plans import plan_own
from client.chats import Chat, Chats
from client.runs import Runs
from config.agentfile import load_agent
from contracts.chats import PendingTool, TurnResult
from contracts.teams import AgentStatus
from tests.support.server import LocalServer
from tests.support.stamping import stamping, stamps
from tests.support.teams import AT_ONCE, candidate
from tests.support.workers import Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AGENT = """\
name: tested
model: {provider: simulated, name: gpt-4, max_tokens: 300}
instructions: You stamp.
"""

CODE = '''
import time
from pathlib import Path

HERE = Path(__file__).parent


def stamp(title: str) -> str:
    """Stamp a title; takes its time where a file says so."""
    with (HERE / "stamps").open("a") as log:
        log.write(title + "\\n")
    if (HERE / "slow").exists():
        time.sleep(1.5)
    return f"stamped {title}"
'''

QUICK = 5
"""Turns before: by then the tool is known to be quick, on any machine but the busiest."""


class Stage:
    """A worker, a chat with the tool, and the folder where both leave their marks."""

    def __init__(self, server: LocalServer, folder: Path, effect: str) -> None:
        (folder / "agent.yaml").write_text(AGENT + stamping(effect=effect))
        (folder / "tools.py").write_text(CODE)
        self._folder, self.workers = folder, Workers(server.address, folder / "home")

    async def open(self, runs: Runs) -> Chat:
        """Open the chat, and use the tool until it is known to be quick."""
        options = {"log": str(self._folder / "requests.jsonl")}
        one = candidate("simulated", "gpt-4", options=options)
        planned = plan_own(load_agent(self._folder / "agent.yaml"), lambda _: one, AT_ONCE)
        chat = await Chats(runs).open(f"chat-{uuid.uuid4()}", await planned.stored(runs.store))
        for number in range(1, QUICK + 1):
            said = await chat.say(f'Stamp the title "T{number}"')
            assert (await chat.wait(said.turn)).status is AgentStatus.COMPLETED
        return chat

    async def lost_in(self, chat: Chat, worker: Popen[bytes], signum: signal.Signals) -> int:
        """Have the tool take its time, and its worker lost then; return the turn."""
        (self._folder / "slow").touch()
        said = await chat.say('Stamp the title "Last"')
        async with asyncio.timeout(60):
            while "Last" not in self.stamps():
                await asyncio.sleep(0.02)
        worker.send_signal(signum)
        worker.wait(60)
        (self._folder / "slow").unlink()
        self.workers.start()
        return said.turn

    def stamps(self) -> list[str]:
        """Return what was begun to be stamped."""
        return stamps(self._folder)

    def calls(self) -> list[str]:
        """Return the calls of the model."""
        lines = (self._folder / "requests.jsonl").read_text().splitlines()
        return [json.loads(line)["agent"] for line in lines]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_lost_while_a_quick_tool_works(
    server: LocalServer, tmp_path: Path, signum: signal.Signals
) -> None:
    stage = Stage(server, tmp_path, "idempotent")
    async with staffed(stage.workers) as runs:
        first = stage.workers.start()
        chat = await stage.open(runs)
        turn = await stage.lost_in(chat, first, signum)
        result = await asyncio.wait_for(chat.wait(turn), 60)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert [t.status for t in result.tools] == ["completed"]
    begun = stage.stamps()
    assert begun[:QUICK] == [f"T{number}" for number in range(1, QUICK + 1)]
    assert set(begun[QUICK:]) == {"Last"}
    calls = stage.calls()
    assert calls == [f"t{turn}.{call}" for turn in range(1, QUICK + 2) for call in (1, 2)]


@pytest.mark.parametrize("again", [True, False])
async def test_a_quick_unsafe_tool_is_not_run_again_without_a_persons_word(
    server: LocalServer, tmp_path: Path, again: bool
) -> None:
    stage = Stage(server, tmp_path, "unsafe")
    asked: list[PendingTool] = []
    result: TurnResult | None = None
    async with staffed(stage.workers) as runs:
        first = stage.workers.start()
        chat = await stage.open(runs)
        assert await local_calls(chat) > 0, "the tool was not quick"
        turn = await stage.lost_in(chat, first, signal.SIGKILL)
        async for event in chat.follow(turn, await chat.place()):
            if isinstance(event, PendingTool):
                asked.append(event)
                assert stage.stamps().count("Last") == 1
                await chat.decide(event.call_id, approved=again)
            elif isinstance(event, TurnResult):
                result = event
        said = await chat.say('Stamp the title "After"')
        assert (await chat.wait(said.turn)).status is AgentStatus.COMPLETED
    assert [event.why for event in asked] == ["unknown"]
    assert result is not None
    assert result.status is AgentStatus.COMPLETED, result.error
    assert stage.stamps()[QUICK:] == ["Last"] * (2 if again else 1) + ["After"]


async def test_a_worker_that_stops_lets_a_quick_unsafe_tool_end(
    server: LocalServer, tmp_path: Path
) -> None:
    stage = Stage(server, tmp_path, "unsafe")
    async with staffed(stage.workers) as runs:
        first = stage.workers.start()
        chat = await stage.open(runs)
        turn = await stage.lost_in(chat, first, signal.SIGTERM)
        result = await asyncio.wait_for(chat.wait(turn), 60)
    assert result.status is AgentStatus.COMPLETED, result.error
    assert [t.status for t in result.tools] == ["completed"]
    assert stage.stamps().count("Last") == 1


async def local_calls(chat: Chat) -> int:
    """Return how many tools were called at once."""
    events = chat.handle.fetch_history_events()
    names = [event.marker_recorded_event_attributes.marker_name async for event in events]
    return names.count("core_local_activity")
