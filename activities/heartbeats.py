"""Signs of life of an activity that waits for somebody else, whatever that one does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from temporalio import activity

from contracts.base import Frozen

HEARTBEAT_S = 1.0
"""Between two signs of life; the workflow's heartbeat timeout is five times that."""


@contextlib.asynccontextmanager
async def beating(progress: Callable[[], Frozen]) -> AsyncIterator[None]:
    """Beat every second while the context lasts; within a workflow's task nobody listens.

    The mark "sent" is a beat of its own, right before the request: whoever sends it says so.
    """
    if activity.info().is_local:
        yield
        return

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            activity.heartbeat(progress())

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
