"""An execution's effects on a client, whoever makes them: a worker's activities or a process.

What a client can do is found by protocol (`CAPABILITIES` of `providers.spi`), never by its name.
Parts that were put aside are fetched here: stored ones from wherever the caller keeps them, files
without an upload inline, text files as text, which every model reads.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, Protocol

from contracts.base import Frozen
from contracts.execution import CallSettings, Capabilities, FilePlaceholder, SourceFile
from contracts.execution_calls import CacheCall, GenerateCall
from contracts.execution_parts import StoredPart
from contracts.failures import FailureKind
from contracts.files import is_text
from contracts.messages import ChatChunk, ChatRequest, Message
from contracts.parts import FileInlinePart, TextPart
from providers.exceptions import ContentRefused, InvalidRequest, ProviderError
from providers.part_turns import Unsendable, messages_of
from providers.spi import CAPABILITIES, LACKS, ChatReply, Generation, LLMClient


class Contents(Protocol):
    """Where parts and files are kept."""

    async def part(self, stored: StoredPart) -> Frozen:
        """Return the part itself."""
        ...

    async def file(self, file: SourceFile) -> bytes:
        """Return a file's bytes, whose digest is the file's. Raises `InvalidRequest`."""
        ...


def capabilities_of(client: object) -> Capabilities:
    """Return what a client can do: what it implements, but for what it says that it lacks."""
    able = {n for n, protocol in CAPABILITIES.items() if isinstance(client, protocol)}
    return Capabilities(
        names=frozenset(able - set(getattr(client, LACKS, ()))),
        resends_prefix=bool(getattr(client, "resends_prefix", False)),
    )


async def chat_request(
    call: GenerateCall, contents: Contents, *, resends: bool = False
) -> ChatRequest:
    """Return the request of a call. Raises `InvalidRequest` for what cannot be sent.

    `resends`: the client wants a cached prefix again, whatever the cache's reference says.
    """
    cache = call.cache
    if cache is not None and resends:
        cache = cache.model_copy(update={"resends": True})
    kept_at_vendor = cache is not None and cache.name and not cache.resends
    shared = () if kept_at_vendor else await _fetched(call.shared, call.files, contents)
    own = await _fetched(call.parts, call.files, contents)
    return _request(
        call.model,
        _messages(lambda: messages_of(shared, own, cache)),
        call.settings,
        cache_key=cache.name if cache is not None else None,
        cache_lasts_s=cache.lasts_s if cache is not None and cache.name else None,
        metadata={
            "run": call.execution_id,
            "agent": f"call[{call.index}]",
            "attempt": str(call.attempt),
        },
    )


async def cache_request(call: CacheCall, contents: Contents) -> ChatRequest:
    """Return what is to be cached, as a request. Raises `InvalidRequest`."""
    parts = await _fetched(call.effect.parts, call.files, contents)
    return _request(call.model, _messages(lambda: messages_of(parts, ())), call.effect.settings)


class NoAnswer(ProviderError):
    """The provider answered, with nothing in it. It is paid for, and a second try may not help."""

    @property
    def kind(self) -> str:
        """The failure's kind."""
        return FailureKind.INVALID_OUTPUT


def check_answer(reply: ChatReply, provider: str, model: str) -> tuple[str, ...]:
    """Return notes on an answer. Raises `ContentRefused` or `NoAnswer` where it is none."""
    paid: dict[str, Any] = {
        "usage": reply.usage,
        "usage_final": True,
        "provider": provider,
        "model": model,
    }
    if reply.finish_reason in ("content_filter", "refusal"):
        raise ContentRefused(f"the provider ended the answer: {reply.finish_reason}", **paid)
    if not reply.text.strip() and not reply.tool_calls:
        raise NoAnswer(f"the answer is empty ({reply.finish_reason})", **paid)
    cut = ("cut at max_tokens",) if reply.finish_reason == "length" else ()
    return (*reply.notes, *cut)


def as_client(client: object) -> LLMClient:
    """Return a client that only implements `Generation` as an `LLMClient`.

    Raises `TypeError` for what cannot generate.
    """
    if isinstance(client, LLMClient):
        return client
    if not isinstance(client, Generation):
        raise TypeError(f"{type(client).__name__} has no method `stream`: it cannot generate")
    return _Adopted(client)


class _Adopted(LLMClient):
    def __init__(self, client: Generation) -> None:
        self._client = client

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        return self._client.stream(req)


def _request(
    model: str, messages: Sequence[Message], settings: CallSettings, **more: object
) -> ChatRequest:
    own = settings.model_dump()
    own["stop"] = list(settings.stop) or None
    return ChatRequest(messages=list(messages), model=model, **own, **more)  # type: ignore[arg-type]


def _messages(make: Callable[[], tuple[Message, ...]]) -> tuple[Message, ...]:
    try:
        found = make()
    except Unsendable as error:
        raise InvalidRequest(str(error), sent=False) from None
    if not found:
        raise InvalidRequest("the call has no parts: there is nothing to ask", sent=False)
    return found


async def _fetched(
    parts: Iterable[Frozen], files: Sequence[SourceFile], contents: Contents
) -> tuple[Frozen, ...]:
    return tuple([await _part(part, files, contents) for part in parts])


async def _part(part: Frozen, files: Sequence[SourceFile], contents: Contents) -> Frozen:
    if isinstance(part, StoredPart):
        return await contents.part(part)
    if isinstance(part, FilePlaceholder):
        file = files[part.index]
        return inline(file, await contents.file(file))
    return part


def inline(file: SourceFile, data: bytes) -> Frozen:
    """Return a file as a part of the request: as text where it is one."""
    name = file.name or PurePath(file.path).name
    if is_text(file.mime_type):
        return TextPart(text=f"{name}:\n{data.decode(errors='replace')}")
    return FileInlinePart(data=data, mime_type=file.mime_type, name=name)
