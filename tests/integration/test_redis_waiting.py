"""Many readers of many streams share two connections; who joins late misses nothing."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Connection, Redis

from stores.redis_server import RedisServer
from stores.redis_spools import RedisSpools
from stores.redis_waiting import StreamWaiting
from stores.spoolwriting import COALESCE_CHARS
from tests.support.redis import RedisProcess, only_this_one

pytestmark = pytest.mark.integration

READERS = 60
PIECES = 40


@pytest.fixture
async def spools(redis: RedisProcess) -> AsyncIterator[RedisSpools]:
    opened = RedisSpools(redis.url)
    yield opened
    await opened.aclose()


async def read(spools: RedisSpools, run_id: str, place: int = 0) -> str:
    """Return a run's text when it has ended."""
    text = ""
    async with contextlib.aclosing(spools.follow(run_id, place)) as records:
        async for record, _ in records:
            assert not record.gap
            assert record.kind != "delta" or record.offset == len(text)
            text += record.text
            if record.kind == "ended":
                break
    return text


async def test_readers_that_come_at_any_time_see_all_of_it(spools: RedisSpools) -> None:
    chance = random.Random(7)
    runs = [f"run-{number}" for number in range(10)]
    attempts = {run_id: spools.open_attempt(run_id, "a", 1) for run_id in runs}

    async def come(number: int) -> str:
        await asyncio.sleep(chance.random() * 0.5)
        return await read(spools, runs[number % len(runs)])

    reading = [asyncio.create_task(come(number)) for number in range(READERS)]
    for piece in range(PIECES):
        for attempt in attempts.values():
            attempt.delta(f"{piece} ")
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.005)
    for attempt in attempts.values():
        attempt.ended()
        attempt.close()
    expected = "".join(f"{piece} " for piece in range(PIECES))
    assert await asyncio.wait_for(asyncio.gather(*reading), 60) == [expected] * READERS


async def test_who_joins_while_others_wait_need_not_wait_for_them(spools: RedisSpools) -> None:
    quiet = asyncio.create_task(read(spools, "quiet"))
    await asyncio.sleep(0.2)
    loop = asyncio.get_running_loop()
    for number in range(5):
        run_id = f"run-{number}"
        reading = asyncio.create_task(read(spools, run_id))
        await asyncio.sleep(0.05)
        attempt = spools.open_attempt(run_id, "a", 1)
        attempt.delta("text")
        attempt.ended()
        attempt.close()
        began = loop.time()
        assert await asyncio.wait_for(reading, 20) == "text"
        assert loop.time() - began < 2.5, "it waited until the others' question ended"
    quiet.cancel()
    await asyncio.gather(quiet, return_exceptions=True)


async def test_all_readers_share_two_connections(redis: RedisProcess, spools: RedisSpools) -> None:
    reading = [asyncio.create_task(read(spools, f"run-{number}")) for number in range(READERS)]
    await asyncio.sleep(1)
    async with Redis.from_url(redis.url) as client:
        assert len(await client.client_list()) <= 2 + 1
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await only_this_one(client)


class SlowToConnect(Connection):
    """Is on its way to the server for a quarter of a second."""

    async def _connect(self) -> None:
        await asyncio.sleep(0.25)
        await super()._connect()


class SecondIsSlow(RedisServer):
    """Every second connection, which interrupts questions, takes its time."""

    made = 0

    def connected(self) -> Redis:
        client = super().connected()
        self.made += 1
        if self.made % 2 == 0:
            client.connection_pool.connection_class = SlowToConnect
        return client


async def test_who_leaves_while_he_interrupts_leaves_no_connection(redis: RedisProcess) -> None:
    shared = StreamWaiting(SecondIsSlow(redis.url))
    async with Redis.from_url(redis.url) as client:
        waiting = []
        for key in (b"one", b"two"):
            shared.enter()
            waiting.append(asyncio.create_task(shared.wait(key, b"0-0")))
            async with asyncio.timeout(30):
                while not any(one["cmd"] == "xread" for one in await client.client_list()):
                    await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await shared.leave()
        await shared.leave()
        await asyncio.sleep(0.5)
        await only_this_one(client)


async def test_what_comes_together_goes_together(redis: RedisProcess, spools: RedisSpools) -> None:
    """Of many streams: few messages to the server, few questions, and nothing is missing."""
    runs = [f"run-{number}" for number in range(20)]
    reading = [asyncio.create_task(read(spools, run_id)) for run_id in runs]
    attempts = [spools.open_attempt(run_id, "a", 1) for run_id in runs]
    await asyncio.sleep(0.3)
    async with Redis.from_url(redis.url) as client:
        await client.config_resetstat()
        for _ in range(PIECES):
            for attempt in attempts:
                attempt.delta("x" * COALESCE_CHARS)
                await asyncio.sleep(0)
        for attempt in attempts:
            attempt.ended()
            attempt.close()
        async with asyncio.timeout(60):
            assert {len(text) for text in await asyncio.gather(*reading)} == {
                PIECES * COALESCE_CHARS
            }
        told = await client.info("commandstats")
    records = told["cmdstat_xadd"]["calls"]
    assert records >= PIECES * len(runs)
    assert told["cmdstat_xread"]["calls"] < records / 4


async def test_all_are_told_when_the_server_goes(redis: RedisProcess, spools: RedisSpools) -> None:
    reading = [asyncio.create_task(read(spools, f"run-{number}")) for number in range(5)]
    await asyncio.sleep(0.3)
    redis.kill()
    told = await asyncio.wait_for(asyncio.gather(*reading, return_exceptions=True), 20)
    assert [type(error).__name__ for error in told] == ["StoreUnavailable"] * 5
    redis.start()
    again = asyncio.create_task(read(spools, "run-0"))
    attempt = spools.open_attempt("run-0", "a", 1)
    attempt.delta("back")
    attempt.ended()
    attempt.close()
    assert await asyncio.wait_for(again, 20) == "back"
