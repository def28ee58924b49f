"""Server-sent events: how they are written, and how a stream is sent to whoever reads slowly.

A stream is made piece by piece as it is read: nothing is made ahead of the reader but what the
kernel and the server's own bounded buffer hold. Who does not read at all for `PATIENCE_S` is hung
up on; the answer goes on, and he may come back for it.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

PATIENCE_S = 60.0
"""How long a reader may take no byte at all."""

PING = b": still here\n\n"
DONE = b"data: [DONE]\n\n"

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def event(data: Any, name: str | None = None, id: str | None = None) -> bytes:
    """Return an event: `data` as JSON, on one line."""
    lines = []
    if name is not None:
        lines.append(f"event: {name}\n".encode())
    if id is not None:
        lines.append(f"id: {id}\n".encode())
    lines.append(b"data: " + orjson.dumps(data) + b"\n\n")
    return b"".join(lines)


class EventStream(Response):
    """Sends pieces as they are made, no faster than they are read.

    The pieces' generator is closed whatever happens: when the reader hangs up, when he does not
    read, when the server stops.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        headers: dict[str, str] | None = None,
        background: BackgroundTask | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        super().__init__(None, 200, {**HEADERS, **(headers or {})}, self.media_type, background)
        # Of an unknown length: a Response without a body says that it has none.
        self.raw_headers = [one for one in self.raw_headers if one[0] != b"content-length"]
        self._pieces, self._patience_s = pieces, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces, or until nobody is there."""
        start: Message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        sending = asyncio.create_task(self._send(start, send))
        leaving = asyncio.create_task(_hung_up(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, start: Message, send: Send) -> None:
        async with aclosing(self._pieces) as pieces:
            try:
                await self._patient(send, start)
                async for piece in pieces:
                    body = {"type": "http.response.body", "body": piece, "more_body": True}
                    await self._patient(send, body)
                await self._patient(send, {"type": "http.response.body", "body": b""})
            except (TimeoutError, OSError):
                return

    async def _patient(self, send: Send, message: Message) -> None:
        async with asyncio.timeout(self._patience_s):
            await send(message)


async def _hung_up(receive: Receive) -> None:
    """Wait until the reader is gone."""
    while (await receive())["type"] != "http.disconnect":
        continue
