"""Scenes of conversations, for the histories of the replay tests."""

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path

from client.chats import Chat
from config.agentfile import load_agent
from contracts.agents import AgentBudget
from contracts.chats import PendingTool
from contracts.updates import (
    BudgetRaise,
)
from providers.exceptions import AuthenticationFailed, Overloaded
from tests.support import talks
from tests.support.harness import Harness
from tests.support.scripted import Say
from tests.support.talks import begin, header
from tests.support.teams import candidate

SLOW = Say("slow enough to be met in the middle of it", seconds=1.5)


async def chat(h: Harness) -> Chat:
    """Turns, retries, the next candidate, a repair, a budget raised, a stop, a clearing, an end."""
    no_key, busy = AuthenticationFailed("no such key"), Overloaded("busy")
    h.script.turns = {"t1.1": [busy, Say("at last")], "t2.1": [no_key, Say("b")], "t3.1": [SLOW]}
    two = (candidate(), candidate("second"))
    budget = AgentBudget(session=Decimal("0.05"), turn=Decimal("0.04"), on_budget="pause")
    one = await begin(h, await header(h, talks.agent(budget=budget), *two))
    await one.ask("retried")
    await one.ask("refused by the first")
    said = await one.chat.say("slow")
    while h.script.count("t3.1") == 0:
        await asyncio.sleep(0.05)
    await one.chat.stop(said.turn)
    await one.chat.wait(said.turn)
    await one.chat.clear()
    waits = await one.chat.say("after so much was spent " * 20, clear=True)
    while not (await one.chat.view()).paused_for:
        await asyncio.sleep(0.05)
    await one.chat.raise_budget(BudgetRaise(to=Decimal(1)))
    await one.chat.wait(waits.turn)
    await one.chat.use_agent(await header(h, talks.agent(instructions="Be brief.")))
    await one.ask("last")
    await one.chat.end("done")
    await one.chat.handle.result()
    return one.chat


async def chat_tools(h: Harness) -> Chat:
    """Tools side by side, one that waits for a word, one that is declined, arguments mended."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agent.yaml"
        file.with_name("tools.py").write_text(TOOL)
        file.write_text(TOOL_AGENT)
        calls = (("look", {"at": "the sea"}), ("ask", {"at": "the sky"}))
        wrong = (("look", {"to": "the sea"}), ("none", {}))
        used = Say("Let me see.", finish="tool_calls", calls=calls)
        h.script.turns = {
            "t1.1": [used],
            "t1.2": [Say("Again.", finish="tool_calls", calls=wrong)],
            "t2.1": [used],
        }
        one = await begin(h, await header(h, load_agent(file).agent))
        for turn in (1, 2):
            said = await one.chat.say("use the tools")
            async for event in one.chat.follow(said.turn):
                if isinstance(event, PendingTool):
                    await one.chat.decide(event.call_id, approved=turn == 1, comment="a word")
        await one.chat.end()
        await one.chat.handle.result()
    return one.chat


TOOL = '''
def look(at: str) -> str:
    """Look at something."""
    return f"seen {at}"
'''

TOOL_AGENT = """\
name: looker
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Look well.
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
  - {name: ask, type: function, file: tools.py, function: look, approval: always}
"""
