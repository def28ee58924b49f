"""Conversations for tests: an agent, its header, and a talk on a harness."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from client.agent_plans import plan_own
from client.chats import Chat, Chats
from config.agentfile import LoadedAgent
from contracts.agents import AgentBudget, AgentExecution, AgentModel, AgentSpec
from contracts.chats import AgentHeader, TurnResult
from contracts.plans import Candidate
from contracts.retry import RetryRule
from contracts.teams import ModelParams
from tests.support.harness import Harness, harness
from tests.support.scripted import Script
from tests.support.teams import AT_ONCE, candidate


def agent(**more: Any) -> AgentSpec:
    """Return an agent that is asked for at most 50 tokens."""
    execution = AgentExecution(**more.pop("execution", {}))
    more.setdefault("model", AgentModel(provider="scripted", params=ModelParams(max_tokens=50)))
    more.setdefault("budget", AgentBudget(session=Decimal(10), turn=Decimal(1)))
    return AgentSpec(
        **{"name": "tested", "instructions": "Be kind.", "execution": execution, **more}
    )


async def header(
    h: Harness,
    spec: AgentSpec,
    *candidates: Candidate,
    retry: RetryRule = AT_ONCE,
) -> AgentHeader:
    """Store an agent; return what a conversation is started with."""
    loaded = LoadedAgent(spec, Path("agent.yaml"), {})
    planned = plan_own(loaded, lambda _: candidates[0] if candidates else candidate(), retry)
    made = await planned.stored(h.store)
    if len(candidates) < 2:
        return made
    plan = planned.plan.model_copy(update={"candidates": candidates})
    node = made.node.model_copy(update={"candidates": tuple(range(len(candidates)))})
    ref = await h.store.put_json(plan)
    return made.model_copy(update={"plan": ref, "node": node, "candidates": candidates})


@dataclass
class Talk:
    """One conversation on a harness."""

    h: Harness
    chat: Chat
    said: list[TurnResult] = field(default_factory=list)

    async def ask(self, text: str, **more: Any) -> TurnResult:
        """Say something and wait for what comes of it."""
        accepted = await self.chat.say(text, **more)
        result = await asyncio.wait_for(self.chat.wait(accepted.turn), 30)
        self.said.append(result)
        return result

    async def answer(self, text: str) -> str:
        """Say something and return the answer's text."""
        return str(await self.chat.output(await self.ask(text)))

    async def texts(self) -> list[str]:
        """Return what the agent remembers."""
        return [message.content for message in await self.chat.messages()]


async def begin(h: Harness, made: AgentHeader, max_messages: int = 50) -> Talk:
    """Begin a conversation."""
    chat = await Chats(h.runs).open(f"chat-{uuid.uuid4()}", made, max_messages)
    return Talk(h, chat)


@asynccontextmanager
async def talk(
    address: str, folder: Path, script: Script, spec: AgentSpec | None = None, **more: Any
) -> AsyncIterator[Talk]:
    """Begin a conversation with workers of its own. Every task is replayed."""
    async with harness(address, folder, script, **more) as h:
        yield await begin(h, await header(h, spec or agent()))
