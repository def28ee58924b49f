"""An execution's effects as activities: each asks a provider once, and says what came of it.

Every exit after a request was sent is final for the server (`activities.failures`): what follows
is the workflow's decision. Answers and files are in the store, only references travel.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar

from temporalio import activity

from activities.clients import Clients
from activities.failures import CallState, guard
from activities.heartbeats import beating
from activities.keeping import keep
from activities.known_caches import Known
from activities.prompts import likely_tokens
from activities.reusing import KnownAnswers
from activities.turns import turn
from contracts.artifacts import ArtifactRef
from contracts.base import Frozen
from contracts.calls import CallProgress, ModelReply
from contracts.execution import CacheRef, Capabilities, SourceFile
from contracts.execution_activities import ExecutionActivities
from contracts.execution_calls import (
    Asked,
    CacheCall,
    GenerateCall,
    GenerateReply,
    RemoveCall,
    RemoveReply,
    ReuseCall,
    ReuseReply,
    UploadCall,
    UploadReply,
)
from contracts.execution_parts import StoredPart, load_part
from contracts.messages import ChatRequest, Usage
from contracts.plans import Candidate
from contracts.prices import Price, Rate
from contracts.queues import provider_queue
from contracts.sharing import UPLOADS
from providers import executing
from providers.exceptions import ExecutionPlatformError, InvalidRequest, StreamInterrupted
from providers.spi import Caching, ChatReply, LLMClient, Uploads
from providers.timeouts import Timeouts
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactCorrupt, ArtifactMissing

R = TypeVar("R")

KEPT_AT_MOST_S = 365 * 86_400.0
"""A vendor that says nothing keeps files for as long as anybody will look for them."""

_FREE = Rate(base=Decimal(0))


class ExecutionWork(ExecutionActivities):
    """The activities, with what they need to act."""

    def __init__(self, store: ArtifactStore, clients: Clients) -> None:
        self._store, self._clients = store, clients
        self._caches = Known(store)
        self._uploads = Known(store, UPLOADS)
        self._answers = KnownAnswers(store)

    @activity.defn(name="execution_capabilities")
    async def execution_capabilities(self, asked: Asked) -> Capabilities:
        async def look(_: CallState) -> Capabilities:
            return executing.capabilities_of(self._client(asked))

        return await _guarded(look, asked)

    @activity.defn(name="execution_upload")
    async def execution_upload(self, call: UploadCall) -> UploadReply:
        file = call.file
        content = f"{call.provider}/{file.sha256}/{file.mime_type}"
        own, kept = f"of/{call.execution_id}/{content}", f"kept/{content}"

        async def known() -> UploadReply | None:
            """Return what is there: this execution's from before its worker was lost, or kept."""
            if call.fresh:
                return None
            if (found := await self._uploads.find(own)) and found.name:
                return UploadReply(uri=found.name)
            if call.keep_s and (found := await self._uploads.find(kept)) and found.name:
                return UploadReply(uri=found.name, kept=True)
            return None

        async def upload(state: CallState) -> UploadReply:
            if (found := await known()) is not None:
                return found
            client: Any = self._client(call)
            async with self._uploads.held(kept if call.keep_s else own, call.execution_id):
                if (found := await known()) is not None:
                    return found
                data = await _StoredContents(self._store, call).file(file)
                _sent(state)
                uploads: Uploads = client
                uri = await uploads.upload(data, file.mime_type, file.name or "file")
                lasts = getattr(client, "uploads_last_s", None) or KEPT_AT_MOST_S
                await self._uploads.add(own, uri, lasts)
                if call.keep_s:
                    await self._uploads.add(kept, uri, min(call.keep_s, lasts))
                return UploadReply(uri=uri)

        return await _guarded(upload, call)

    @activity.defn(name="execution_cache")
    async def execution_cache(self, call: CacheCall) -> CacheRef:
        effect = call.effect
        kept = f"{call.provider}/{call.model}/{effect.content_key}"
        own = kept if effect.keep else f"of/{call.execution_id}/{kept}"

        async def known(resends: bool) -> CacheRef | None:
            for key in dict.fromkeys((kept, own)):
                if (found := await self._caches.find(key)) is not None:
                    how: Literal["reused", "created"] = "created" if key != kept else "reused"
                    return CacheRef(
                        name=found.name,
                        application=how,
                        key=key,
                        resends=resends,
                        tokens=found.tokens,
                    )
            return None

        async def find_or_make(state: CallState) -> CacheRef:
            client: Any = self._client(call)
            resends = executing.capabilities_of(client).resends_prefix
            if (found := await known(resends)) is not None:
                return found
            if not effect.create:
                return CacheRef(key=own)
            async with self._caches.held(own, call.execution_id):
                if (found := await known(resends)) is not None:
                    return found
                contents = _StoredContents(self._store, call)
                request = await executing.cache_request(call, contents)
                _sent(state)
                caching: Caching = client
                made = await caching.create_cache(request, effect.ttl_s)
                tokens = getattr(made, "tokens", None)
                await self._caches.add(own, made, effect.ttl_s, tokens)
                return CacheRef(
                    name=made, application="created", key=own, resends=resends, tokens=tokens
                )

        return await _guarded(find_or_make, call)

    @activity.defn(name="execution_reuse")
    async def execution_reuse(self, call: ReuseCall) -> ReuseReply:
        async def look(_: CallState) -> ReuseReply:
            found = await self._answers.find(call.key, call.within_s, want_inline=False)
            return ReuseReply(found=None if found is None else _as_reply(found))

        return await _guarded(look, call)

    @activity.defn(name="execution_generate")
    async def execution_generate(self, call: GenerateCall) -> GenerateReply:
        async def ask(state: CallState) -> GenerateReply:
            client = self._client(call)
            able = executing.capabilities_of(client)
            resends = able.resends_prefix or "caching" not in able
            contents = _StoredContents(self._store, call)
            request = await executing.chat_request(call, contents, resends=resends)
            name = f"{call.execution_id}/{call.index}#{call.attempt}"
            tokens = likely_tokens(request)
            async with turn(self._clients, name, _candidate(call), tokens, state):
                _sent(state)
                reply = await _collected(client, request, call, state)
            made = await self._kept(call, reply)
            if call.reuse_key:
                await self._answers.keep(call.reuse_key, name, _as_answer(made))
            return made

        return await _guarded(ask, call)

    @activity.defn(name="execution_remove")
    async def execution_remove(self, call: RemoveCall) -> RemoveReply:
        problems: list[str] = []
        for key in call.forget:
            await self._caches.forget(key)
        client: Any = self._client(call)
        deletions = [(client.delete_upload, uri) for uri in call.uploads]
        deletions += [(client.delete_cache, name) for name in call.caches]
        for delete, name in deletions:
            try:
                await delete(name)
            except ExecutionPlatformError as error:  # what is left there costs no answer
                problems.append(f"{name} could not be deleted: {type(error).__name__}: {error}")
        return RemoveReply(problems=tuple(problems))

    def _client(self, asked: Asked) -> LLMClient:
        return self._clients.client(_candidate(asked))

    async def _kept(self, call: GenerateCall, reply: ChatReply) -> GenerateReply:
        notes = executing.check_answer(reply, call.provider, call.model)
        return GenerateReply(
            output=await keep(self._store, reply.text),
            usage=reply.usage,
            finish_reason=reply.finish_reason,
            tool_calls=reply.tool_calls,
            model=reply.model,
            notes=notes,
        )


def _as_answer(reply: GenerateReply) -> ModelReply:
    """Return an execution's answer in the form in which answers are kept."""
    now = datetime.now(UTC)
    return ModelReply(
        output=reply.output,
        usage=reply.usage or Usage(),
        finish_reason=reply.finish_reason,
        tool_calls=reply.tool_calls,
        model=reply.model,
        notes=reply.notes,
        started_at=now,
        ended_at=now,
    )


def _as_reply(answer: ModelReply) -> GenerateReply:
    return GenerateReply(
        output=answer.output,
        finish_reason=answer.finish_reason,
        model=answer.model,
        notes=answer.notes,
        reused_from=answer.reused_from,
    )


class _StoredContents:
    """Parts and files of one execution, in the store."""

    def __init__(self, store: ArtifactStore, asked: Asked) -> None:
        self._store, self._asked = store, asked

    async def part(self, stored: StoredPart) -> Frozen:
        return load_part(await self._bytes(stored.ref, f"a part ({stored.of})"))

    async def file(self, file: SourceFile) -> bytes:
        if file.content is None:
            raise InvalidRequest(f"{file.path} was not stored for the workers", sent=False)
        return await self._bytes(file.content, file.path)

    async def _bytes(self, ref: ArtifactRef, what: str) -> bytes:
        try:
            return await self._store.get_bytes(ref)
        except (ArtifactMissing, ArtifactCorrupt) as error:
            raise InvalidRequest(
                f"{what}, which execution {self._asked.execution_id} needs: {error}", sent=False
            ) from None


def _candidate(asked: Asked) -> Candidate:
    """Return the provider and model as the worker's clients are asked for; prices play no part."""
    price = Price(model=asked.model, input=_FREE, output=_FREE, source="none", version="")
    return Candidate(
        provider=asked.provider,
        model=asked.model,
        queue=provider_queue(asked.provider),
        price=price,
    )


def _sent(state: CallState) -> None:
    """Say, before the request leaves, that from now on it may have been made."""
    state.sent = True
    activity.heartbeat(CallProgress(phase="sent"))


async def _collected(
    client: LLMClient, request: ChatRequest, call: GenerateCall, state: CallState
) -> ChatReply:
    stream = client.open(request, Timeouts.of(call.timeout))
    try:
        async with stream:
            async for chunk in stream:
                state.chars += len(chunk.delta_text or "")
                state.usage = chunk.usage or state.usage
        reply = await stream.collect()
    finally:
        state.usage = stream.usage or state.usage
        state.response_id = stream.response_id
    if stream.finish_reason is None:
        raise StreamInterrupted("the stream ended without saying that the answer is whole")
    state.usage_final = stream.usage is not None
    return reply


async def _guarded(work: Callable[[CallState], Awaitable[R]], asked: Asked) -> R:
    """Do some work between heartbeats; let out an answer, or an error that says what was spent."""
    state = CallState(asked.provider, asked.model)

    def progress() -> CallProgress:
        usage = state.usage
        return CallProgress(
            phase="sent" if state.sent else "loading",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else -(-state.chars // 4),
            chars=state.chars,
        )

    async def attempt() -> R:
        _refuse_second_run(state)
        async with beating(progress):
            return await work(state)

    async def no_partial(_: str) -> None:
        return None

    return await guard(attempt, state, no_partial)


def _refuse_second_run(state: CallState) -> None:
    """A task that the server hands out again after its request was sent is not worked on."""
    info = activity.info()
    if info.attempt == 1 or not info.heartbeat_details:
        return
    if CallProgress.model_validate(info.heartbeat_details[0]).phase == "sent":
        state.sent = True
        raise StreamInterrupted("a worker was lost after it had sent the request")
