"""Heartbeats of an activity that is written by hand, once a second as Callboard's are."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio import activity


@contextlib.asynccontextmanager
async def heartbeats() -> AsyncIterator[None]:
    """Tell the server every second that this activity's worker lives."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(1)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
