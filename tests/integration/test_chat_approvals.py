"""A tool call that wants a person's word, in seed 003's faces: asked about, or told of."""

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

import pytest

from client.chat import AgentError, AgentResponse, ChatConfig, ChatSessionManager, ConfigLoader
from client.chat.executor import Approve, Fund
from contracts.chats import PendingTool
from providers.simulated import SimulatedClient
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

BOOKKEEPER = Path(__file__).parents[2] / "examples" / "agents" / "bookkeeper.yaml"
BOOK = 'book_amount 12.5 for "Paper".'


@pytest.fixture(autouse=True)
def surroundings(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every executor find the session's server, and a home of its own."""
    monkeypatch.setenv("CALLBOARD_TEMPORAL_ADDRESS", server.address)
    monkeypatch.setenv("CALLBOARD_HOME", str(tmp_path / "home"))


def manager(approve: Approve | None = None) -> ChatSessionManager:
    agent = ConfigLoader().load_agent(BOOKKEEPER)
    client = SimulatedClient("gpt-4o-mini", tokens_per_second=0)
    return ChatSessionManager(agent, ChatConfig(BOOKKEEPER), client=client, approve=approve)


@pytest.mark.parametrize("word", [True, False])
async def test_who_is_asked_decides(word: bool) -> None:
    asked: list[PendingTool] = []

    async def approve(pending: PendingTool) -> bool:
        asked.append(pending)
        return word

    chat = manager(approve)
    await chat.start()
    response = await chat.process_message(BOOK)
    assert [pending.name for pending in asked] == ["book_amount"]
    (execution,) = response.tool_executions
    assert execution.status == ("completed" if word else "failed")
    await chat.terminate()


async def test_who_is_asked_and_fails_ends_the_answer() -> None:
    async def approve(pending: PendingTool) -> bool:
        raise KeyError(pending.name)

    chat = manager(approve)
    await chat.start()
    with pytest.raises(KeyError, match="book_amount"):
        await chat.process_message(BOOK)
    await chat.terminate()


async def test_a_wait_that_nobody_here_can_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    chat = manager()
    session = await chat.start()
    caplog.set_level(logging.WARNING, "client.chat.executor")
    answering: asyncio.Task[AgentResponse] = asyncio.create_task(chat.process_message(BOOK))
    async with asyncio.timeout(60):
        while "waits for a person" not in caplog.text:
            await asyncio.sleep(0.05)
    assert f"starter.py approve {session.session_id} " in caplog.text
    assert "book_amount" in caplog.text
    assert not answering.done()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    await chat.terminate()


POOR = """\
name: poor
model: {{provider: custom, name: gpt-4o-mini, max_tokens: 40}}
instructions: You help.
budget: {{session: {0}, turn: 5, on_budget: pause}}
"""


async def poor(tmp_path: Path, dollars: object, fund: Fund | None = None) -> ChatSessionManager:
    file = tmp_path / "poor.yaml"
    file.write_text(POOR.format(dollars))
    client = SimulatedClient("gpt-4o-mini", tokens_per_second=0)
    agent = ConfigLoader().load_agent(file)
    chat = ChatSessionManager(agent, ChatConfig(file), client=client, on_budget_wait=fund)
    await chat.start()
    return chat


async def enough_for_one(tmp_path: Path) -> Decimal:
    """Return what the first call of such an agent may cost."""
    chat = await poor(tmp_path, 5)
    await chat.process_message(BOOK)
    assert chat._executor is not None
    assert chat._executor._chat is not None
    (attempt,) = (await chat._executor._chat.view()).attempts
    await chat.terminate()
    return attempt.reserved


@pytest.mark.slow
async def test_who_is_told_of_a_wait_for_money_raises_the_budget_or_stops(tmp_path: Path) -> None:
    told: list[str] = []
    once = await enough_for_one(tmp_path)

    async def fund(why: str) -> Decimal:
        told.append(why)
        return once * 20 if len(told) == 1 else Decimal(0)

    chat = await poor(tmp_path, f"{once:f}", fund)
    assert (await chat.process_message(BOOK)).content
    assert not told
    assert (await chat.process_message("And again: " + BOOK)).content
    assert len(told) == 1
    assert "budget.session" in told[0]

    async def on_and_on() -> None:
        for _ in range(100):
            await chat.process_message("And again: " + BOOK)

    with pytest.raises(AgentError):
        await on_and_on()
    assert len(told) == 2, "told once for each wait; 0 stops the answer"
    await chat.terminate()
