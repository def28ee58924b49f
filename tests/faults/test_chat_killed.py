"""A real worker killed in mid-answer, and between a tool's start and end: the chat goes on.

The simulated provider notes each request that it receives before it answers, the tool each time
that it begins. After each fault the files, the conversation and the bill must agree.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.agent_plans import plan_own
from client.chats import Chat, Chats, TextPart
from config.agentfile import load_agent
from contracts.chats import PendingTool, TurnResult
from contracts.parts import FileInlinePart, FileRefPart
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from tests.support.fixtures import ROOT
from tests.support.server import LocalServer
from tests.support.stamping import STAMP_CODE, stamped, stamping, stamps
from tests.support.teams import AT_ONCE, candidate
from tests.support.workers import Worker, Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

AGENT = """\
name: tested
model: {{provider: simulated, name: gpt-4, max_tokens: 300}}
instructions: You sum up and stamp.
execution: {{on_interrupt: {how}}}
"""


class Stage:
    """A home, its workers and a conversation."""

    def __init__(self, workers: Workers, chats: Chats, folder: Path) -> None:
        self.workers, self.chats, self.folder = workers, chats, folder

    async def begin(self, how: str = "restart", tools: str = "") -> Chat:
        """Begin a conversation with an agent that answers slowly enough to be caught at it."""
        file = self.folder / "agent.yaml"
        file.write_text(AGENT.format(how=how) + tools)
        (self.folder / "tools.py").write_text(STAMP_CODE)
        options = {"tokens_per_second": 60, "log": str(self.folder / "requests.jsonl")}
        one = candidate("simulated", "gpt-4", options=options)
        planned = plan_own(load_agent(file), lambda _: one, AT_ONCE)
        header = await planned.stored(self.chats.runs.store)
        return await self.chats.open(f"chat-{uuid.uuid4()}", header)

    def requests(self) -> list[tuple[str, str]]:
        """Return (call, attempt) of each request that the provider received."""
        lines = (self.folder / "requests.jsonl").read_text().splitlines()
        return [(entry["agent"], entry["attempt"]) for entry in map(json.loads, lines)]

    def stamps(self) -> list[str]:
        """Return what the tool has begun to stamp."""
        return stamps(self.folder)


@pytest.fixture
async def stage(server: LocalServer, tmp_path: Path) -> AsyncIterator[Stage]:
    workers = Workers(server.address, tmp_path / "home")
    async with staffed(workers) as runs:
        yield Stage(workers, Chats(runs), tmp_path)


QUESTION = "Sum up in 12 points: " + (ROOT / "LICENSE").read_text()[:6000]


@pytest.mark.parametrize("how", [pytest.param("restart", marks=pytest.mark.slow), "continue"])
async def test_a_worker_killed_in_mid_answer(stage: Stage, how: str) -> None:
    first = stage.workers.start()
    chat = await stage.begin(how)
    said = await chat.say(QUESTION)
    shown, killed = "", False
    result: TurnResult | None = None
    async for event in chat.follow(said.turn):
        if isinstance(event, TextPart):
            shown = shown[: event.keep] + event.added
            if len(shown) > 200 and not killed:
                killed = True
                first.kill()
                first.wait()
                stage.workers.start()
        elif isinstance(event, TurnResult):
            result = event
    assert result is not None
    assert result.status is AgentStatus.COMPLETED, result.error
    answer = await chat.output(result)
    messages, view = await chat.messages(), await chat.view()
    assert stage.requests() == [("t1.1", "1"), ("t1.1", "2")]
    assert [a.outcome for a in view.attempts] == ["WorkerLost", "completed"]
    assert [m.content for m in messages] == [QUESTION, answer]
    assert shown == answer
    lost, done = view.attempts
    assert lost.cost == lost.reserved
    assert view.cost == lost.cost + done.cost
    assert view.reserved == 0
    again = await chat.say("Thank you for the points")
    assert (await chat.wait(again.turn)).status is AgentStatus.COMPLETED
    assert len(await chat.messages()) == 4


@pytest.mark.slow
async def test_a_picture_outlives_the_worker_that_was_shown_it(stage: Stage) -> None:
    first = stage.workers.start()
    chat = await stage.begin(tools="budget: {session: 20, turn: 5}\n")
    cat = FileInlinePart(
        data=b"\x89PNG\r\n\x1a\n" + bytes(50_000), mime_type="image/png", name="cat.png"
    )
    said = await chat.say(QUESTION, parts=[cat])
    result: TurnResult | None = None
    async for event in chat.follow(said.turn):
        if isinstance(event, TextPart) and first.poll() is None:
            first.kill()
            first.wait()
            stage.workers.start()
        elif isinstance(event, TurnResult):
            result = event
    assert result is not None
    assert result.status is AgentStatus.COMPLETED, result.error
    view, (question, _) = await chat.view(), await chat.messages()
    assert [a.outcome for a in view.attempts] == ["WorkerLost", "completed"]
    assert all(a.input_bound > 12_000 for a in view.attempts), "the picture was paid for in each"
    (kept,) = question.parts
    assert isinstance(kept, FileRefPart)
    assert (kept.name, kept.size_bytes, view.files.images) == ("cat.png", len(cat.data), 1)
    again = await chat.say("Briefly: thank you for it")
    assert (await chat.wait(again.turn)).status is AgentStatus.COMPLETED


@pytest.mark.slow
async def test_what_is_said_while_no_worker_lives_is_answered_by_the_next(stage: Stage) -> None:
    chat = await stage.begin()
    saying = asyncio.create_task(chat.say("Hello there"))
    await asyncio.sleep(6)
    assert not saying.done()
    stage.workers.start()
    said = await asyncio.wait_for(saying, 120)
    result = await asyncio.wait_for(chat.wait(said.turn), 120)
    assert result.status is AgentStatus.COMPLETED
    assert (said.turn, (await chat.view()).last_turn) == (1, 1)


async def caught_stamping(stage: Stage, chat: Chat, worker: Worker) -> int:
    """Ask for a stamp; kill the worker between the tool's start and its end."""
    said = await chat.say('Stamp the title "Deed"')
    async for event in chat.follow(said.turn):
        assert not isinstance(event, TurnResult), event
        if isinstance(event, SpoolRecord) and event.tool:
            await stamped(stage.folder)
            break
    worker.kill()
    worker.wait()
    stage.workers.start()
    return said.turn


@pytest.mark.slow
async def test_a_worker_killed_while_an_idempotent_tool_works(stage: Stage) -> None:
    first = stage.workers.start()
    chat = await stage.begin(tools=stamping(effect="idempotent"))
    turn = await caught_stamping(stage, chat, first)
    result = await asyncio.wait_for(chat.wait(turn), 120)
    assert result.status is AgentStatus.COMPLETED
    assert [t.status for t in result.tools] == ["completed"]
    assert len(stage.stamps()) == 2
    assert "stamped" in (await chat.messages())[2].content


@pytest.mark.parametrize("again", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_an_unsafe_tool_is_not_run_again_without_a_persons_word(
    stage: Stage, again: bool
) -> None:
    first = stage.workers.start()
    chat = await stage.begin(tools=stamping(effect="unsafe"))
    turn = await caught_stamping(stage, chat, first)
    result: TurnResult | None = None
    async for event in chat.follow(turn, await chat.place()):
        if isinstance(event, PendingTool):
            assert event.why == "unknown"
            assert len(stage.stamps()) == 1
            await chat.decide(event.call_id, approved=again)
        elif isinstance(event, TurnResult):
            result = event
    assert result is not None
    assert result.status is AgentStatus.COMPLETED
    assert len(stage.stamps()) == (2 if again else 1), result.tools
    told = (await chat.messages())[2].content
    assert ("stamped" in told) is again
    assert ("knows" in told) is not again
