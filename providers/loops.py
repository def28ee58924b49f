"""One vendor client per event loop.

Connections belong to the loop that opened them: a client that is used again under another loop
fails after its request has reached the vendor, and is billed for (measured). So every loop gets
its own, made when first asked for and shared by all calls in it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes one `T` per running event loop, and closes it with `aclose`."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """Return the running loop's own, making it if need be."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            for other in [known for known in self._made if known.is_closed()]:
                del self._made[other]
            made = self._made[loop] = self._make()
        return made

    async def aclose(self) -> None:
        """Close the running loop's own. Safe to call twice; `get` makes a new one."""
        made = self._made.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await self._close(made)
