"""Waiting for entries of many Redis streams on one connection.

Strategy: whoever waits names his stream and the last id that he has; one question to the server
(XREAD BLOCK) waits for all of them, and each answer wakes all that it has something for. So a
process follows a thousand runs on two connections, and where much is written one round trip
brings the entries of many streams: between two questions there is time for some to gather.
Somebody new interrupts a question that is out (CLIENT UNBLOCK), to be named in the next one.
"""

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

from stores.exceptions import StoreUnavailable
from stores.redis_server import RedisServer, to_its_end

if TYPE_CHECKING:
    from redis.asyncio import Redis

BLOCK_S = 5.0
"""How long one question waits for the next entry."""

GATHER_S = 0.002
AT_FULL_RATE = 25
"""Streams that are asked for that often; where more are, less often: each makes it dearer."""

A_STREAM = 50
"""Entries of one stream in one answer: at most 64 kB each, mostly a hundred bytes."""

Entries = list[tuple[bytes, dict[bytes, bytes]]]
"""(id, fields) of each entry."""

_Waiter = tuple[bytes, "asyncio.Future[Entries]"]


class StreamWaiting:
    """The question of a process, and who waits for its answer. For one event loop at a time.

    Whoever is going to wait calls `enter` before and `leave` in the end.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._waiting: dict[bytes, list[_Waiter]] = {}
        self._readers = 0
        self._joined = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._question = _Question({})
        self._interrupting: asyncio.Task[None] | None = None

    def enter(self) -> None:
        """Say that somebody is going to wait."""
        self._readers += 1

    async def leave(self) -> None:
        """Say that he waits no more; the last one disconnects."""
        self._readers -= 1
        task = self._task
        if self._readers or task is None:
            return
        self._task = None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def wait(
        self, key: bytes, last: bytes, stopping: "asyncio.Future[bool] | None" = None
    ) -> Entries:
        """Return the entries behind `last` as soon as there are some; empty once `stopping`.

        Raises StoreUnavailable.
        """
        answer: asyncio.Future[Entries] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((last, answer))
        self._joined.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        elif self._question.out and not self._question.covers(key, last):
            self._interrupt()
        end = functools.partial(_end, answer)
        if stopping is not None:
            stopping.add_done_callback(end)
        try:
            return await answer
        finally:
            self._forget(key, answer)
            if stopping is not None:
                stopping.remove_done_callback(end)

    def _forget(self, key: bytes, answer: "asyncio.Future[Entries]") -> None:
        left = [waiter for waiter in self._waiting.get(key, []) if waiter[1] is not answer]
        if left:
            self._waiting[key] = left
        else:
            self._waiting.pop(key, None)

    async def _run(self) -> None:
        """Ask for as long as anybody may wait."""
        client, other = self._server.connected(), self._server.connected()
        try:
            async with self._server.asking():
                number = int(await client.client_id())
            while True:
                await self._ask(client, other, number)
                await asyncio.sleep(GATHER_S * max(1.0, len(self._waiting) / AT_FULL_RATE))
                if not self._waiting:
                    self._joined.clear()
                    await self._joined.wait()
        except StoreUnavailable as error:
            for _, answer in [waiter for some in self._waiting.values() for waiter in some]:
                if not answer.done():
                    answer.set_exception(error)
        finally:
            self._question.out = False
            await to_its_end(self._disconnect(client, other))

    async def _disconnect(self, client: "Redis", other: "Redis") -> None:
        """Close both connections; who is still to interrupt a question would open his again."""
        interrupting, self._interrupting = self._interrupting, None
        if interrupting is not None and not interrupting.done():
            interrupting.cancel()
            await asyncio.gather(interrupting, return_exceptions=True)
        await client.aclose()
        await other.aclose()

    async def _ask(self, client: "Redis", other: "Redis", number: int) -> None:
        """Ask once for all that wait, each stream from the earliest id that somebody has."""
        asked = {key: _earliest(some) for key, some in self._waiting.items()}
        self._question = question = _Question(asked, other, number)
        if not asked:
            return
        try:
            async with self._server.asking(BLOCK_S):
                named: Any = dict(asked)
                answered: Any = await client.xread(named, count=A_STREAM, block=int(BLOCK_S * 1000))
        finally:
            question.out = False
        for key, entries in answered or []:
            for last, answer in self._waiting.get(bytes(key), []):
                news = question.news(bytes(key), last, entries)
                if news and not answer.done():
                    answer.set_result(news)

    def _interrupt(self) -> None:
        """Let the question that is out end now, since somebody new waits."""
        if self._interrupting is None or self._interrupting.done():
            self._interrupting = asyncio.create_task(self._unblock(self._question))

    async def _unblock(self, question: "_Question") -> None:
        # Where this fails, the question fails as well, or ends by itself after BLOCK_S.
        with contextlib.suppress(StoreUnavailable):
            while question.out and question.other is not None:
                async with self._server.asking():
                    if await question.other.client_unblock(question.number):
                        return
                # It was on its way to the server still.
                await asyncio.sleep(0.002)


class _Question:
    """A question that is out, or was: the id that it has of each stream, and how to end it."""

    def __init__(
        self, asked: dict[bytes, bytes], other: "Redis | None" = None, number: int = 0
    ) -> None:
        self.asked, self.other, self.number = asked, other, number
        self.out = bool(asked)

    def covers(self, key: bytes, last: bytes) -> bool:
        """Say whether it will bring what comes behind `last`."""
        return key in self.asked and _order(self.asked[key]) <= _order(last)

    def news(self, key: bytes, last: bytes, entries: Entries) -> Entries:
        """Return which of the answer's entries come right behind `last`.

        Empty for who joined with an earlier one than was asked for: he would miss those between.
        """
        if last == self.asked[key]:
            return entries
        if not self.covers(key, last):
            return []
        return [entry for entry in entries if _order(entry[0]) > _order(last)]


def _earliest(waiters: list[_Waiter]) -> bytes:
    if len(waiters) == 1:
        return waiters[0][0]
    return min((last for last, _ in waiters), key=_order)


def _end(answer: "asyncio.Future[Entries]", _: "asyncio.Future[bool]") -> None:
    if not answer.done():
        answer.set_result([])


def _order(entry: bytes) -> tuple[int, int]:
    milliseconds, _, count = entry.partition(b"-")
    return int(milliseconds), int(count)
