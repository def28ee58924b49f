"""Bugs after the answer: paid once, on the bill once, and never by the server's own retries."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from activities.clients import OwnClient
from contracts.messages import ChatChunk, ChatRequest, Usage
from contracts.teams import AgentStatus
from providers.spi import LLMClient
from tests.support.harness import harness
from tests.support.scripted import Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


class Counting(LLMClient):
    """Counts requests; what it reports as usage cannot be encoded, or breaks our own code."""

    provider = "scripted"

    def __init__(self, broken: object) -> None:
        self.requests = 0
        self._broken = broken

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        self.requests += 1
        yield ChatChunk(delta_text="a whole answer")
        usage = Usage(100, 50, raw={"odd": self._broken})
        yield ChatChunk(finish_reason="stop", usage=usage)


@pytest.mark.parametrize("broken", [object(), 10**400], ids=["object", "number"])
async def test_a_reply_that_cannot_be_encoded_is_paid_once(
    server: LocalServer, tmp_path: Path, broken: object
) -> None:
    client = Counting(broken)
    async with harness(server.address, tmp_path, Script(), clients=OwnClient(client)) as running:
        run = await running.start(plan(team(agent("a"))))
        await run.wait()
        (step,) = await run.results()
        cost = await run.cost()
    history = [e async for e in run.handle.fetch_history_events()]
    scheduled = [
        e for e in history
        if e.activity_task_scheduled_event_attributes.activity_type.name == "call_model"
    ]  # fmt: skip
    assert client.requests == len(scheduled) == len(cost.attempts)
    if step.status is AgentStatus.FAILED:
        assert cost.attempts[0].outcome == "Internal"
    assert cost.attempts[0].state == "settled"
    assert cost.cost == Decimal("0.006")
