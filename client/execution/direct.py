"""Effects of an execution by direct calls of client objects, in this process.

Nothing of it outlives the process: for that, name a registered provider instead of handing over
a client (`client.execution.durable`).
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from client.execution.caches import CacheRegistry
from contracts.artifacts import Value
from contracts.base import Frozen, Json
from contracts.calls import CallFailure
from contracts.execution import CacheRef, Capabilities, NamedEffect, SourceFile
from contracts.execution_calls import (
    Asked,
    CacheCall,
    GenerateCall,
    GenerateReply,
    RemoveCall,
    RemoveReply,
    UploadCall,
    UploadReply,
)
from contracts.execution_parts import StoredPart
from providers import executing
from providers.call_failures import call_failure
from providers.exceptions import InvalidRequest, RouterError
from providers.prompt_texts import prompt_texts
from providers.spi import Caching, Uploads
from providers.timeouts import Timeouts
from workflows.effects import Effects

R = TypeVar("R")

NamedEffects = Mapping[str, Callable[[Json], Awaitable[Json]]]
Sleep = Callable[[float], Awaitable[None]]


class FilesHere:
    """Contents on this machine's disk. Stored parts are for durable executions."""

    async def part(self, stored: StoredPart) -> Frozen:
        """Raise: there is no store here."""
        raise InvalidRequest("a stored part is read where its store is", sent=False)

    async def file(self, file: SourceFile) -> bytes:
        """Return a file's bytes. Raises `InvalidRequest` naming one that is gone or changed."""
        return await asyncio.to_thread(read_unchanged, file)


def read_unchanged(file: SourceFile) -> bytes:
    """Return the bytes of a file that is still what was planned. Raises `InvalidRequest`."""
    try:
        data = Path(file.path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{file.path} cannot be read: {error.strerror}", sent=False) from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise InvalidRequest(f"{file.path} has changed since it was planned", sent=False)
    return data


class DirectEffects(Effects):
    """Acts on client objects, by provider name."""

    def __init__(
        self,
        clients: Mapping[str, object],
        caches: CacheRegistry,
        named: NamedEffects,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.perf_counter,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._clients, self._caches, self._named = clients, caches, named
        self._sleep, self._clock, self._dice = sleep, clock, dice
        self.contents = FilesHere()

    def _client(self, provider: str) -> Any:
        """Return a client. `Any`: what it can do has been asked by protocol before."""
        if provider not in self._clients:
            known = ", ".join(self._clients)
            raise RouterError(f"no client for provider {provider!r} was given (there is: {known})")
        return self._clients[provider]

    async def capabilities(self, asked: Asked) -> Capabilities | CallFailure:
        async def look() -> Capabilities:
            return executing.capabilities_of(self._client(asked.provider))

        return await _tried(look(), asked)

    async def upload(self, call: UploadCall) -> UploadReply | CallFailure:
        async def upload() -> UploadReply:
            data = await self.contents.file(call.file)
            client: Uploads = self._client(call.provider)
            name = call.file.name or Path(call.file.path).name
            return UploadReply(uri=await client.upload(data, call.file.mime_type, name))

        return await _tried(upload(), call)

    async def cache(self, call: CacheCall) -> CacheRef | CallFailure:
        key = f"{call.provider}/{call.model}/{call.effect.content_key}"

        async def find_or_make() -> CacheRef:
            client: Caching = self._client(call.provider)
            resends = executing.capabilities_of(client).resends_prefix
            async with self._caches.held(key):
                name = self._caches.find(key)
                if name is not None:
                    return CacheRef(name=name, application="reused", key=key, resends=resends)
                if not call.effect.create:
                    return CacheRef(key=key)
                request = await executing.cache_request(call, self.contents)
                name = await client.create_cache(request, call.effect.ttl_s)
                self._caches.add(key, name, call.effect.ttl_s)
                return CacheRef(
                    name=name,
                    application="created",
                    key=key,
                    resends=resends,
                    tokens=getattr(name, "tokens", None),
                )

        return await _tried(find_or_make(), call)

    async def generate(self, call: GenerateCall) -> GenerateReply | CallFailure:
        private: list[str] = []

        async def ask() -> GenerateReply:
            client = self._client(call.provider)
            able = executing.capabilities_of(client)
            resends = able.resends_prefix or "caching" not in able
            request = await executing.chat_request(call, self.contents, resends=resends)
            private.extend(prompt_texts(request))
            stream = executing.as_client(client).open(request, Timeouts.of(call.timeout))
            async with stream:
                reply = await stream.collect()
            notes = executing.check_answer(reply, call.provider, call.model)
            return GenerateReply(
                output=_inline(reply.text),
                usage=reply.usage,
                finish_reason=reply.finish_reason,
                tool_calls=reply.tool_calls,
                model=reply.model,
                notes=notes,
            )

        return await _tried(ask(), call, private)

    async def remove(self, call: RemoveCall) -> RemoveReply:
        problems: list[str] = []
        for key in call.forget:
            self._caches.forget(key)
        client = self._client(call.provider) if call.uploads or call.caches else None
        ways = [(client.delete_upload, uri) for uri in call.uploads] if client else []
        ways += [(client.delete_cache, name) for name in call.caches] if client else []
        for delete, name in ways:
            try:
                await delete(name)
            except Exception as error:  # what is left there is told, and costs no answer
                failure = call_failure(error, call.provider, call.model)
                problems.append(f"{name} could not be deleted: {failure.kind}: {failure.message}")
        return RemoveReply(problems=tuple(problems))

    async def named(self, effect: NamedEffect) -> Any:
        async def do() -> Json:
            if effect.name not in self._named:
                raise InvalidRequest(f"no effect {effect.name!r} was given", sent=False)
            return await self._named[effect.name](effect.argument)

        return await _tried(do(), Asked(execution_id="", provider="", model=""))

    async def sleep(self, seconds: float) -> None:
        await self._sleep(seconds)

    def now(self) -> float:
        return self._clock()

    def random(self) -> float:
        return self._dice()


async def _tried(
    work: Awaitable[R], asked: Asked, private: list[str] | None = None
) -> R | CallFailure:
    """Return what comes of some work, its errors as values."""
    try:
        return await work
    except Exception as error:
        return call_failure(error, asked.provider, asked.model, tuple(private or ()))


def _inline(text: str) -> Value:
    return Value(inline=text, has_inline=True, size_bytes=len(text.encode()))
