"""Redis killed in mid-answer, with the spools in it: the answer is there, its viewer is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from client.chats import Chats, StreamTrouble, TextPart
from contracts.chats import TurnResult
from contracts.teams import AgentStatus
from stores.redis_spools import RedisSpools
from tests.faults.test_chat_killed import QUESTION, Stage
from tests.support.redis import RedisProcess
from tests.support.server import LocalServer
from tests.support.workers import Workers, staffed

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
async def stage(server: LocalServer, tmp_path: Path, redis: RedisProcess) -> AsyncIterator[Stage]:
    workers = Workers(server.address, tmp_path / "home", CALLBOARD_SPOOL_URL=redis.url)
    async with staffed(workers, RedisSpools(redis.url)) as runs:
        workers.start()
        yield Stage(workers, Chats(runs), tmp_path)


@pytest.mark.parametrize("back", [False, True])
async def test_redis_killed_in_mid_answer(stage: Stage, redis: RedisProcess, back: bool) -> None:
    chat = await stage.begin()
    said = await chat.say(QUESTION)
    shown, troubles = "", list[str]()
    result: TurnResult | None = None
    async for event in chat.follow(said.turn):
        if isinstance(event, TextPart):
            shown = shown[: event.keep] + event.added
            if len(shown) > 200 and not troubles:
                redis.kill()
                troubles.append("killed")
        elif isinstance(event, StreamTrouble):
            troubles.append(event.why)
            if back and event.why:
                redis.start()
        elif isinstance(event, TurnResult):
            result = event
    assert result is not None
    assert result.status is AgentStatus.COMPLETED, result.error
    answer = await chat.output(result)
    assert isinstance(answer, str)
    assert stage.requests() == [("t1.1", "1")], "the answer was paid for twice"
    assert f"127.0.0.1:{redis.port}" in troubles[1]
    if back:
        assert troubles[2:] == [""]
        assert shown == answer
    else:
        assert troubles[2:] == []
        assert answer.startswith(shown)
        assert len(shown) < len(answer)
    messages, view = await chat.messages(), await chat.view()
    assert [m.content for m in messages] == [QUESTION, answer]
    assert [a.outcome for a in view.attempts] == ["completed"]
    # The next turn works as well, with or without a spool.
    again = await chat.say("Thank you for the points")
    assert (await asyncio.wait_for(chat.wait(again.turn), 120)).status is AgentStatus.COMPLETED
