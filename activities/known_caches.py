"""Which caches are there at the vendors: names in the artifact store, by what they hold.

Executions of all workers find them there. Within a worker one that is being made is waited for;
two workers that begin at the same moment may each make one, and the later name is kept.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from contracts.base import Frozen
from stores.artifacts import ArtifactStore

EARLY_S = 30.0
"""Before its end a cache is taken for gone: a call that uses it has to arrive in time."""


class _Known(Frozen):
    name: str | None = None
    until: float = 0.0


class KnownCaches:
    """Caches by key, on one store."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """Be the only one of this worker who looks for, or makes, the cache of a key."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield

    async def find(self, key: str) -> str | None:
        """Return the name of a cache that will last a little longer, or None."""
        ref = await self._store.lookup(f"caches/{key}")
        if ref is None:
            return None
        known = await self._store.get_model(ref, _Known)
        return known.name if time.time() < known.until else None

    async def add(self, key: str, name: str, ttl_s: float) -> None:
        """Note a cache that was made just now."""
        await self._note(
            key, _Known(name=name, until=time.time() + ttl_s - min(EARLY_S, ttl_s / 2))
        )

    async def forget(self, key: str) -> None:
        """Note that a cache is no more."""
        await self._note(key, _Known())

    async def _note(self, key: str, known: _Known) -> None:
        await self._store.note(f"caches/{key}", await self._store.put_json(known))
