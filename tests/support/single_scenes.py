"""Scenes of conversations that were carried and are answered once (`ChatStart.single`)."""

import uuid

from client.chats import Chat, Chats
from client.completions import TURN, Question, ask
from contracts.messages import Message, ToolDefinition
from providers.exceptions import Overloaded
from tests.support import talks
from tests.support.harness import Harness
from tests.support.scripted import Say
from tests.support.talks import header

TALK = (Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "And the weather?"))


async def single(h: Harness) -> Chat:
    """An answer at the second attempt."""
    h.script.turns = {"t1.1": [Overloaded("busy"), Say("at last")]}
    return await _asked(h, Question(await header(h, talks.agent()), TALK, digest="d"))


async def single_hands_over(h: Harness) -> Chat:
    """An answer that asks for the caller's own tools."""
    calls = (("weather", {"city": "Rome"}),)
    h.script.turns = {"t1.1": [Say("Let me see.", finish="tool_calls", calls=calls)]}
    tools = (ToolDefinition("weather", "The weather."),)
    return await _asked(h, Question(await header(h, talks.agent()), TALK, tools, "d"))


async def _asked(h: Harness, question: Question) -> Chat:
    chat = await ask(Chats(h.runs), f"completion-{uuid.uuid4()}", question)
    await chat.wait(TURN)
    await chat.handle.result()
    return chat
