"""A scene of a conversation that search attributes and a title are written of."""

import asyncio
import contextlib

from temporalio.client import WorkflowFailureError

from client.chats import Chat
from client.searchability import ensure_search_attributes
from tests.support import talks
from tests.support.harness import Harness
from tests.support.talks import header


async def chat_found(h: Harness) -> Chat:
    """Two turns, and a cancelled third, each with its figures."""
    assert await ensure_search_attributes(h.client)
    h.script.turns = {"t3.1": h.script.turns["slow"]}
    one = await talks.begin(h, await header(h, talks.agent()))
    for text in ("Which ships sail?", "And tomorrow?"):
        await one.ask(text)
    said = await one.chat.say("Tell me all.")
    while (await one.chat.turn(said.turn)).state == "waiting":
        await asyncio.sleep(0.02)
    await one.chat.handle.cancel()
    with contextlib.suppress(WorkflowFailureError):  # it was cancelled
        await one.chat.handle.result()
    return one.chat
