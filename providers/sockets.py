"""A connection's socket, read as asyncio hands over what has arrived.

Promise: what a peer sent is given in order and as it came, everything that is there at once; its
end as `EndOfStream`, a broken connection as `BrokenResourceError` after what came before it, a
wait that takes longer than `patience` as `httpcore2.ReadTimeout`. Nothing is lost by a cancelled
wait. Beyond `MOST_BYTES` that nobody has read, the peer has to wait.

Strategy: anyio's own socket stops and starts the reading around every wait, which are two calls of
the system for each piece of a stream; here reading goes on. A wait is a future and, for a whole
connection, one timer: it looks when it goes off whether the present wait has lasted too long.
"""

import asyncio
import contextlib
from typing import Any

import httpcore2
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

MOST_BYTES = 256 * 1024
"""Received and not read yet. One read of asyncio's may go as far again beyond it."""

EYEBALLS_S = 0.25
"""Until a host's next address is tried as well (RFC 8305)."""


class Socket(asyncio.Protocol, ByteStream):
    """A connected socket. For one event loop, one reader and one writer at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = self._ended = self._closed = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._writable: asyncio.Event | None = None
        self.patience: float | None = None
        """Seconds that a read may wait for the next bytes."""

    @classmethod
    async def connected(cls, host: str, port: int, local_address: str | None = None) -> "Socket":
        """Connect to a host, by whichever of its addresses answers first. Raises OSError."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if local_address is not None:
            options["local_addr"] = (local_address, 0)
        if isinstance(loop, asyncio.BaseEventLoop):  # uvloop's does not know of it
            options["happy_eyeballs_delay"] = EYEBALLS_S
        _, socket = await loop.create_connection(cls, host, port, **options)
        return socket

    def info(self, name: str) -> Any:
        """Return what the transport tells of itself: "socket", "peername", "sockname"."""
        return self._transport.get_extra_info(name)

    @property
    def has_news(self) -> bool:
        """Whether anything has come that nobody has read, the end included."""
        return bool(self._chunks) or self._ended

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return all that has arrived, however much it is: at least one byte."""
        if not self._chunks and not self._ended:
            waiter = self._waiter = self._loop.create_future()
            if self.patience is not None:
                self._watch(self.patience)
            try:
                await waiter
            finally:
                self._waiter = None
        if self._chunks:
            return self._taken()
        if self._closed:
            raise ClosedResourceError
        if self._error is not None:
            raise BrokenResourceError from self._error
        raise EndOfStream

    async def send(self, item: bytes) -> None:
        """Write, and wait until the socket has taken it."""
        self._check_open()
        self._transport.write(item)
        if self._writable is not None:
            await self._writable.wait()
        self._check_open()

    async def send_eof(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.write_eof()

    async def aclose(self) -> None:
        """Close at once, whatever is still to be read or written."""
        self._closed = True
        self._transport.abort()
        await asyncio.sleep(0)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> bool:
        self._end()
        return True  # what is being written may still be

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        self._end()
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def _end(self) -> None:
        self._ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _taken(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._error is not None or self._transport.is_closing():
            raise BrokenResourceError from self._error

    def _watch(self, patience: float) -> None:
        """Bound the present wait."""
        self._due = self._loop.time() + patience
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._look)
        elif self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # the next wait sets the timer again
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            waiter.set_exception(httpcore2.ReadTimeout())
