"""Spools in a Redis server that is killed, held, full, locked or not there: real servers.

No fault may fail or delay a writer, and every reader is told.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from client.watching import watch
from stores import redis_sending
from stores.assembling import TextAssembler
from stores.exceptions import InvalidStoreUrl, StoreUnavailable
from stores.redis_sending import KEPT_S, MOST_BYTES
from stores.redis_spools import PREFIX, RedisSpools
from stores.spoollines import TEXT_CHARS
from stores.spoolwriting import COALESCE_CHARS
from tests.support.redis import RedisProcess, only_this_one
from tests.support.server import free_port

pytestmark = pytest.mark.integration

RUN = "run-1"
PIECE = "x" * COALESCE_CHARS
"""Long enough to be a record of its own."""


@pytest.fixture
async def spools(redis: RedisProcess) -> AsyncIterator[RedisSpools]:
    opened = RedisSpools(redis.url)
    yield opened
    await opened.aclose()


class Viewer:
    """Watches a run as a person's screen does."""

    def __init__(self, spools: RedisSpools) -> None:
        self.texts, self.troubles = TextAssembler(), list[str]()
        self.ended = asyncio.Event()
        self._task = asyncio.create_task(self._watch(spools))

    async def _watch(self, spools: RedisSpools) -> None:
        follow = spools.follow
        async with contextlib.aclosing(
            watch(lambda place: follow(RUN, place), 0, self.troubles.append)
        ) as records:
            async for record, _ in records:
                self.texts.feed(record)
                if record.kind == "ended":
                    self.ended.set()

    async def sees(self, chars: int) -> None:
        while len(self.texts.text("a")) < chars:
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_server_that_was_away_for_a_moment_costs_no_viewer_a_word(
    redis: RedisProcess, spools: RedisSpools
) -> None:
    """It comes back empty: what had arrived is gone there, and still on the viewer's screen."""
    async with asyncio.timeout(60):
        viewer = Viewer(spools)
        attempt = spools.open_attempt(RUN, "a", 1)
        attempt.delta("one " + PIECE)
        await viewer.sees(4 + COALESCE_CHARS)
        redis.kill()
        attempt.delta("two " + PIECE)
        await asyncio.sleep(0.3)
        redis.start()
        attempt.delta("three " + PIECE)
        attempt.ended()
        attempt.close()
        await viewer.ended.wait()
    assert attempt.dropped == 0
    assert viewer.texts.text("a") == f"one {PIECE}two {PIECE}three {PIECE}"
    assert not viewer.texts.gap("a")
    assert len(viewer.troubles) == 2
    assert f"127.0.0.1:{redis.port}" in viewer.troubles[0]
    assert viewer.troubles[1] == ""
    await viewer.close()
    # Who comes later finds only the end of it, and knows that it is not the whole.
    late = Viewer(spools)
    async with asyncio.timeout(30):
        await late.ended.wait()
    assert late.texts.gap("a")
    assert await spools.partial(RUN, "a", 1) == ""
    await late.close()


async def test_a_server_that_hangs_delays_no_writer(
    redis: RedisProcess, spools: RedisSpools
) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    await asyncio.sleep(0.2)
    redis.signal(signal.SIGSTOP)
    began = time.monotonic()
    for _ in range(200):
        attempt.delta(PIECE)
        await asyncio.sleep(0)
    attempt.ended()
    attempt.close()
    assert time.monotonic() - began < 10, "the server hangs until this line"
    redis.signal(signal.SIGCONT)
    async with asyncio.timeout(30):
        viewer = Viewer(spools)
        await viewer.ended.wait()
    assert viewer.texts.text("a") == PIECE * 200
    assert attempt.dropped == 0
    await viewer.close()


async def test_what_waits_for_a_server_that_stays_away_is_bounded_and_counted(
    redis: RedisProcess, spools: RedisSpools, caplog: pytest.LogCaptureFixture
) -> None:
    redis.kill()
    attempt = spools.open_attempt(RUN, "a", 1)
    text = "x" * TEXT_CHARS
    rounds = MOST_BYTES // TEXT_CHARS + 50
    with caplog.at_level(logging.WARNING):
        for _ in range(rounds):
            attempt.delta(text)
        await asyncio.sleep(0.2)
        attempt.ended()
        attempt.close()
        began = time.monotonic()
        await spools.aclose()
    assert time.monotonic() - began < redis_sending.LAST_WORDS_S + 20
    assert attempt.dropped >= rounds
    told = [record.message for record in caplog.records if "spool" in record.message]
    assert 2 <= len(told) <= 4, told


async def test_a_full_server_costs_records_and_says_where_the_text_goes_on(
    redis: RedisProcess, spools: RedisSpools
) -> None:
    async with Redis.from_url(redis.url) as client, asyncio.timeout(30):
        viewer = Viewer(spools)
        attempt = spools.open_attempt(RUN, "a", 1)
        attempt.delta("one " + PIECE)
        await viewer.sees(4 + COALESCE_CHARS)
        await client.config_set("maxmemory", "1kb")
        attempt.delta("two " + PIECE)
        while not attempt.dropped:
            await asyncio.sleep(0.01)
        await client.config_set("maxmemory", "0")
        attempt.delta("three " + PIECE)
        attempt.ended()
        attempt.close()
        await viewer.ended.wait()
    assert attempt.dropped == 1
    assert viewer.texts.gap("a")
    assert viewer.texts.sound_text("a") == "one " + PIECE
    await viewer.close()


async def test_a_spool_goes_by_itself(redis: RedisProcess, spools: RedisSpools) -> None:
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.close()
    await spools.aclose()
    async with Redis.from_url(redis.url) as client:
        assert KEPT_S - 60 < await client.ttl(PREFIX + RUN) <= KEPT_S


async def test_another_kind_of_key_in_the_way_is_told(
    redis: RedisProcess, spools: RedisSpools
) -> None:
    async with Redis.from_url(redis.url) as client:
        await client.set(PREFIX + RUN, "no stream")
    attempt = spools.open_attempt(RUN, "a", 1)
    attempt.delta("lost")
    attempt.close()
    await spools.aclose()
    assert attempt.dropped >= 2
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        await anext(spools.follow(RUN))
    assert await spools.end(RUN) == 0
    assert await spools.partial(RUN, "a", 1) == ""


async def test_a_wrong_password_is_told_and_no_password_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = RedisProcess(tmp_path / "redis", None, "--requirepass", "the-right-one")
    process.start()
    url = f"redis://:the-wrong-one@127.0.0.1:{process.port}/0"
    spools = RedisSpools(url)
    try:
        attempt = spools.open_attempt(RUN, "a", 1)
        attempt.delta("text")
        attempt.close()
        await asyncio.sleep(0.3)
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{process.port}") as raised:
            await anext(spools.follow(RUN))
        assert "password" in str(raised.value).lower()
        await spools.aclose()
        assert attempt.dropped == 2
        assert "the-wrong-one" not in f"{raised.value} {caplog.text} {spools.place}"
        right = RedisSpools(url.replace("wrong", "right"))
        again = right.open_attempt(RUN, "a", 2)
        again.delta("text")
        again.close()
        await right.aclose()
        assert await right.partial(RUN, "a", 2) == "text"
    finally:
        process.kill()


async def test_no_server_is_told_to_readers_and_collectors() -> None:
    spools = RedisSpools(f"redis://127.0.0.1:{free_port()}/0")
    for asked in (anext(spools.follow(RUN)), spools.kept(), spools.remove("x"), spools.probe()):
        with pytest.raises(StoreUnavailable, match="CALLBOARD_SPOOL_URL"):
            await asked
    assert await spools.end(RUN) == 0
    assert await spools.partial(RUN, "a", 1) == ""


@pytest.mark.parametrize("url", ["http://host", "redis://host:port/0"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidStoreUrl, match="CALLBOARD_SPOOL_URL"):
        RedisSpools(url)


def test_without_an_event_loop_nothing_is_sent_and_nothing_fails() -> None:
    attempt = RedisSpools("redis://127.0.0.1:1/0").open_attempt(RUN, "a", 1)
    attempt.delta("text")
    attempt.close()
    assert attempt.dropped >= 2


async def test_readers_leave_no_connection_open(redis: RedisProcess, spools: RedisSpools) -> None:
    spools.open_attempt(RUN, "a", 1).close()
    await spools.aclose()
    async with Redis.from_url(redis.url) as client:
        for _ in range(3):
            records = spools.follow(RUN)
            await anext(records)
            waiting = asyncio.ensure_future(anext(records))
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await records.aclose()
            await spools.partial(RUN, "a", 1)
            await spools.kept()
        await only_this_one(client)


async def test_a_reader_that_is_cancelled_at_any_moment_leaves_no_connection_open(
    redis: RedisProcess, spools: RedisSpools
) -> None:
    """While it connects, reads what is there, closes that connection, or waits with others."""
    spools.open_attempt(RUN, "a", 1).close()
    await spools.aclose()
    async with Redis.from_url(redis.url) as client:
        for moment in range(60):
            records = spools.follow(RUN)
            reading = asyncio.ensure_future(_all_of(records))
            await asyncio.sleep(moment * 0.0003)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await records.aclose()
        await only_this_one(client)


async def _all_of(records: AsyncIterator[object]) -> None:
    async for _ in records:
        pass
