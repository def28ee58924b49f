"""Slots for model calls: never more in flight than the run allows, the highest priority first.

A pause closes the gate: who holds a slot goes on, nobody else gets one.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """A counting semaphore with priorities."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._asked = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self.open = True

    @asynccontextmanager
    async def held(self, priority: int) -> AsyncIterator[None]:
        """Hold a slot for the context; waits for one, and can be cancelled then."""
        await self._acquire(priority)
        try:
            yield
        finally:
            self._free += 1
            self.admit()

    async def _acquire(self, priority: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked += 1
        heapq.heappush(self._waiting, (-priority, self._asked, turn))
        self.admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free += 1
                self.admit()
            raise

    def admit(self) -> None:
        """Give free slots to those who wait, unless the gate is closed."""
        while self.open and self._free and self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    async def take(self, priority: int, most: int, leave: int = 0) -> int:
        """Take a slot, waiting for it, and up to `most` in all of those that nobody waits for.

        `leave` stay free beside the first. Returns how many were taken: to be given back.
        """
        await self._acquire(priority)
        return 1 + self.more(most - 1, leave)

    def more(self, most: int, leave: int = 0) -> int:
        """Take up to `most` slots at once, where nobody waits; `leave` stay free."""
        if not self.open or any(not turn.done() for _, _, turn in self._waiting):
            return 0
        count = max(0, min(most, self._free - leave))
        self._free -= count
        return count

    def give(self, count: int) -> None:
        """Give back slots that were taken, or add to those that there are."""
        self._free += count
        self.admit()
