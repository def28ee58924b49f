"""A client that is called from another thread, and works on its own event loop.

A caller's client may hold what belongs to the caller's loop, connections above all, so it is only
ever called there. Each call is one task of that loop; its chunks are handed over in their order,
what it raises is raised on the other side, and leaving early cancels it and waits until it is
closed.

Strategy: a hand-over costs more than most clients need for a chunk. The first goes over at once;
texts that gathered while the other side was busy, or for GATHER_S in a fast answer, go over as one.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from enum import Enum
from typing import TypeGuard

from contracts.messages import ChatChunk, ChatRequest
from providers.exceptions import StreamInterrupted, Unavailable
from providers.spi import LLMClient
from providers.timeouts import Timeouts

CLOSE_LIMIT_S = 5.0
"""For a call that was left early: its loop may be busy, or gone."""

GATHER_S = 0.005
"""How long texts of an answer that comes quickly are gathered: a viewer's screen is slower."""

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
        if not self._woken or not isinstance(item, ChatChunk):
            self._woken = True
            with contextlib.suppress(RuntimeError):  # nobody is there to ask any more
                self._here.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False  # first: what is appended from now on wakes again
        arrived: list[_Item] = []
        while self._crossing:
            arrived.append(self._crossing.popleft())
        if len(arrived) > 1 and isinstance(arrived[-1], ChatChunk):
            self._woken = True  # until the next look: more is on its way
            self._here.call_later(GATHER_S, self._take)
        for item in joined(arrived):
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


def joined(items: Iterable[_Item]) -> Iterator[_Item]:
    """Join neighbours that are nothing but text of one answer; all others stay as they are."""
    texts: list[ChatChunk] = []
    for item in items:
        if texts and not (_is_text(item) and _same_answer(item, texts[0])):
            yield _as_one(texts)
            texts = []
        if _is_text(item):
            texts.append(item)
        else:
            yield item
    if texts:
        yield _as_one(texts)


def _is_text(item: _Item) -> TypeGuard[ChatChunk]:
    return (
        isinstance(item, ChatChunk)
        and bool(item.delta_text)
        and not (item.finish_reason or item.tool_call or item.delta_reasoning)
        and not (item.usage or item.vendor_state or item.notes)
        and item.sequence is None
    )


def _same_answer(chunk: ChatChunk, other: ChatChunk) -> bool:
    return (chunk.model, chunk.response_id) == (other.model, other.response_id)


def _as_one(chunks: list[ChatChunk]) -> ChatChunk:
    if len(chunks) == 1:
        return chunks[0]
    return replace(chunks[0], delta_text="".join(chunk.delta_text or "" for chunk in chunks))
