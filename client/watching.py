"""Following a spool whatever becomes of the place where it is.

A place that cannot be read is told of once, and asked again until it can be: from where the
reading was, so no word is lost or doubled that the place still has. Who watches gets the whole
text from the store in the end.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from contracts.spools import SpoolRecord
from stores.exceptions import StoreUnavailable

AGAIN_S = 0.5

Follow = Callable[[int], AsyncGenerator[tuple[SpoolRecord, int], None]]
"""Begins to read at an offset, as `SpoolReader.follow` of one run does."""


async def watch(
    follow: Follow,
    place: int,
    troubled: Callable[[str], None],
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
    """Yield a spool's records from an offset on, each with the offset behind it.

    Goes on until `follow` ends, which `stop` tells it to do; a place that is away then is not
    waited for. `troubled` is told why nothing can be read, and "" when something was again.
    """
    stop = stop or asyncio.Event()
    away = False
    while True:
        try:
            async with contextlib.aclosing(follow(place)) as records:
                async for record, offset in records:
                    place = offset
                    if away:
                        away = False
                        troubled("")
                    yield record, offset
            return
        except StoreUnavailable as error:
            if not away:
                away = True
                troubled(str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await stop.wait()
            if stop.is_set():
                return
