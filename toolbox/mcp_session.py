"""One session with an MCP server, by the official SDK: opened once, used by many, opened anew.

Strategy: the SDK's contexts want to be left by the task that entered them, so a task of its own
holds the client while others call. Everything that goes out is counted, which tells a call that
was never sent (the server had gone away before: harmless) from one that nobody knows the end of.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import Implementation

from contracts.tools import McpTool
from toolbox.calls import Env
from toolbox.environment import filled, secrets, usual
from toolbox.exceptions import ToolUnavailable

# The SDK logs what it cannot read, and that may be anything a tool was given or gave.
logging.getLogger("mcp").setLevel(logging.CRITICAL)

GUARD = Path(__file__).with_name("guard.py")
JSON_BYTES = 32 * 1024 * 1024
TAIL_BYTES = 2_000
CLOSE_S = 10.0


class McpSession:
    """A session. `open`, then use `client`, then `close`; `sent` counts what went out."""

    def __init__(self, spec: McpTool, env: Env) -> None:
        self._spec, self._env = spec, env
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._stderr = _Tail()
        self.client: Client | None = None
        self.sent = 0

    @property
    def closed(self) -> bool:
        """Whether nothing of it is left."""
        return self._closing is not None and self._closing.done()

    async def open(self) -> Client:
        """Connect. Raises ToolUnavailable; takes as long as it takes."""
        opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(opened))
        try:
            self.client = await opened
        except BaseException:
            await self.close()
            raise
        return self.client

    async def close(self) -> None:
        """Leave the server. May be called twice; goes on to its end when it is cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._stop.set()
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=CLOSE_S if self.client else 0.1)
        if late:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLOSE_S)
        self._stderr.close()

    async def _hold(self, opened: "asyncio.Future[Client]") -> None:
        try:
            async with self._transport() as transport:
                info = Implementation(name="callboard", version="1")
                async with Client(_Counting(transport, self), client_info=info) as client:
                    if not opened.done():
                        opened.set_result(client)
                    await self._stop.wait()
        except Exception as error:
            if not opened.done():
                opened.set_exception(ToolUnavailable(self._said(error)))
        finally:
            if not opened.done():
                opened.cancel()

    @contextlib.asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        """Give the SDK's own transport, with what the tool's secrets fill in."""
        spec = self._spec
        known = secrets(spec.secrets, self._env)
        if spec.url is None:
            own = {name: filled(text, known) for name, text in spec.env.items()}
            parameters = StdioServerParameters(
                command=sys.executable,
                args=["-I", "-S", str(GUARD), *spec.command],
                env={**usual(self._env), **known, **own},
                cwd=spec.folder or None,
                encoding_error_handler="replace",
            )
            yield stdio_client(parameters, errlog=await self._stderr.open())
            return
        headers = {name: filled(text, known) for name, text in spec.headers.items()}
        async with httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(spec.timeout + spec.start_timeout, connect=spec.start_timeout),
            transport=_Bounded(),
            trust_env=False,
        ) as http:
            yield streamable_http_client(spec.url, http_client=http)

    def _said(self, error: BaseException) -> str:
        """Return why it cannot be had: the first cause of many, and the server's last words."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ToolUnavailable):
            return str(error)
        shown = f"{type(error).__name__}: {error}"
        last = self._stderr.last_line()
        return f"the MCP server {self._spec.name} cannot be used: {shown}" + (
            f"; it printed last: {last}" if last else ""
        )


class _Counting:
    """A transport that counts, for a session, what was handed to it."""

    def __init__(self, inner: Any, session: McpSession) -> None:
        self._inner, self._session = inner, session

    async def __aenter__(self) -> tuple[Any, Any]:
        reading, writing = await self._inner.__aenter__()
        return reading, _CountingStream(writing, self._session)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        said: bool | None = await self._inner.__aexit__(kind, error, traceback)
        return said


class _CountingStream:
    def __init__(self, inner: Any, session: McpSession) -> None:
        self._inner, self._session = inner, session

    async def send(self, item: Any) -> None:
        await self._inner.send(item)
        self._session.sent += 1

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> "_CountingStream":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *told: Any) -> Any:
        return await self._inner.__aexit__(*told)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Bounded(httpx2.AsyncHTTPTransport):
    """Breaks off an answer in one piece that is too large to be one; streams may go on."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _BoundedStream(response.stream)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > JSON_BYTES:
                raise httpx2.ReadError(f"an answer of more than {JSON_BYTES:,} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Tail:
    """The end of what a process prints, read as it comes so that it never has to wait."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._file: Any = None
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> Any:
        """Return the file to print to."""
        reading, writing = os.pipe()
        self._file = os.fdopen(writing, "w")
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(reading, "rb")
        self._transport, _ = await loop.connect_read_pipe(lambda: _Keep(self._data), pipe)
        return self._file

    def last_line(self) -> str:
        """Return the last line, cut."""
        lines = self._data.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def close(self) -> None:
        """Let go of the pipe."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None


class _Keep(asyncio.Protocol):
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def data_received(self, data: bytes) -> None:
        self._data += data
        del self._data[:-TAIL_BYTES]
