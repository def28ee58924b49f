"""What a run leaves in history: few events, small payloads, whatever the texts and the team."""

import asyncio
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from client.chats import TextPart
from client.runs import Run
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.talks import talk
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration

MOST_PAYLOAD = 16 * 1024
FIXED_EVENTS = 30
EVENTS_PER_CALL = 6


async def measure(run: Run) -> tuple[int, int, int]:
    """Return a history's events, its model calls and its largest payload in bytes."""
    types: Counter[str] = Counter()
    largest = 0
    async for event in run.handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        types["events"] += 1
        types["calls"] += scheduled.activity_type.name == "call_model"
        largest = max([largest, *_payload_sizes(MessageToDict(event))])
    return types["events"], types["calls"], largest


def _payload_sizes(node: object) -> list[int]:
    if isinstance(node, dict):
        own = [len(node["data"]) * 3 // 4] if isinstance(node.get("data"), str) else []
        return own + [size for value in node.values() for size in _payload_sizes(value)]
    if isinstance(node, list):
        return [size for value in node for size in _payload_sizes(value)]
    return []


async def test_a_sequence_of_agents_costs_six_events_each(
    server: LocalServer, tmp_path: Path
) -> None:
    chain = [agent("a0")]
    chain += [agent(f"a{n}", f"{{a{n - 1}}}", dependencies=(f"a{n - 1}",)) for n in range(1, 12)]
    async with harness(server.address, tmp_path, Script(), cached_workflows=100) as running:
        run = await running.start(plan(team(*chain, outputs={"end": "{a11}"})))
        await run.wait()
        events, calls, _ = await measure(run)
    assert calls == 12
    assert events <= FIXED_EVENTS + EVENTS_PER_CALL * calls


async def test_a_large_input_and_large_answers_stay_out(
    server: LocalServer, tmp_path: Path
) -> None:
    script = Script(default=Say("word " * 30_000))
    async with harness(server.address, tmp_path, script, cached_workflows=100) as running:
        first = agent("a", "{text}", cost_limit=100)
        spec = team(
            first,
            agent("b", "{a}{text}", dependencies=("a",), cost_limit=100),
            inputs={"text": {"type": "text"}},
            cost_budget=1000,
        )
        run = await running.start(plan(spec), {"text": "x" * 1_000_000})
        result = await run.wait()
        events, calls, largest = await measure(run)
    assert result.status == "completed"
    assert len(script.requests[1][2].messages[0].content) > 1_100_000
    assert largest <= MOST_PAYLOAD
    assert events <= FIXED_EVENTS + EVENTS_PER_CALL * calls


async def test_ten_times_as_many_pieces_of_an_answer_are_as_many_events(
    server: LocalServer, tmp_path: Path
) -> None:
    async def events(words: int, seconds: float) -> tuple[int, int]:
        script = Script(default=Say("word " * words, seconds=seconds))
        async with talk(server.address, tmp_path / str(words), script) as one:
            await one.chat.active()
            said = await one.chat.say("Tell me all.")
            async with asyncio.timeout(60), aclosing(one.chat.follow(said.turn)) as told:
                pieces = [event async for event in told if isinstance(event, TextPart)]
            await one.chat.end()
            await one.chat.handle.result()
            return len((await one.chat.handle.fetch_history()).events), len(pieces)

    (few, short), (many, long) = await events(10, 0.1), await events(100, 1.0)
    # A workflow task that a busy machine gives twice is three events.
    assert many - few <= 6
    assert long - short > 20


@pytest.mark.slow
async def test_a_team_of_500_with_a_join(server: LocalServer, tmp_path: Path) -> None:
    names = [f"agent_{n:03}" for n in range(499)]
    join = agent("join", "".join(f"{{{n}}}" for n in names), dependencies=tuple(names))
    spec = team(*(agent(n) for n in names), join, max_parallel_agents=100, cost_budget=100)
    async with harness(server.address, tmp_path, Script(), cached_workflows=100) as running:
        run = await running.start(plan(spec))
        result = await run.wait()
        events, calls, largest = await measure(run)
    assert result.status == "completed"
    assert calls == 500
    assert largest <= MOST_PAYLOAD
    assert events <= FIXED_EVENTS + EVENTS_PER_CALL * calls
