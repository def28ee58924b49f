"""Sending spool lines to Redis behind the writers' backs: in order, and never in their way.

Strategy: writers put lines into a queue; one task a process sends whatever is in it as one
pipeline and waits for the answer, while the next lines gather; where several had, it lets some
more gather. So a quiet stream's line leaves at once, and many streams share round trips. A server
that does not answer is asked again with the same lines: what comes twice readers drop by its
number. So a restart costs nobody a word, until the queue holds `MOST_BYTES`; what does not fit is
lost, and counted by its writer.

A spool keeps its last 100,000 records, and goes a week after the last of them.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from stores.redis_server import RedisServer
from stores.spoolwriting import LineSink

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

FIELD = b"r"
"""The one field of an entry; its value is the line."""

KEPT_RECORDS = 100_000
KEPT_S = 7 * 86_400
RENEW_S = 600.0
"""Between two renewals of one spool's time to live."""

MOST_BYTES = 16_000_000
"""Of all lines that wait, in one process."""

AT_ONCE = 1_000
GATHER_S = 0.002
"""Between two sendings of several lines."""

FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
IDLE_S = 30.0
LAST_WORDS_S = 3.0
"""How long `aclose` waits for what is still to be sent."""


class _Waiting(NamedTuple):
    sink: "QueuedLines"
    line: bytes


class QueuedLines(LineSink):
    """The lines of one writer, on their way to one spool."""

    def __init__(self, sender: "Sender", key: str) -> None:
        self._sender = sender
        self.key = key
        self.lost = 0

    def append(self, line: bytes) -> None:
        self._sender.put(self, line)

    def close(self) -> None:
        """Nothing is held here: what was queued is sent all the same."""


class Sender:
    """The queue of a process, and the task that empties it. For one event loop."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._renewed: dict[str, float] = {}
        self._away = False

    def put(self, sink: QueuedLines, line: bytes) -> None:
        """Queue a line. Raises OSError where too many wait, RuntimeError without a loop."""
        loop = asyncio.get_running_loop()
        if self._bytes + len(line) > MOST_BYTES:
            raise OSError(f"{self._bytes:,} bytes wait for Redis at {self._server.address}")
        self._queue.append(_Waiting(sink, line))
        self._bytes += len(line)
        self._wake.set()
        if self._task is None or self._task.done():
            self._closing = False
            self._task = loop.create_task(self._run())

    async def aclose(self) -> None:
        """Send what waits, for LAST_WORDS_S at most, and disconnect. Later lines start anew."""
        task, self._task = self._task, None
        if task is None:
            return
        self._closing = True
        self._wake.set()
        await asyncio.wait({task}, timeout=LAST_WORDS_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._queue:
            logger.warning("%d records of spools were not sent any more", len(self._queue))
        self._give_up(len(self._queue))

    async def _run(self) -> None:
        client = self._server.connected()
        retry_s = FIRST_RETRY_S
        try:
            while await self._any():
                batch = [self._queue[n] for n in range(min(len(self._queue), AT_ONCE))]
                try:
                    await self._send(client, batch)
                except Exception as error:  # whatever it is, the calls go on
                    self._note_away(error)
                    await asyncio.sleep(retry_s)
                    retry_s = min(2 * retry_s, LAST_RETRY_S)
                else:
                    retry_s = FIRST_RETRY_S
                    self._note_back()
                    if len(batch) > 1 and not self._closing:
                        await asyncio.sleep(GATHER_S)
        finally:
            await client.aclose()

    async def _any(self) -> bool:
        """Wait for lines; False once none come any more."""
        while not self._queue:
            if self._closing:
                return False
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), IDLE_S)
            except TimeoutError:
                # A line that was put meanwhile would find no task that reads it.
                return bool(self._queue)
        return True

    async def _send(self, client: "Redis", batch: list[_Waiting]) -> None:
        """Send lines and forget them; raises where it is not known what became of them."""
        pipe = client.pipeline(transaction=False)
        now = asyncio.get_running_loop().time()
        for sink, line in batch:
            pipe.xadd(sink.key, {FIELD: line}, maxlen=KEPT_RECORDS, approximate=True)
        due = {sink.key for sink, _ in batch if self._renewed.get(sink.key, 0.0) <= now}
        for key in due:
            pipe.expire(key, KEPT_S)
        async with self._server.asking():
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        for (sink, _), answer in zip(batch, answers, strict=False):
            if isinstance(answer, Exception):
                sink.lost += 1
                self._note_refused(answer)
        self._forget(len(batch))
        if len(self._renewed) > AT_ONCE:
            self._renewed = {key: at for key, at in self._renewed.items() if at > now}
        self._renewed.update(dict.fromkeys(due, now + RENEW_S))

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._queue.popleft().line)

    def _give_up(self, count: int) -> None:
        for sink, _ in self._queue:
            sink.lost += 1
        self._forget(count)

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            logger.warning("spools are not written: %s; answers are not touched by it", error)
        self._away = True
        # What it kept may be gone when it is back, and the times to live with it.
        self._renewed.clear()

    def _note_back(self) -> None:
        if self._away:
            logger.info("spools are written again: Redis at %s answers", self._server.address)
        self._away = False

    def _note_refused(self, error: Exception) -> None:
        if not self._away:
            logger.warning("spool records are refused: %s", self._server.unavailable(error))
        self._away = True
