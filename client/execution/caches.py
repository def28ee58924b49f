"""Which caches are there at the vendors, as far as this process made them.

One that is being made is waited for: two executions that want the same make one. An entry counts
until shortly before its time to live is over.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

EARLY_S = 30.0
"""Before its end a cache is taken for gone: a call that uses it has to arrive in time."""


class CacheRegistry:
    """Names of caches by what they hold. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @contextlib.asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Be the only one who looks for, or makes, the cache of a key."""
        async with self._locks[key]:
            yield

    def find(self, key: str) -> str | None:
        """Return the name of a cache that will last a little longer, or None."""
        name, until = self._entries.get(key, (None, 0.0))
        return name if name is not None and self._clock() < until else None

    def add(self, key: str, name: str, ttl_s: float) -> None:
        """Note a cache that was made just now."""
        self._entries[key] = (name, self._clock() + ttl_s - min(EARLY_S, ttl_s / 2))

    def forget(self, key: str) -> None:
        """Note that a cache is no more."""
        self._entries.pop(key, None)
