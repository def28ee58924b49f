"""The HTTP server around the application: one socket, until it is told to stop.

Stopping takes no more requests, lets those under way end within `grace_s`, and hangs up on the
rest: their answers go on, and their readers may come back.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

MOST_CONNECTIONS = 2_000
KEEP_ALIVE_S = 30


class CannotListen(Exception):
    """The address cannot be had; the text says why."""


class _Server(uvicorn.Server):
    """Leaves the process's signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises CannotListen."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(info[4][:2], family=info[0], backlog=1024)
    except OSError as error:
        raise CannotListen(f"cannot listen at {host}:{port}: {error.strerror or error}") from None


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp, sock: socket.socket, grace_s: float = 10.0
) -> AsyncIterator["asyncio.Task[None]"]:
    """Serve for the time of the context; the task ends when the server does."""
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(grace_s)),
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)
        yield serving
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        sock.close()
