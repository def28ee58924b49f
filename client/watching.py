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
    follow: Follow, place: int, troubled: Callable[[str], None]
) -> AsyncGenerator[SpoolRecord, None]:
    """Yield a spool's records from an offset on, for ever.

    `troubled` is told why nothing can be read, and "" when something was again.
    """
    away = False
    while True:
        try:
            async with contextlib.aclosing(follow(place)) as records:
                async for record, offset in records:
                    place = offset
                    if away:
                        away = False
                        troubled("")
                    yield record
        except StoreUnavailable as error:
            if not away:
                away = True
                troubled(str(error))
            await asyncio.sleep(AGAIN_S)
