"""Spools as Redis streams: workers and viewers may be on several machines.

Promises what stores.spooling asks for, on one stream per run, of lines as stores.spoollines makes
them; how they are sent is told in stores.redis_sending. Redis ≥ 5.

Strategy: an entry's id is the server's clock, milliseconds and a count, so an offset is that id
as one number. A server that lost what it kept goes on with higher ids: readers need not begin
again. Readers wait for the next entry (XREAD BLOCK), all of a process together, as
stores.redis_waiting says; entries wait in Redis, never in the reader, however slow it is.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stores.exceptions import StoreUnavailable
from stores.linespools import LineSpools, Tail
from stores.naming import file_name
from stores.redis_sending import FIELD, QueuedLines, Sender
from stores.redis_server import RedisServer, close
from stores.redis_waiting import Entries, StreamWaiting
from stores.sealing import PLAIN, Sealer
from stores.spooling import KeptSpool
from stores.spoolreading import Lines, PartialText

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

PREFIX = "callboard:spool:"
LISTING_S = 60.0
"""How long a list of all spools may take."""

PAGE = 500
"""Entries of one answer: at most 64 kB each, mostly a hundred bytes."""

_COUNTS = 4096
"""Ids of one millisecond that offsets tell apart; they stay below 2**53 until 2039."""


class RedisSpools(LineSpools):
    """The spools of one Redis database, below `callboard:spool:`.

    Raises InvalidStoreUrl.
    """

    def __init__(
        self, url: str, sealer: Sealer = PLAIN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(sealer, clock)
        self._server = RedisServer(url)
        self._sender = Sender(self._server)
        self._shared = StreamWaiting(self._server)

    @property
    def place(self) -> str:
        return f"Redis at {self._server.address}"

    def _sink(self, run_id: str) -> QueuedLines:
        return QueuedLines(self._sender, self._key(run_id))

    def _tail(self, run_id: str, offset: int) -> Tail:
        return _StreamTail(self._server, self._key(run_id), offset, self._shared)

    async def aclose(self) -> None:
        await self._sender.aclose()

    async def end(self, run_id: str) -> int:
        client = self._server.connected()
        try:
            async with self._server.asking():
                last = await client.xrevrange(self._key(run_id), count=1)
            return _offset(last[0][0]) if last else 0
        except StoreUnavailable as error:
            logger.info("the end of a spool is not known: %s", error)
            return 0
        finally:
            await close(client)

    async def partial(self, run_id: str, agent: str, attempt: int) -> str:
        """Read a whole stream, page by page."""
        found = PartialText(agent, attempt, self._sealer)
        try:
            async with aclosing(self._lines(run_id)) as lines:
                async for line in lines:
                    found.take(line)
        except StoreUnavailable as error:
            logger.warning("no partial text: %s", error)
        return found.text()

    async def kept(self) -> list[KeptSpool]:
        client = self._server.connected()
        found = []
        try:
            async with self._server.asking(LISTING_S):
                async for key in client.scan_iter(match=f"{PREFIX}*", count=PAGE):
                    pipe = client.pipeline(transaction=False)
                    pipe.memory_usage(key)
                    pipe.xrevrange(key, count=1)
                    size, last = await pipe.execute()
                    if last:
                        when = datetime.fromtimestamp(_parts(last[0][0])[0] / 1000, UTC)
                        found.append(KeptSpool(key.decode()[len(PREFIX) :], size or 0, when))
        finally:
            await close(client)
        return sorted(found, key=lambda spool: spool.name)

    async def remove(self, name: str) -> None:
        client = self._server.connected()
        try:
            async with self._server.asking():
                await client.unlink(PREFIX + name)
        finally:
            await close(client)

    async def probe(self) -> str:
        """Write an entry, read it back, remove it; return the server's version.

        Raises StoreUnavailable.
        """
        client, key = self._server.connected(), f"{PREFIX}={time.time_ns():x}"
        try:
            async with self._server.asking():
                await client.xadd(key, {FIELD: b"doctor"})
                await client.xread({key: "0"}, count=1)
                await client.unlink(key)
                info = await client.info("server")
        finally:
            await close(client)
        return str(info.get("redis_version", "of unknown version"))

    async def _lines(self, run_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines that a stream has now. Raises StoreUnavailable."""
        tail = _StreamTail(self._server, self._key(run_id), 0)
        try:
            while entries := await tail.read():
                for line, _ in entries:
                    yield line
        finally:
            await tail.aclose()

    def _key(self, run_id: str) -> str:
        return PREFIX + file_name(run_id)


class _StreamTail(Tail):
    """The entries of one stream from an offset on.

    What lies there already is read page by page on a connection of its own; what comes then is
    waited for together with all others.
    """

    def __init__(
        self, server: RedisServer, key: str, offset: int, shared: StreamWaiting | None = None
    ) -> None:
        self._server, self._key, self._shared = server, key.encode(), shared
        self._last = b"%d-%d" % divmod(offset, _COUNTS)
        self._client: Redis | None = None
        self._behind = True
        self._stopping: asyncio.Task[bool] | None = None
        if shared is not None:
            shared.enter()

    async def read(self) -> Lines:
        if self._client is None:
            self._client = self._server.connected()
        async with self._server.asking():
            answer: Any = await self._client.xread({self._key: self._last}, count=PAGE)
        return self._taken(answer[0][1] if answer else [])

    async def wait(self, stop: asyncio.Event | None) -> Lines:
        if self._behind:
            if entries := await self.read():
                return entries
            self._behind = False
            await self._disconnect()
        assert self._shared is not None
        if stop is not None and self._stopping is None:
            self._stopping = asyncio.create_task(stop.wait())
        return self._taken(await self._shared.wait(self._key, self._last, self._stopping))

    async def aclose(self) -> None:
        await self._disconnect()
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)
        if self._shared is not None:
            shared, self._shared = self._shared, None
            await shared.leave()

    async def _disconnect(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await close(client)

    def _taken(self, entries: Entries) -> Lines:
        if entries:
            self._last = entries[-1][0]
        return [(fields.get(FIELD, b""), _offset(entry)) for entry, fields in entries]


def _parts(entry: Any) -> tuple[int, int]:
    milliseconds, _, count = bytes(entry).partition(b"-")
    return int(milliseconds), int(count)


def _offset(entry: Any) -> int:
    milliseconds, count = _parts(entry)
    # Where one millisecond had more, a reader that comes back sees some again, and drops them.
    return milliseconds * _COUNTS + min(count, _COUNTS - 1)
