"""What a server finds open when it starts, and how each of it is settled."""

import asyncio
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from client.chats import Chats
from serving.accounts import Accounts
from serving.callers import LOCAL, Caller, Limits
from serving.windows import Ask, Windows
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import agent, header

pytestmark = pytest.mark.integration


class Books:
    """Accounts on a file, as one process after the other has them."""

    def __init__(self, h: Harness, path: Path) -> None:
        self.windows, self.chats = Windows(path), Chats(h.runs)
        self.accounts = Accounts(self.windows, self.chats, lambda _: Limits(), begun_s=0.1)

    async def admit(self, chat: str, request: str = "") -> str:
        id = f"{chat}#{request}"
        one = Decimal(1)
        ask = Ask(id, LOCAL, "tested", 10, one, one, chat, request)
        await self.accounts.admit(ask, Caller(LOCAL))
        return id

    async def settled(self) -> Decimal:
        """Take up what is open; return what was spent in all, once nothing is."""
        await self.accounts.take_up()
        for _ in range(1000):
            if not await self.windows.still_open():
                break
            await asyncio.sleep(0.02)
        spent = await self.accounts.spent(LOCAL)
        await self.accounts.aclose()
        return spent


async def test_what_an_earlier_server_left_open(server: LocalServer, tmp_path: Path) -> None:
    """Said and answered; said and never heard; never said; a conversation that never was."""
    script, path = Script(default=Say("An answer.", seconds=0.3)), tmp_path / "serving.db"
    async with harness(server.address, tmp_path, script, cached_workflows=20) as h:
        before = Books(h, path)
        made = await header(h, agent())
        chat = await before.chats.open(f"serve-local-{uuid.uuid4()}", made)
        await before.admit(chat.chat_id, "said")
        await chat.say("Hello", request_id="said")
        await before.admit(chat.chat_id, "lost")
        await before.admit(f"serve-local-{uuid.uuid4()}", "nowhere")
        await before.admit(f"completion-local-{uuid.uuid4()}")
        assert await before.accounts.spent(LOCAL) == Decimal(4)
        await before.accounts.aclose()

        assert await Books(h, path).settled() == Decimal("0.006")
        assert (await chat.view()).last_turn == 1


async def test_a_turn_that_was_dropped_has_cost_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    """A session is ended: the answer under way is stopped, what waited is not begun."""
    script, path = Script(default=Say("one two three", held=1)), tmp_path / "serving.db"
    async with harness(server.address, tmp_path, script, cached_workflows=20) as h:
        books = Books(h, path)
        chat = await books.chats.open(f"serve-local-{uuid.uuid4()}", await header(h, agent()))
        for name in ("first", "second"):
            await books.admit(chat.chat_id, name)
            await chat.say("Hello", request_id=name)
        while not script.in_flight:
            await asyncio.sleep(0.02)
        await chat.end()
        await chat.handle.result()
        cost = (await chat.view()).cost
        assert await books.settled() == cost
        assert script.count() == 1
