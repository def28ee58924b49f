"""A scripted provider that keeps files and caches, and says what it was asked to keep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contracts.messages import ChatRequest
from contracts.plans import Candidate
from providers.spi import CacheName, LLMClient
from tests.support.harness import Harness, harness
from tests.support.scripted import Say, Script, ScriptedClient, ScriptedClients
from tests.support.server import LocalServer


@dataclass
class Kept:
    """What a vendor was given, and what it was told to delete. Failures are raised in order."""

    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    caches: list[ChatRequest] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    upload_fails: list[Exception] = field(default_factory=list)
    cache_fails: list[Exception] = field(default_factory=list)
    cache_tokens: int | None = 1_000
    seconds: float = 0.0


class KeepingClient(ScriptedClient):
    """Keeps files, and caches under names of its own."""

    def __init__(self, script: Script, model: str, kept: Kept) -> None:
        super().__init__(script, model)
        self.kept = kept

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        """Keep a file."""
        self.kept.uploads.append((name, data))
        await asyncio.sleep(self.kept.seconds)
        if self.kept.upload_fails:
            raise self.kept.upload_fails.pop(0)
        return f"file-{len(self.kept.uploads)}"

    async def delete_upload(self, uri: str) -> None:
        """Delete a file."""
        self.kept.deleted.append(uri)

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Keep a prefix."""
        self.kept.caches.append(req)
        await asyncio.sleep(self.kept.seconds)
        if self.kept.cache_fails:
            raise self.kept.cache_fails.pop(0)
        return CacheName(f"cache-{len(self.kept.caches)}", self.kept.cache_tokens)

    async def delete_cache(self, name: str) -> None:
        """Delete a prefix."""
        self.kept.deleted.append(name)


class RepeatingClient(KeepingClient):
    """Caches what requests repeat: the prefix is sent with each."""

    resends_prefix = True


class KeepingClients(ScriptedClients):
    """Serves every candidate by one such client."""

    def __init__(
        self, script: Script, kept: Kept, made: type[KeepingClient] = KeepingClient
    ) -> None:
        super().__init__(script)
        self.kept, self._made = kept, made

    def client(self, candidate: Candidate) -> LLMClient:
        return self._made(self._script, candidate.model, self.kept)


@asynccontextmanager
async def keeping(
    server: LocalServer,
    folder: Path,
    kept: Kept,
    script: Script | None = None,
    made: type[KeepingClient] = KeepingClient,
    cached_workflows: int = 0,
    tools: bool = False,
) -> AsyncIterator[Harness]:
    """Run workers whose provider keeps files and caches."""
    script = script or Script(default=Say("An answer."))
    async with harness(
        server.address,
        folder,
        script,
        clients=KeepingClients(script, kept, made),
        cached_workflows=cached_workflows,
        tools=tools,
    ) as h:
        yield h
