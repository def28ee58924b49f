"""A step's files as parts of its request: texts as text, all others as they are, or by address.

They are read from the store, which verifies them: what is sent is what was planned. The team's
shared context is a turn of its own before the prompt. Where it is cached, whatever differs from
agent to agent has to follow it, so the system text becomes the beginning of the agent's own turn.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.calls import SharedUse
from contracts.files import AttachedFile
from contracts.messages import ChatRequest, Message
from contracts.parts import FileRefPart, Part
from contracts.prices import Price
from contracts.teams import SharedContext
from providers.exceptions import InvalidRequest
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactCorrupt, ArtifactMissing
from stores.messagefiles import as_sent

NO_URIS: Mapping[str, str] = {}


async def attached(
    request: ChatRequest,
    files: Iterable[AttachedFile],
    store: ArtifactStore,
    run_id: str,
    uris: Mapping[str, str] = NO_URIS,
) -> ChatRequest:
    """Return the request with files beside its first turn. Raises `InvalidRequest`.

    `uris` are the addresses of those that were uploaded, by SHA-256.
    """
    parts = await parts_of(files, store, run_id, uris)
    if not parts:
        return request
    first, *others = request.messages
    with_files = Message(first.role, first.content, parts=(*first.parts, *parts))
    return _changed(request, messages=[with_files, *others])


async def with_shared(
    request: ChatRequest,
    context: SharedContext,
    store: ArtifactStore,
    run_id: str,
    use: SharedUse,
    price: Price,
) -> ChatRequest:
    """Return the request with the shared context before it, or with the cache that has it.

    A cache that the vendor keeps takes no tools beside it: a request with tools has the files.
    A prefix is asked to last longer than it does anyway only where the price knows what that costs.
    """
    cache = use.cache
    kept = cache is not None and cache.name is not None and not cache.resends
    if kept and not request.tools:
        assert cache is not None
        return _changed(_own_turn(request), cache_key=cache.name)
    shared = Message("user", "", parts=await parts_of(context.files, store, run_id, use.uris))
    if cache is None or cache.name is None or kept:
        return _changed(request, messages=[shared, *request.messages])
    own = _own_turn(request)
    messages = [shared, *own.messages]
    lasts = context.lasts if price.cache_write_1h is not None else None
    return _changed(own, messages=messages, cache_key=cache.name, cache_lasts_s=lasts)


def _own_turn(request: ChatRequest) -> ChatRequest:
    """Return the request with its system text as the beginning of its first turn."""
    if not request.system:
        return request
    first, *others = request.messages
    told = Message(first.role, f"{request.system}\n\n{first.content}", parts=first.parts)
    return _changed(request, system=None, messages=[told, *others])


def _changed(request: ChatRequest, **changed: Any) -> ChatRequest:
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return ChatRequest(**{**fields, **changed})


async def parts_of(
    files: Iterable[AttachedFile],
    store: ArtifactStore,
    run_id: str,
    uris: Mapping[str, str] = NO_URIS,
) -> tuple[Part, ...]:
    """Return files as parts. Raises `InvalidRequest` naming one that is not in the store."""
    return tuple([await _part(file, store, run_id, uris) for file in files])


async def _part(
    file: AttachedFile, store: ArtifactStore, run_id: str, uris: Mapping[str, str]
) -> Part:
    if file.sha256 in uris:
        return FileRefPart(uri=uris[file.sha256], mime_type=file.mime_type, name=file.name)
    if file.content is None:
        raise InvalidRequest(f"{file.path} was not stored for the workers", sent=False)
    try:
        data = await store.get_bytes(file.content)
    except (ArtifactMissing, ArtifactCorrupt) as error:
        raise InvalidRequest(
            f"file {file.name}, which run {run_id} needs: {error}", sent=False
        ) from None
    return as_sent(data, file.mime_type, file.name)
