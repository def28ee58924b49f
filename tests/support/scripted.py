"""A scripted provider: says what a test wrote, fails as it wrote, and records every request."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from activities.clients import Clients
from contracts.messages import ChatChunk, ChatRequest, ToolCall, Usage
from contracts.plans import Candidate
from providers.spi import LLMClient


@dataclass(frozen=True)
class Say:
    """An answer, a word at a time. `seconds` is spread over it; `fails` ends it instead.

    `calls` are the tools that it asks for, (name, arguments) each. After `held` words (never if
    0) it waits until its script's `go` is set: no test is then too late for what it does meanwhile.
    """

    text: str
    seconds: float = 0.0
    usage: Usage | None = field(default_factory=lambda: Usage(100, 50))
    finish: str | None = "stop"
    fails: Exception | None = None
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    held: int = 0


Turn = Say | Exception


@dataclass
class Script:
    """What each agent is answered, attempt by attempt; the last turn repeats."""

    turns: Mapping[str, Sequence[Turn]] = field(default_factory=dict)
    default: Turn = Say("An answer.")
    requests: list[tuple[str, str, ChatRequest]] = field(default_factory=list)
    counted: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a test: answers that are held go on."""

    def count(self, agent: str | None = None) -> int:
        """Return how many requests were received, of one agent or of all."""
        return sum(1 for name, _, _ in self.requests if agent in (None, name))

    def turn(self, agent: str) -> Turn:
        """Return the next turn of an agent, counting the request just recorded."""
        turns = self.turns.get(agent)
        if not turns:
            return self.default
        return turns[min(self.count(agent), len(turns)) - 1]


class ScriptedClient(LLMClient):
    """Plays a script."""

    provider = "scripted"

    def __init__(self, script: Script, model: str) -> None:
        self._script, self._model = script, model

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        script = self._script
        agent = req.metadata["agent"]
        script.requests.append((agent, self._model, req))
        turn = script.turn(agent)
        script.in_flight += 1
        script.most_in_flight = max(script.most_in_flight, script.in_flight)
        try:
            if isinstance(turn, Exception):
                raise turn
            async for chunk in self._said(turn):
                yield chunk
        finally:
            script.in_flight -= 1

    async def count_tokens(self, req: ChatRequest) -> int:
        """Return one token per four bytes, as a vendor that counts would."""
        self._script.counted += 1
        return sum(len(message.content.encode()) for message in req.messages) // 4

    async def _said(self, turn: Say) -> AsyncIterator[ChatChunk]:
        words = turn.text.split(" ")
        for number, word in enumerate(words):
            await asyncio.sleep(turn.seconds / len(words))
            yield ChatChunk(delta_text=word if number == 0 else f" {word}")
            if number + 1 == turn.held:
                await self._script.go.wait()
        if turn.fails is not None:
            raise turn.fails
        for number, (name, arguments) in enumerate(turn.calls, 1):
            yield ChatChunk(tool_call=ToolCall(f"call_{number}", name, arguments))
        if turn.finish is not None:
            yield ChatChunk(finish_reason=turn.finish, usage=turn.usage, model=self._model)


class ScriptedClients(Clients):
    """Serves every candidate from one script."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def client(self, candidate: Candidate) -> LLMClient:
        return ScriptedClient(self._script, candidate.model)
