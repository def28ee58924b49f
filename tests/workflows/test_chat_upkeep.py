"""What a conversation leaves for lists and bills, over several histories too."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio import workflow

from client.chat_bills import chat_bill, rest_of
from client.chats import Chats, UnknownChat
from client.searchability import ensure_search_attributes
from contracts.chat_books import ChatBooks
from contracts.chats import CHAT_WORKFLOW, ChatResult, ChatStart
from contracts.retry import RetryRule
from providers.exceptions import Overloaded
from rules.billing import differences
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import agent, begin, header, talk
from tests.support.teams import candidate
from workflows.chat import ChatWorkflow

pytestmark = pytest.mark.integration

CALL = Decimal("0.006")
"""What the scripted model's 100 and 50 tokens cost."""


@workflow.defn(name=CHAT_WORKFLOW, sandboxed=False)
class RestlessChat(ChatWorkflow):
    """Goes on in a new history after each turn."""

    @workflow.init
    def __init__(self, start: ChatStart) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: ChatStart) -> ChatResult:
        return await super().run(start)

    def _grown(self) -> bool:
        return True


async def test_a_conversation_is_found_with_its_title_and_cost(
    server: LocalServer, tmp_path: Path
) -> None:
    async with harness(server.address, tmp_path, Script()) as h:
        assert await ensure_search_attributes(h.client)
        one = await begin(h, await header(h, agent()))
        where = f"WorkflowId = '{one.chat.chat_id}'"
        await one.ask("Which ships\nsail on Monday?")
        await one.ask("And on Tuesday?")
        async with asyncio.timeout(60):
            while (line := (await Chats(h.runs).latest(5, where))[0]).cost != 2 * CALL:
                await asyncio.sleep(0.05)
        assert line.title == "Which ships sail on Monday?"
        assert (line.agent, line.open, line.phase, line.tokens) == ("tested", True, "active", 300)
        assert line.cost == 2 * CALL
        details = await one.chat.handle.query("__temporal_workflow_metadata")
        assert "2 messages remembered" in str(details)
        await one.chat.end()
        await one.chat.handle.result()
        view = await one.chat.view()
        assert view.phase == "terminated"


async def test_the_bill_has_every_call_of_every_history(
    server: LocalServer, tmp_path: Path
) -> None:
    busy = Overloaded("busy", provider="scripted", retry_after=0.01)
    script = Script({"t2.1": (busy, Say("Yes."))})
    rule = RetryRule(max_retries=2, base_delay=0.01)
    async with harness(server.address, tmp_path, script, workflows=[RestlessChat]) as h:
        one = await begin(h, await header(h, agent(), candidate(), retry=rule))
        for _ in range(23):
            await one.ask("Hello")
        bill = await chat_bill(Chats(h.runs), one.chat.chat_id)
        view = await one.chat.view()
        with pytest.raises(UnknownChat):
            await chat_bill(Chats(h.runs), "nobody")
    names = [line.name for line in bill.lines]
    assert names[:4] == ["t1#1", "t2#1", "t2#2", "t3#1"]
    assert names[-1] == "t23#1"
    assert len(names) == 24
    assert bill.computed == bill.cost.cost == view.cost > 23 * CALL  # the busy one is held
    assert len(view.attempts) < len(names)
    assert differences(bill) == []


def test_what_no_history_knows_any_more_is_one_line() -> None:
    books = ChatBooks(
        chat_id="c", agent="a", budget=Decimal(1), cost=Decimal("0.03"), served=Decimal("0.02"),
        uncertain=Decimal("0.01"), reserved=Decimal(0),
    )  # fmt: skip
    rest = rest_of(books, [])
    assert rest is not None
    assert (rest.cost, rest.served, rest.id) == (Decimal("0.03"), Decimal("0.02"), "earlier#1")
    assert rest_of(books, [rest]) is None


async def test_who_answered_before_keeps_his_prices(server: LocalServer, tmp_path: Path) -> None:
    async with talk(server.address, tmp_path, Script()) as one:
        for _ in range(2):
            await one.ask("Hello")
        await one.chat.use_agent(await header(one.h, agent(name="second")))
        await one.ask("Hello")
        books = await one.chat.handle.query(ChatWorkflow.books)
        assert len(books.plans) == 2
        bill = await chat_bill(Chats(one.h.runs), one.chat.chat_id)
    assert [line.name for line in bill.lines] == ["t1#1", "t2#1", "t3#1"]
    assert bill.computed == bill.cost.cost == 3 * CALL
