"""Scenes of agents with tools for the replay tests: steps of a team, tools that ask a model."""

import asyncio
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from client.agent_plans import plan_own
from client.agents import store_draft
from client.chats import Chat
from client.runs import Run
from config.agentfile import load_agent
from contracts.plans import AgentDraft
from contracts.teams import AgentStatus, AgentStep, ForEachSpec, RepeatSpec
from contracts.updates import Answer, RetryRequest
from providers.exceptions import AuthenticationFailed, Overloaded, StreamInterrupted
from tests.support.harness import Harness
from tests.support.scripted import Say, Turn
from tests.support.talks import begin
from tests.support.teams import AT_ONCE, agent, candidate, plan, team

TOOLS = '''
def look(at: str) -> str:
    """Look at something."""
    return f"seen {at}"
'''

AGENT = """\
name: looker
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Look well.
execution: {on_interrupt: continue}
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
  - {name: ask, type: function, file: tools.py, function: look, approval: always}
  - {name: sum_up, type: prompt, prompt: "Sum up: {text}", parameters: {text: string}}
  - {name: friend, type: agent, agent: friend.yaml, description: Ask a friend.}
"""

FRIEND = """\
name: friend
model: {provider: scripted, name: gpt-4, max_tokens: 50}
instructions: Be a friend.
tools:
  - {name: look, type: function, file: tools.py, function: look, effect: read}
"""


def _draft(folder: Path) -> AgentDraft:
    (folder / "tools.py").write_text(TOOLS)
    (folder / "friend.yaml").write_text(FRIEND)
    (folder / "agent.yaml").write_text(AGENT)
    loaded = load_agent(folder / "agent.yaml", {})
    return plan_own(loaded, lambda _: candidate(), AT_ONCE).draft()


def _uses(*calls: tuple[str, dict[str, Any]]) -> Say:
    return Say("Let me see.", finish="tool_calls", calls=calls)


def _turns(unit: str, first: int = 1) -> dict[str, list[Turn]]:
    """Return a turn that uses all kinds of tools at once, one of which a person is asked about."""
    calls = (
        ("look", {"at": "the sea"}),
        ("ask", {"at": "the sky"}),
        ("sum_up", {"text": "all"}),
        ("friend", {"message": "Hello"}),
        ("none", {}),
    )
    return {
        f"{unit}.{first}": [_uses(*calls)],
        f"{unit}.{first}.4.1": [_uses(("look", {"at": "the friend"}))],
        f"{unit}.{first + 1}": [
            Say("one two", fails=StreamInterrupted("cut")),
            Overloaded("busy"),
            Say("All is seen."),
        ],
    }


async def asking_tools(h: Harness) -> Chat:
    """A conversation whose agent asks prompts and other agents, beside its functions."""
    with tempfile.TemporaryDirectory() as folder:
        h.script.turns = _turns("t1")
        one = await begin(h, await store_draft(h.store, _draft(Path(folder))))
        said = await one.chat.say("use the tools")
        while not (pending := (await one.chat.view()).pending):
            await asyncio.sleep(0.05)
        await one.chat.decide(pending[0].call_id, approved=True)
        await one.chat.wait(said.turn)
        await one.chat.end()
        await one.chat.handle.result()
    return one.chat


async def agent_steps(h: Harness) -> Run:
    """Agents as steps: with every kind of tool, mapped, repeated, failed and run again."""
    with tempfile.TemporaryDirectory() as folder:
        draft = _draft(Path(folder))
        h.script.turns = {
            **_turns("whole"),
            "each[1].1": [_uses(("look", {"at": "one"}))],
            "again.1": [_uses(("look", {"at": "it"}))],
            "again.2": [AuthenticationFailed("no such key")],
            "better.1": [Say("bad")],
            "better.2": [_uses(("look", {"at": "it"}))],
            "better.3": [Say("good")],
        }
        names = ("whole", "each", "again", "better")
        spec = team(
            _step("whole", "Look at {text}"),
            _step(
                "each",
                "Look at {one}",
                for_each=ForEachSpec(item="one", in_="inputs.some", max_parallel=2),
            ),
            _step("again", "Look at {text}"),
            _step(
                "better",
                "Look at {whole}",
                dependencies=("whole",),
                repeat=RepeatSpec(until="agents.better.output == 'good'", max=3),
            ),
            agent("report", "{whole}{each}{better}", dependencies=("whole", "each", "better")),
            inputs={"text": {"type": "text"}, "some": {"type": "list"}},
        )
        made = plan(spec, agents=dict.fromkeys(names, draft))
        run = await h.start(made, {"text": "a text", "some": [1, 2, 3]})
        await _steered(run)
        await run.wait()
    return run


async def _steered(run: Run) -> None:
    """Answer what is asked, and run again what has failed."""
    answered = retried = False
    while not (answered and retried):
        status = await run.current_status()
        if status.questions and not answered and not retried:
            failed = [s for s in status.steps if s.status is AgentStatus.FAILED]
            if failed:
                await run.retry(RetryRequest(step="again"))
                retried = True
        if status.questions and retried and not answered:
            await run.answer(Answer(step="whole", choice="approve"))
            answered = True
        await asyncio.sleep(0.05)


def _step(name: str, prompt: str, **more: Any) -> AgentStep:
    return AgentStep(
        name=name, file="agent.yaml", prompt_template=prompt, cost_limit=Decimal(1), **more
    )
