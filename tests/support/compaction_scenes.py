"""A conversation that is summed up, and goes on in a new history, for the replay tests."""

import asyncio

from client.chats import Chat
from tests.support.harness import Harness
from tests.support.talks import agent, begin, header

LONG = "word " * 400


async def compacted(h: Harness) -> Chat:
    """Say long things: each turn from the second on begins with a summary; one is stopped."""
    spec = agent(execution={"compact_over_bytes": 1_000})
    talk = await begin(h, await header(h, spec))
    for _ in range(3):
        await talk.ask(LONG)
    accepted = await talk.chat.say(LONG)
    stopping = asyncio.create_task(talk.chat.wait(accepted.turn))
    await talk.chat.stop()
    await stopping
    await talk.chat.end()
    await talk.chat.handle.result()
    return talk.chat


async def summed_up(h: Harness) -> Chat:
    """Ask for a summary: while an answer is under way, of nothing, and of what was said then."""
    talk = await begin(h, await header(h, agent()))
    await talk.chat.say(LONG)
    await talk.chat.wait((await talk.chat.compact()).turn)
    await talk.chat.clear()
    await talk.ask("Forgotten?")
    await talk.chat.wait((await talk.chat.compact()).turn)
    await talk.ask("And then?")
    stopped = await talk.chat.compact()
    await talk.chat.stop()
    await talk.chat.wait(stopped.turn)
    await talk.chat.end()
    await talk.chat.handle.result()
    return talk.chat
