"""What is there at the vendors: names in the artifact store, by what they stand for.

Executions of all workers find caches and uploads there. What is being made is waited for: within
a worker by a lock, between workers by a lease, a name that only one can leave, and renews while it
works. The lease of a worker that was killed is over soon; who goes on in its place has the same
holder's name and need not wait. Two make the same only where one was cut off from the store.

What was made is worth more than the note of it: where the store takes none (it is away, its disk
is full), that is logged and whoever made it goes on.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from weakref import WeakValueDictionary

from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.sharing import CACHES, LEASES, Kept
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactLost, SealingError, StoreError

EARLY_S = 30.0
"""Before its end a cache is taken for gone: a call that uses it has to arrive in time."""

LEASE_S = 15.0
"""How long a lease keeps others away that is not renewed."""

RENEW_S = LEASE_S / 3
"""From one renewal to the next: two may fail."""

_LOOK_AGAIN_S = 0.25

_log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class _Lease(Frozen):
    holder: str
    until: float


class Known:
    """Things at vendors by key, on one store. `prefix` is what kind: "caches/", "uploads/"."""

    def __init__(
        self,
        store: ArtifactStore,
        prefix: str = CACHES,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        between_renewals: Sleep = asyncio.sleep,
    ) -> None:
        self._store, self._prefix, self._clock, self._sleep = store, prefix, clock, sleep
        self._pause = between_renewals
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def held(self, key: str, holder: str) -> AsyncIterator[None]:
        """Be the only one who makes what a key stands for. `holder`: for which execution."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            name = f"{LEASES}{self._prefix}{key}"
            await self._leased(name, holder)
            renewing = asyncio.create_task(self._renew(name, holder))
            try:
                yield
            finally:
                renewing.cancel()
                await self._give_back(name, holder)

    async def find(self, key: str) -> Kept | None:
        """Return what will last a little longer, or None.

        What is noted and cannot be read (it was collected, or other keys sealed it) is not known.
        """
        ref = await self._store.lookup(self._prefix + key)
        if ref is None:
            return None
        try:
            known = await self._store.get_model(ref, Kept)
        except (ArtifactLost, SealingError) as error:
            _log.warning("%s%s is not known: %s", self._prefix, key, error)
            return None
        return known if known.name and self._clock() < known.until else None

    async def add(self, key: str, name: str, ttl_s: float, tokens: int | None = None) -> None:
        """Note what was made just now, if the store takes it: what was made is there anyway."""
        until = self._clock() + ttl_s - min(EARLY_S, ttl_s / 2)
        with _told(f"{self._prefix}{key} is at the vendor, and no other run will find it"):
            await self._note(key, Kept(name=name, until=until, tokens=tokens))

    async def forget(self, key: str) -> None:
        """Note that something is no more."""
        await self._note(key, Kept())

    async def _note(self, key: str, known: Kept) -> None:
        await self._store.note(self._prefix + key, await self._store.put_json(known))

    async def _leased(self, name: str, holder: str) -> None:
        """Wait until nobody else makes it."""
        while True:
            if await self._store.note_new(name, await self._mine(holder)):
                return
            other = await self._lease(name)
            if other is not None and (other.holder == holder or other.until < self._clock()):
                await self._store.forget(name)
            elif other is not None:
                await self._sleep(_LOOK_AGAIN_S)

    async def _renew(self, name: str, holder: str) -> None:
        """Renew a lease as long as it is ours; where the store is away, at the next time."""
        while True:
            await self._pause(RENEW_S)
            with _told(f"the lease {name} was not renewed"):
                lease = await self._lease(name)
                if lease is None or lease.holder != holder:
                    return
                await self._store.note(name, await self._mine(holder))

    async def _mine(self, holder: str) -> ArtifactRef:
        return await self._store.put_json(_Lease(holder=holder, until=self._clock() + LEASE_S))

    async def _lease(self, name: str) -> _Lease | None:
        ref = await self._store.lookup(name)
        return None if ref is None else await self._store.get_model(ref, _Lease)

    async def _give_back(self, name: str, holder: str) -> None:
        """Let others, unless the lease was over and is another's by now."""
        with _told(f"the lease {name} ends by itself"):
            lease = await self._lease(name)
            if lease is not None and lease.holder == holder:
                await self._store.forget(name)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Log what a store did not take, and go on."""
    try:
        yield
    except StoreError as error:
        _log.warning("%s: %s", what, error)
