"""A client that is called from another thread, and works on its own event loop.

A caller's client may hold what belongs to the caller's loop, connections above all, so it is only
ever called there. Each call is one task of that loop; its chunks are handed over one by one, what
it raises is raised on the other side, and leaving early cancels it and waits until it is closed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from enum import Enum

from contracts.messages import ChatChunk, ChatRequest
from providers.exceptions import StreamInterrupted, Unavailable
from providers.spi import LLMClient
from providers.timeouts import Timeouts

CLOSE_LIMIT_S = 5.0
"""For a call that was left early: its loop may be busy, or gone."""

_NO_CLOCK = 7 * 86_400.0
"""Seconds: the clocks run on the side that asks."""


class _End(Enum):
    CLOSED = "closed"


_Item = ChatChunk | BaseException | _End


class OnLoop(LLMClient):
    """Calls a client on the loop that was running when this was made."""

    def __init__(self, client: LLMClient) -> None:
        self.provider = client.provider  # type: ignore[misc]  # the wrapped client's
        self._client = client
        self._home = asyncio.get_running_loop()

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        call = _Call(self._client, req, self._home)
        try:
            while not isinstance(item := await call.items.get(), _End):
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            await call.close()


class _Call:
    """One call under way: a task at home, its items here."""

    def __init__(
        self, client: LLMClient, request: ChatRequest, home: asyncio.AbstractEventLoop
    ) -> None:
        self._client, self._request, self._home = client, request, home
        self._here = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._crossing: deque[_Item] = deque()
        self._woken = False
        self.items: asyncio.Queue[_Item] = asyncio.Queue()
        try:
            home.call_soon_threadsafe(self._start)
        except RuntimeError:
            raise Unavailable("the program that holds the client has ended") from None

    async def close(self) -> None:
        """End the call, if it goes on, and wait until it has let go of its connection."""
        with contextlib.suppress(RuntimeError, TimeoutError):
            if not self._closed.is_set():
                self._home.call_soon_threadsafe(self._cancel)
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._closed.wait()

    def _start(self) -> None:
        self._task = self._home.create_task(self._pump())
        self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            self._put(StreamInterrupted("the call was cancelled in the program that makes it"))
        elif (error := task.exception()) is not None:
            self._put(error)
        self._put(_End.CLOSED)

    def _put(self, item: _Item) -> None:
        """Send an item across. Waking the other loop is dear, so it is done once for many."""
        self._crossing.append(item)
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # nobody is there to ask any more
                self._here.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False  # first: what is appended from now on wakes again
        while self._crossing:
            item = self._crossing.popleft()
            if item is _End.CLOSED:
                self._closed.set()
            self.items.put_nowait(item)

    async def _pump(self) -> None:
        stream = self._client.open(self._request, Timeouts(_NO_CLOCK, _NO_CLOCK, _NO_CLOCK))
        try:
            async for chunk in stream:
                self._put(chunk)
        finally:
            await stream.aclose()
