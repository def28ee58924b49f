"""The process around workers: it waits for its server, works until it is told to stop, says so.

SIGTERM and SIGINT stop it gracefully; how long what is in flight may go on is the workers' own
matter. A worker that was started by another of our processes ends with it: its server went too,
nothing can be saved. What the workers do is not known here: `worker.py` puts them together.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from temporalio.client import Client

from client.connection import ServerUnreachable, connect
from client.leash import PARENT_VARIABLE

CONNECT_LIMIT_S = 30.0
"""How long a server is waited for that is just being started by somebody else."""


async def until_stopped(opened: Callable[[Client], AbstractAsyncContextManager[str]]) -> int:
    """Connect, and keep what `opened` gives open until a signal comes. Returns the exit code.

    `opened` begins to work when it is entered and gives the line that says so, which goes to
    stdout; leaving it finishes what is in flight.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    leash = asyncio.create_task(_end_with_parent())
    try:
        client = await _connect(stop)
    except ServerUnreachable as error:
        print(error, file=sys.stderr)
        return 2
    if client is None:
        return 0
    async with opened(client) as ready:
        print(ready, flush=True)
        await stop.wait()
    leash.cancel()
    await asyncio.sleep(0.05)
    return 0


async def _connect(stop: asyncio.Event) -> Client | None:
    """Connect; None when told to stop before.

    A server that is just being started is waited for; one that our parent starts (it may have
    to build it first), for as long as that parent lives.
    """
    deadline = asyncio.get_running_loop().time() + CONNECT_LIMIT_S
    while not stop.is_set():
        try:
            return await connect()
        except ServerUnreachable:
            late = asyncio.get_running_loop().time() > deadline
            if late and not os.environ.get(PARENT_VARIABLE):
                raise
            await asyncio.sleep(0.05)
    return None


async def _end_with_parent() -> None:
    """End when the process that keeps us is gone."""
    parent = os.environ.get(PARENT_VARIABLE)
    while parent:
        await asyncio.sleep(1)
        if os.getppid() != int(parent):
            os._exit(1)
