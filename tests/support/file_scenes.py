"""A conversation that is shown files, for the replay tests."""

import asyncio

from client.chats import Chat
from contracts.parts import FileInlinePart
from providers.exceptions import Overloaded
from tests.support.harness import Harness
from tests.support.scripted import Say
from tests.support.talks import agent, begin, header

PICTURE = FileInlinePart(
    data=b"\x89PNG\r\n\x1a\n" + bytes(2_000), mime_type="image/png", name="cat.png"
)
NOTES = FileInlinePart(data=b"Notes.", mime_type="text/plain", name="notes.txt")


async def chat_files(h: Harness) -> Chat:
    """Show a picture at the second attempt, a text while that waits, then sum up and go on."""
    h.script.turns = {"t1.1": [Overloaded("busy"), Say("A cat.")]}
    talk = await begin(h, await header(h, agent()))
    first = await talk.chat.say("What is it?", parts=[PICTURE])
    second = await talk.chat.say("And this?", parts=[NOTES, PICTURE])
    for turn in (first, second):
        await asyncio.wait_for(talk.chat.wait(turn.turn), 30)
    await talk.ask("Are you sure?")
    await talk.chat.wait((await talk.chat.compact()).turn)
    await talk.ask("", parts=[PICTURE], clear=True)
    await talk.chat.end()
    await talk.chat.handle.result()
    return talk.chat
