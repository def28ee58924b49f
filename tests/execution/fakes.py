"""Providers that record what they are asked, and fail as they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from contracts.messages import ChatChunk, ChatRequest, Usage
from providers.spi import LLMClient

Turn = str | Exception


class FakeClient(LLMClient):
    """Generates, and nothing else. Answers turn by turn; the last one repeats."""

    provider = "fake"

    def __init__(
        self,
        *turns: Turn | Callable[[ChatRequest], Turn],
        usage: Usage | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.turns: Sequence[Any] = turns or ("An answer.",)
        self.usage = usage or Usage(100, 50)
        self.seconds = seconds
        self.requests: list[ChatRequest] = []
        self.open_now = 0
        self.most_open = 0

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        turn = self.turns[min(len(self.requests), len(self.turns) - 1)]
        self.requests.append(req)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.open_now -= 1
        if callable(turn):
            turn = turn(req)
        if isinstance(turn, Exception):
            raise turn
        yield ChatChunk(delta_text=turn)
        yield ChatChunk(finish_reason="stop", usage=self.usage)


class UploadingClient(FakeClient):
    """Takes uploads as well."""

    def __init__(self, *turns: Any, fails: Sequence[Exception] = (), **more: Any) -> None:
        super().__init__(*turns, **more)
        self.uploads: list[tuple[bytes, str, str]] = []
        self.deleted: list[str] = []
        self.fails = list(fails)
        self.deleting_fails = False

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        self.uploads.append((data, mime_type, name))
        await asyncio.sleep(0.01)
        if self.fails:
            raise self.fails.pop(0)
        return f"file-{len(self.uploads)}"

    async def delete_upload(self, uri: str) -> None:
        self.deleted.append(uri)
        if self.deleting_fails:
            raise RuntimeError("it does not want to go")


class CachingClient(UploadingClient):
    """Uploads and caches."""

    def __init__(self, *turns: Any, cache_fails: Sequence[Exception] = (), **more: Any) -> None:
        super().__init__(*turns, **more)
        self.caches: list[ChatRequest] = []
        self.caches_deleted: list[str] = []
        self.cache_fails = list(cache_fails)

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        self.caches.append(req)
        await asyncio.sleep(0.01)
        if self.cache_fails:
            raise self.cache_fails.pop(0)
        return f"cache-{len(self.caches)}"

    async def delete_cache(self, name: str) -> None:
        self.caches_deleted.append(name)


class Waits:
    """A clock that never waits, and remembers how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
