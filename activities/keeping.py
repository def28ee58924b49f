"""Keeping what was paid for: a store that is away for a while loses no answer."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.artifacts import Value
from stores.artifacts import ArtifactStore
from stores.exceptions import StoreUnavailable
from stores.values import store_value

KEEP_TRYING_S = 40.0
"""How long a paid answer waits for a store that is away; the workflow allows a minute."""


R = TypeVar("R")


async def keep(store: ArtifactStore, value: object, *, want_inline: bool = False) -> Value:
    """Store an answer, and outlast a store that is away for a while."""
    return await lasting(lambda: store_value(store, value, want_inline=want_inline))


async def lasting(write: Callable[[], Awaitable[R]]) -> R:
    """Write to a store, and outlast one that is away for a while."""
    with contextlib.suppress(StoreUnavailable):
        return await write()
    # What counts tries is imported and made only once the first has failed: most writes need one.
    from tenacity import (
        AsyncRetrying,
        retry_if_exception_type,
        stop_after_delay,
        wait_exponential,
    )

    async for trial in AsyncRetrying(
        retry=retry_if_exception_type(StoreUnavailable),
        stop=stop_after_delay(KEEP_TRYING_S),
        wait=wait_exponential(multiplier=0.5, max=8),
        reraise=True,
    ):
        with trial:
            return await write()
    raise AssertionError("unreachable: the last trial returns or raises")
