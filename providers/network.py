"""How the HTTP library reaches the network: by sockets of our own, everything else by itself.

Promise: connections, TLS, proxies, limits and keep-alive are httpx2's and httpcore2's, as are the
exceptions. Only the sockets below them are `providers.sockets`, which read a stream's small pieces
for a third of the processor time; and where the body of an answer begins, nothing of it has gone
to the library yet, so that it can be read past it (`providers.bodies`).

Strategy: httpcore2's port for networks, `AsyncNetworkBackend`. TLS is anyio's, over our sockets.
While a head is read, bytes are handed over up to its blank line, and kept from there on until
somebody asks for them.
"""

import asyncio
import re
import select
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.streams.tls import TLSAttribute, TLSStream

from providers.sockets import Socket

_READ_BYTES = 65_536
_ENDS_HEAD = re.compile(rb"\n\r?\n")
"""As h11 has it: whatever it takes for the end of a head, nothing else may be."""

_BROKEN = (BrokenResourceError, ClosedResourceError, EndOfStream, ssl.SSLError)


def by_own_sockets(client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """Let a new client connect by our sockets, directly and through its proxies; return it."""
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx2.AsyncHTTPTransport):
            # httpx2 has no parameter for what httpcore2 takes as `network_backend`.
            transport._pool._network_backend = Network()
    return client


class Network(httpcore2.AsyncNetworkBackend):
    """Opens connections in the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "Connection":
        """Connect. Raises `ConnectTimeout`, `ConnectError`."""
        try:
            async with asyncio.timeout(timeout):
                socket = await Socket.connected(host, port, local_address)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from error
        for option in socket_options or ():
            socket.info("socket").setsockopt(*option)
        return Connection(socket)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Connection(httpcore2.AsyncNetworkStream):
    """One connection, as the library and readers of bodies see it."""

    def __init__(self, socket: Socket, tls: TLSStream | None = None) -> None:
        self._socket = socket
        self._tls = tls
        self._wire: Socket | TLSStream = tls or socket
        self._kept = b""
        self._last = b""
        self._in_head = self._at_body = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes, empty at the end; of a head none beyond it."""
        self._at_body = False
        if self._kept:
            data, self._kept = self._kept, b""
            return data
        data = await self.receive(timeout)
        return self._up_to_body(data) if self._in_head else data

    async def receive(self, timeout: float | None) -> bytes:
        """Return what comes next, empty at the end. Raises `ReadTimeout`, `ReadError`."""
        self._socket.patience = timeout
        try:
            return await self._wire.receive(_READ_BYTES)
        except EndOfStream:
            return b""
        except _BROKEN as error:
            raise httpcore2.ReadError(_words(error)) from error

    def take_body(self) -> bytes | None:
        """Return what has come of the body, the rest being left to `receive`.

        None if no head was read just now, or the library has more than the head already.
        """
        if not self._at_body:
            return None
        self._at_body = False
        data, self._kept = self._kept, b""
        return data

    def give_back(self, data: bytes) -> None:
        """Let the library read this, and what comes after it."""
        self._kept = data

    def _up_to_body(self, data: bytes) -> bytes:
        found = _ENDS_HEAD.search(self._last + data)
        if found is None:
            self._last = (self._last + data)[-2:]
            return data
        end = found.end() - len(self._last)
        self._in_head, self._at_body = False, True
        self._kept = data[end:]
        return data[:end]

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write a piece of a request. Raises `WriteTimeout`, `WriteError`."""
        self._in_head, self._at_body, self._last = True, False, b""
        if not buffer:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._wire.send(buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(str(error)) from error
        except _BROKEN as error:
            raise httpcore2.WriteError(_words(error)) from error

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> "Connection":
        """Return the same connection under TLS. Raises `ConnectTimeout`, `ConnectError`."""
        self._socket.patience = None
        try:
            async with asyncio.timeout(timeout):
                tls = await TLSStream.wrap(
                    self._wire,
                    server_side=False,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    standard_compatible=False,
                )
        except BaseException as error:
            await self._socket.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout(str(error)) from error
            if isinstance(error, _BROKEN):
                raise httpcore2.ConnectError(_words(error)) from error
            raise
        return Connection(self._socket, tls)

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore2 documents; "is_readable": an idle connection is to be given up."""
        if info == "ssl_object":
            return None if self._tls is None else self._tls.extra(TLSAttribute.ssl_object, None)
        if info == "is_readable":
            return bool(self._kept) or self._socket.has_news or _is_readable(self._socket)
        names = {"client_addr": "sockname", "server_addr": "peername", "socket": "socket"}
        return self._socket.info(names[info]) if info in names else None


def _is_readable(socket: Socket) -> bool:
    """Tell whether the system has news of a connection that the event loop has not seen yet."""
    number = socket.info("socket").fileno()
    if number < 0:
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


def _words(error: BaseException) -> str:
    """What the system said, under anyio's wrapper that says nothing."""
    return str(error) or str(error.__cause__ or "") or type(error).__name__
