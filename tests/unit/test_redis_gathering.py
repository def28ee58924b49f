"""Spools in Redis: what comes within a moment is sent, and asked for, together."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis
import pytest

from stores.redis_sending import GATHER_S as BETWEEN_SENDS_S
from stores.redis_sending import QueuedLines, Sender
from stores.redis_server import RedisServer
from stores.redis_waiting import AT_FULL_RATE, GATHER_S, StreamWaiting

pytestmark = pytest.mark.unit

URL = "redis://127.0.0.1:1/0"


class QuickRedis:
    """A client whose server answers at once, and always has one more entry of each stream."""

    def __init__(self) -> None:
        self.asked = 0
        self.connection_pool = self
        self.sent: list[list[Sequence[Any]]] = []

    async def client_id(self) -> int:
        return 1

    async def client_unblock(self, number: int) -> int:
        return 1

    async def xread(self, streams: dict[bytes, bytes], **_: Any) -> list[Any]:
        self.asked += 1
        entry = (b"%d-0" % self.asked, {b"r": b"line"})
        return [[key, [entry]] for key in streams]

    async def get_connection(self) -> "QuickRedis":
        return self

    async def send_packed_command(self, packed: bytes, **_: Any) -> None:
        reader, commands = hiredis.Reader(), []
        reader.feed(packed)
        while command := reader.gets():
            commands.append(command)
        self.sent.append(commands)

    async def read_response(self) -> bytes:
        return b"1-0"

    async def aclose(self) -> None:
        return


class QuickServer(RedisServer):
    """Hands out one such client."""

    def __init__(self) -> None:
        super().__init__(URL)
        self.client = QuickRedis()

    def connected(self) -> Any:
        return cast(Any, self.client)


@pytest.mark.parametrize("streams", [1, 4 * AT_FULL_RATE])
async def test_between_two_questions_entries_may_gather(streams: int) -> None:
    server = QuickServer()
    waiting = StreamWaiting(server)
    waiting.enter()
    loop, rounds = asyncio.get_running_loop(), 10
    last = {b"%d" % number: b"0-0" for number in range(streams)}
    began = loop.time()
    for _ in range(rounds):
        found = await asyncio.gather(*(waiting.wait(key, behind) for key, behind in last.items()))
        last = dict(zip(last, (entries[-1][0] for entries in found), strict=True))
    took = loop.time() - began
    await waiting.leave()
    pause = GATHER_S * max(1, streams / AT_FULL_RATE)
    assert took > 0.9 * pause * (rounds - 1)
    assert server.client.asked <= took / pause + 2


async def test_who_is_told_to_stop_waits_no_longer() -> None:
    class Silent(QuickRedis):
        async def xread(self, streams: dict[bytes, bytes], **_: Any) -> list[Any]:
            await asyncio.sleep(60)
            return []

    server = QuickServer()
    server.client = Silent()
    waiting = StreamWaiting(server)
    waiting.enter()
    stopping = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(waiting.wait(b"k", b"0-0", stopping))
    await asyncio.sleep(0.01)
    assert not reading.done()
    stopping.set_result(True)
    async with asyncio.timeout(30):
        assert await reading == []
    await waiting.leave()


async def test_who_joins_behind_the_others_misses_nothing() -> None:
    """He was reading what lay there already, while another was told of what came meanwhile."""

    class Stream(QuickRedis):
        """Has the entries 1 to 5; the sixth comes when `go` is set."""

        def __init__(self) -> None:
            super().__init__()
            self.go = asyncio.Event()

        async def xread(self, streams: dict[bytes, bytes], **_: Any) -> list[Any]:
            self.asked += 1
            behind = int(streams[b"k"].partition(b"-")[0])
            if behind >= 5:
                await self.go.wait()
            return [[b"k", [(b"%d-0" % n, {b"r": b""}) for n in range(behind + 1, 7)]]]

        async def client_unblock(self, number: int) -> int:
            return 0

    server = QuickServer()
    server.client = stream = Stream()
    waiting = StreamWaiting(server)
    waiting.enter()
    first = asyncio.create_task(waiting.wait(b"k", b"5-0"))
    async with asyncio.timeout(30):
        while not stream.asked:
            await asyncio.sleep(0.001)
        late = asyncio.create_task(waiting.wait(b"k", b"3-0"))
        await asyncio.sleep(0.01)
        stream.go.set()
        assert [entry for entry, _ in await first] == [b"6-0"]
        assert [entry for entry, _ in await late] == [b"4-0", b"5-0", b"6-0"]
    await waiting.leave()


async def test_lines_that_come_within_a_moment_leave_together_and_in_order() -> None:
    server = QuickServer()
    sender = Sender(server)
    sinks = [QueuedLines(sender, f"run-{number}") for number in range(5)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(200):
        sinks[number % 5].append(b"%d" % number)
        await asyncio.sleep(0)
    await sender.aclose()
    took = loop.time() - began
    batches = server.client.sent
    lines = [command[-1] for batch in batches for command in batch if command[0] == b"XADD"]
    assert lines == [b"%d" % number for number in range(200)]
    assert len(batches) <= took / BETWEEN_SENDS_S + 2
    assert [sink.lost for sink in sinks] == [0] * 5
