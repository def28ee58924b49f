"""Sending spool lines to Redis behind the writers' backs: in order, and never in their way.

Strategy: writers put lines into a queue; one task a process sends whatever is in it, another hears
the answers, and neither waits for the other. A line leaves in the event loop's next round, and
those that come within 2 ms after it leave together. A server that does not answer gets the same
lines again: what comes twice readers drop by its number. So a restart costs nobody a word, until
`MOST_BYTES` wait; what does not fit is lost, and counted by its writer.

A spool keeps its last 100,000 records, and goes a week after the last of them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from stores.redis_server import RedisServer, close
from stores.spoolwriting import LineSink

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

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
HEARD_AT_ONCE = 100
"""Answers that one limit is for: setting it costs more than hearing one."""

FIRST_RETRY_S, LAST_RETRY_S = 0.05, 1.0
IDLE_S = 30.0
LAST_WORDS_S = 3.0
"""How long `aclose` waits for what is still to be sent."""


_BOUND = ("MAXLEN", "~", str(KEPT_RECORDS))


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
        self._flying: deque[_Waiting | None] = deque()
        """Sent and not answered yet, in order; None for what is no line."""

        self._bytes = 0
        self._wake, self._sent = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = self._written = False
        self._renewed: dict[str, float] = {}
        self._retry_s = FIRST_RETRY_S
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
        self._take_back()
        if self._queue:
            logger.warning("%d records of spools were not sent any more", len(self._queue))
        while self._queue:
            self._settle(self._queue.popleft(), lost=True)

    async def _run(self) -> None:
        self._retry_s = FIRST_RETRY_S
        while self._queue:
            try:
                await self._converse()
            except Exception as error:  # whatever it is, the calls go on
                self._take_back()
                self._note_away(error)
                await asyncio.sleep(self._retry_s)
                self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    async def _converse(self) -> None:
        """Send lines and hear their answers until none come any more. Raises what goes wrong."""
        client = self._server.connected()
        self._written = False
        try:
            async with self._server.asking():
                pool: Any = client.connection_pool
                connection = await pool.get_connection()
            both = [
                asyncio.create_task(self._write(connection)),
                asyncio.create_task(self._hear(connection)),
            ]
            try:
                done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        finally:
            await close(client)

    async def _write(self, connection: "AbstractConnection") -> None:
        import hiredis

        # As redis-py's own does it in Python, for each argument; typed for one argument only.
        pack: Callable[[tuple[str | bytes, ...]], bytes] = cast(Any, hiredis.pack_command)
        loop, sent_at = asyncio.get_running_loop(), float("-inf")
        while await self._any():
            if (wait := sent_at + GATHER_S - loop.time()) > 0:
                await asyncio.sleep(wait)
            sent_at = loop.time()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), AT_ONCE))]
            commands = [("XADD", w.sink.key, *_BOUND, "*", FIELD, w.line) for w in batch]
            due = self._due({waiting.sink.key for waiting in batch})
            self._flying.extend([*batch, *(None for _ in due)])
            self._sent.set()
            packed = [
                *map(pack, commands),
                *(pack(("EXPIRE", key, str(KEPT_S))) for key in due),
            ]
            await connection.send_packed_command(b"".join(packed), check_health=False)
        self._written = True
        self._sent.set()

    async def _hear(self, connection: "AbstractConnection") -> None:
        while True:
            while not self._flying:
                if self._written:
                    return
                self._sent.clear()
                await self._sent.wait()
            async with self._server.asking():
                for _ in range(min(len(self._flying), HEARD_AT_ONCE)):
                    await self._hear_one(connection)

    async def _hear_one(self, connection: "AbstractConnection") -> None:
        from redis.exceptions import ResponseError

        refused: Exception | None = None
        try:
            await connection.read_response()
        except ResponseError as error:
            refused = error
        self._retry_s = FIRST_RETRY_S
        waiting = self._flying.popleft()
        if refused is not None:
            self._note_refused(refused)
        elif waiting is not None:
            self._note_back()
        if waiting is not None:
            self._settle(waiting, lost=refused is not None)

    async def _any(self) -> bool:
        """Wait for lines; False once none come any more."""
        while not self._queue:
            if self._closing:
                return False
            self._wake.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                return bool(self._queue)
        return True

    def _due(self, keys: set[str]) -> list[str]:
        """Return which spools' time to live is to be renewed, and take it for done."""
        now = asyncio.get_running_loop().time()
        due = [key for key in keys if self._renewed.get(key, 0.0) <= now]
        if due and len(self._renewed) > AT_ONCE:
            self._renewed = {key: at for key, at in self._renewed.items() if at > now}
        self._renewed.update(dict.fromkeys(due, now + RENEW_S))
        return due

    def _take_back(self) -> None:
        """Queue again what was sent and not answered."""
        self._queue.extendleft(w for w in reversed(self._flying) if w is not None)
        self._flying.clear()

    def _settle(self, waiting: _Waiting, *, lost: bool) -> None:
        self._bytes -= len(waiting.line)
        waiting.sink.lost += lost

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
