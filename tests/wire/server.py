"""A vendor on 127.0.0.1 that says what it is told and breaks in every way that real ones do.

Raw sockets, so that framing, resets and half characters are exactly those of the script. A
`Reply` is a status, headers and a list of acts: bytes to send, and what happens between them.
Bodies of streams are chunk-encoded; `End` says how they end. Every request is recorded, and so is
how many connections are open.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Act = "bytes | Wait | Stall | Flood"
End = Literal["clean", "fin", "reset"]


@dataclass(frozen=True)
class Wait:
    """Say nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Stall:
    """Say nothing until the client goes away."""


@dataclass(frozen=True)
class Flood:
    """Send the same bytes until the client goes away, or a limit is reached."""

    data: bytes
    limit: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What one request is answered with.

    `end`: "clean" closes the body as HTTP wants it; "fin" closes the connection in the middle of
    it; "reset" sends an RST. `silent` replies never send a status line: the connection ends (or
    stalls, if the acts say so) before any header.
    """

    acts: tuple[Any, ...] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    end: End = "clean"
    silent: bool = False

    @classmethod
    def stream(cls, acts: Iterable[Any], end: End = "clean", **headers: str) -> "Reply":
        """A stream of server-sent events."""
        return cls(tuple(acts), 200, {"content-type": "text/event-stream", **headers}, end)

    @classmethod
    def error(cls, status: int, body: bytes, headers: dict[str, str] | None = None) -> "Reply":
        """An error with a body."""
        return cls((body,), status, {"content-type": "application/json", **(headers or {})})


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class WireServer:
    """Answers every request with `reply`, or with what `reply(request)` returns."""

    def __init__(self, reply: Reply | Callable[[Request], Reply]) -> None:
        self._reply = reply
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0

    @property
    def port(self) -> int:
        """The port that the system chose."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "WireServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=512)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def closed(self, within: float = 1.0) -> bool:
        """Wait until no connection is open; False if that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.open:
                    await asyncio.sleep(0.005)
        return self.open == 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True if the connection may be used for another."""
        request = await _read_request(reader)
        if request is None:
            return False
        self.requests.append(request)
        reply = self._reply if isinstance(self._reply, Reply) else self._reply(request)
        # A broken body has no length, whatever the status.
        broken = reply.end != "clean" or any(isinstance(act, Flood | Stall) for act in reply.acts)
        chunked = (reply.status == 200 or broken) and not reply.silent
        if not reply.silent:
            writer.write(_head(reply, chunked))
        for act in reply.acts:
            if not await _perform(act, reader, writer, chunked):
                return False
        await writer.drain()
        if reply.end == "reset":
            _reset(writer)
        if reply.end != "clean" or reply.silent:
            return False
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readexactly(1)
        if not head.isalpha():  # a TLS handshake: this server speaks plain HTTP
            return None
        head += await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    size = int(headers.get("content-length", "0"))
    return Request(method, path, headers, await reader.readexactly(size))


def _head(reply: Reply, chunked: bool) -> bytes:
    headers = dict(reply.headers)
    if chunked:
        headers["transfer-encoding"] = "chunked"
    else:
        size = sum(len(act) for act in reply.acts if isinstance(act, bytes))
        headers["content-length"] = str(size)
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


async def _perform(
    act: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunked: bool
) -> bool:
    """Do one act; False when the client has gone."""
    if isinstance(act, Wait):
        await writer.drain()
        return not await _gone(reader, act.seconds)
    if isinstance(act, Stall):
        await writer.drain()
        return not await _gone(reader, 60.0)
    if isinstance(act, Flood):
        for _ in range(act.limit // len(act.data)):
            writer.write(_framed(act.data, chunked))
            await writer.drain()
        return True
    writer.write(_framed(act, chunked))
    await writer.drain()
    return True


async def _gone(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Wait; True as soon as the client closes its side."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await reader.read(1) == b""
    return False


def _framed(data: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if chunked and data else data


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST instead of a FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def closed_port() -> AsyncIterator[str]:
    """The address of a port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def one_by_one(data: bytes) -> Sequence[bytes]:
    """The same bytes, each for itself."""
    return [data[i : i + 1] for i in range(len(data))]
