"""Conversations found by less than their id, and the histories that they have."""

import uuid
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from client.chats import Chats
from client.cli.chats_found import chat_to_join
from client.cli.console import Refusal
from client.cli.exporting import files_of
from client.encryption import data_converter
from client.histories import NoHistory, histories
from contracts import search
from tests.support.harness import Harness, harness
from tests.support.scripted import Script
from tests.support.server import LocalServer
from tests.support.talks import Talk, agent, header
from tests.workflows.test_chat_upkeep import RestlessChat

pytestmark = pytest.mark.integration


async def opened(h: Harness, chat_id: str, name: str = "tested") -> Talk:
    chat = await Chats(h.runs).open(chat_id, await header(h, agent(name=name)))
    await listed(h, chat_id)
    return Talk(h, chat)


async def listed(h: Harness, chat_id: str) -> None:
    """Wait until the server's lists have it: they come some moments after it."""
    for _ in range(200):
        if await Chats(h.runs).latest(1, f"WorkflowId = '{chat_id}'"):
            return
    raise AssertionError(f"{chat_id} is not listed")


async def test_a_session_is_joined_by_its_beginning_and_by_last(
    server: LocalServer, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex[:8]
    made, chosen, third = f"{mark}-20260101-120000-ab12", f"user{mark}-1", f"user{mark}-12"
    async with harness(server.address, tmp_path, Script()) as h:
        chats = Chats(h.runs)

        async def joined(name: str, of: str = "tested") -> str:
            return await chat_to_join(chats, name, of)

        for chat_id in (made, third):
            await opened(h, chat_id)
        assert await joined(made) == made
        assert await joined(f"{mark}-2026") == made, "a name that nobody chose"
        assert await joined(mark) == made
        assert await joined(chosen) == chosen, "not the user whose number begins so"
        assert await joined(f"user{mark}") == third, "its beginning up to a mark"
        await opened(h, chosen)
        assert await joined(chosen) == chosen
        with pytest.raises(Refusal, match=f"{chosen}\n  {third}"):
            await joined(f"user{mark}")
        last = await opened(h, f"last-{mark}", name=f"agent-{mark}")
        await opened(h, f"later-{mark}")
        assert await joined("last", of=f"agent-{mark}") == last.chat.chat_id
        await last.chat.end()
        await last.chat.handle.result()
        with pytest.raises(Refusal, match="no open conversation"):
            await joined("last", of="nobody")


async def test_all_histories_are_exported_and_replay(server: LocalServer, tmp_path: Path) -> None:
    chat_id = f"long-{uuid.uuid4()}"
    async with harness(server.address, tmp_path, Script(), workflows=[RestlessChat]) as h:
        one = await opened(h, chat_id)
        for _ in range(2):
            await one.ask("Hello")
        await one.chat.end()
        await one.chat.handle.result()
        chain = [found async for found in histories(h.client, chat_id)]
        with pytest.raises(NoHistory, match="no history of nobody"):
            await anext(histories(h.client, "nobody"))
        lines = await Chats(h.runs).latest(5, f"WorkflowId = '{chat_id}'")
    assert len(chain) == 3
    assert len(lines) == 1, "a conversation is listed once, however many histories it has"
    assert "ContinuedAsNew" in search.NEWEST
    replayer = Replayer(workflows=[RestlessChat], data_converter=data_converter())
    for found in chain:
        again = WorkflowHistory.from_json(chat_id, found.to_json())
        await replayer.replay_workflow(again)


def test_histories_have_files_beside_the_newest() -> None:
    names = [str(path) for path in files_of(Path("out/talk.v2.json"), 3)]
    assert names == ["out/talk.v2.json", "out/talk.v2.2.json", "out/talk.v2.1.json"]
    assert files_of(Path("talk"), 2) == [Path("talk"), Path("talk.1")]
