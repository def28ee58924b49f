"""The service provider interface (seed 000): what an adapter implements and a caller holds.

A client implements one of three methods: `stream` (an async generator of chunks; all adapters
do), `chat` (as seed 000 shows it) or `complete` (as seed 004 shows it). The other two are built
on it. Adapters know one vendor's wire format and nothing of runs, retries or budgets:

- one call makes at most one request; nothing is retried or continued behind the caller's back;
- text is yielded as it arrives, a tool call once and whole, `finish_reason` and `usage` at the end;
- a stream that ends without the vendor's terminal marker raises `StreamInterrupted`;
- every error is one of `providers.exceptions`, holds the usage seen and the partial text, and
  never a key or a prompt;
- leaving the stream early, by `aclose()`, `break` or cancellation, closes the connection at once.
"""

from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import field
from inspect import isawaitable
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from pydantic.dataclasses import dataclass

from contracts.messages import (
    ChatChunk,
    ChatRequest,
    Message,
    ToolCall,
    ToolDefinition,
    ToolParameter,
    Usage,
)
from contracts.parts import TextPart
from providers.chat_stream import ChatReply, ChatStream
from providers.completing import arguments, own_chunks, plain_tools, tool_call
from providers.exceptions import InvalidRequest, ProviderError
from providers.part_turns import Unsendable, turns
from providers.requests import check_request
from providers.timeouts import Timeouts
from providers.toolspecs import tool_definition

__all__ = [
    "CAPABILITIES",
    "CacheName",
    "Caching",
    "ChatChunk",
    "ChatReply",
    "ChatRequest",
    "ChatStream",
    "Generation",
    "LLMClient",
    "LLMResponse",
    "Message",
    "Resume",
    "Timeouts",
    "TokenCounting",
    "ToolCall",
    "ToolDefinition",
    "ToolParameter",
    "Uploads",
    "Usage",
]


@dataclass
class LLMResponse:
    """Answer of `complete` and `complete_with_tools` (seed 004)."""

    content: str
    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"
    tool_calls: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


class LLMClient:
    """A provider as its callers see it. See the module for an implementation's duties."""

    provider: ClassVar[str] = "custom"
    timeout: float | None = None
    """Seconds that a whole call may take where the caller does not say; None: EP_TIMEOUT."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a client that implements none of the three methods."""
        ways = ("stream", "chat", "complete")
        if all(getattr(cls, way) is getattr(LLMClient, way) for way in ways):
            raise TypeError(f"{cls.__name__} must implement one of {', '.join(ways)}")
        return super().__new__(cls)

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Make the request and yield its chunks. Adapters implement this."""
        return self._stream_of_complete(req)

    def chat(self, req: ChatRequest, timeout: float | None = None) -> ChatStream:
        """Start a chat call: an async iterator of chunks that can also be awaited for the whole.

        `timeout` bounds the whole call in seconds (default: the client's, EP_TIMEOUT, else 300).
        """
        return self.open(req, Timeouts.of(self.timeout if timeout is None else timeout))

    def open(self, req: ChatRequest, timeouts: Timeouts) -> ChatStream:
        """Start a chat call with all three clocks set; works for every kind of client.

        Raises `InvalidRequest` (here also a `ValueError`) for a request that nobody can serve.
        """
        check_request(req)
        if type(self).chat is not LLMClient.chat:
            return ChatStream(own_chunks(self.chat(req)), timeouts, self.provider)
        return ChatStream(self.stream(req), timeouts, self.provider)

    async def generate(
        self,
        parts: "str | Iterable[Any]",
        *,
        timeout: float | None = None,
        **options: Any,
    ) -> ChatReply:
        """Answer one turn that is made of parts (seed 002): texts, files, conversations.

        `options` are those of `ChatRequest` (`model`, `system`, `max_tokens`, `cache_key`, …).
        Raises `InvalidRequest` for a placeholder, whose file has to be uploaded or read before.
        """
        given = (TextPart(text=parts),) if isinstance(parts, str) else tuple(parts)
        try:
            messages = list(turns(given))
        except Unsendable as error:
            raise InvalidRequest(str(error), provider=self.provider, sent=False) from None
        return await self.chat(ChatRequest(messages=messages, **options), timeout)

    async def complete(
        self,
        prompt: str,
        model: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Answer one prompt (seed 004)."""
        return await self.complete_with_tools(
            [Message("user", prompt)], model, tools, temperature, max_tokens, **kwargs
        )

    async def complete_with_tools(
        self,
        messages: list[Message | dict[str, Any]],
        model: str | None = None,
        tools: list[dict[str, Any]] | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Answer a conversation; the model may ask for the given tools (seed 004)."""
        timeout = kwargs.pop("timeout", None)
        request = ChatRequest(
            messages=[Message(**m) if isinstance(m, dict) else m for m in messages],
            model=model,
            temperature=temperature,
            max_tokens=max_tokens,
            tools=[tool_definition(tool) for tool in tools] if tools else None,
            **kwargs,
        )
        reply = await self.open(
            request, Timeouts.of(self.timeout if timeout is None else timeout)
        ).collect()
        usage = reply.usage or Usage()
        return LLMResponse(
            content=reply.text,
            model=reply.model or model or "",
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            finish_reason=reply.finish_reason,
            tool_calls=[
                {"id": c.id, "name": c.name, "arguments": c.arguments} for c in reply.tool_calls
            ]
            or None,
            metadata={"response_id": reply.response_id} if reply.response_id else {},
        )

    async def _stream_of_complete(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Serve `chat` from a client that only completes."""
        response = await _complete(self, req)
        try:
            chunks = _chunks(response)
        except Exception as error:
            raise _unreadable(self, response, f" ({type(error).__name__})") from error
        for chunk in chunks:
            yield chunk

    async def aclose(self) -> None:
        """Give back connections. Safe to call twice."""


def _chunks(response: LLMResponse) -> list[ChatChunk]:
    chunks = [ChatChunk(delta_text=response.content)] if response.content else []
    for number, call in enumerate(response.tool_calls or ()):
        chunks.append(ChatChunk(tool_call=tool_call(number, call)))
    if min(response.input_tokens, response.output_tokens) < 0:
        raise ValueError("negative tokens")
    last = ChatChunk(
        finish_reason=response.finish_reason or "stop",
        usage=Usage(response.input_tokens, response.output_tokens),
        model=response.model or None,
    )
    return [*chunks, last]


def _unreadable(client: LLMClient, answer: object, why: str) -> ProviderError:
    """Return the error of a client that was asked, and may be paid: another try does not help."""
    return ProviderError(
        f"{type(client).__name__} must answer with an LLMResponse, "
        f"not with {type(answer).__name__}{why}",
        provider=client.provider,
    )


async def _complete(client: LLMClient, req: ChatRequest) -> LLMResponse:
    """Ask a client that only completes: by `complete`, or with tools or turns as it can."""
    wanted = {
        "model": req.model,
        "temperature": req.temperature,
        "max_tokens": req.max_tokens,
        "tools": plain_tools(req.tools),
    }
    own_turns = type(client).complete_with_tools is not LLMClient.complete_with_tools
    plain = len(req.messages) == 1 and not req.system
    if own_turns and (req.tools or not plain):
        system = [Message("system", req.system)] if req.system else []
        call = arguments(client.complete_with_tools, wanted)
        return await _awaited(client, client.complete_with_tools([*system, *req.messages], **call))
    turns = [("system", req.system)] if req.system else []
    turns += [(m.role, m.content) for m in req.messages]
    prompt = turns[0][1] if plain else "\n\n".join(f"{role}: {text}" for role, text in turns)
    call = arguments(client.complete, wanted)
    return await _awaited(client, client.complete(prompt or "", **call))


async def _awaited(client: LLMClient, answer: Awaitable[LLMResponse]) -> LLMResponse:
    if not isawaitable(answer):
        raise _unreadable(client, answer, ": its methods must be coroutine functions (async def)")
    return await answer


class CacheName(str):
    """A cache's name, with its size in `tokens` where the vendor tells it."""

    tokens: int | None

    def __new__(cls, name: str, tokens: int | None = None) -> Self:
        made = super().__new__(cls, name)
        made.tokens = tokens
        return made


@runtime_checkable
class Generation(Protocol):
    """Required of every provider."""

    def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        """Yield the answer's chunks."""
        ...


@runtime_checkable
class Uploads(Protocol):
    """Optional: the provider keeps files.

    A client whose vendor deletes them by itself says after how many seconds, by an attribute
    `uploads_last_s`.
    """

    async def upload(self, data: bytes, mime_type: str, name: str) -> str:
        """Upload a file and return the vendor's reference to it."""
        ...

    async def delete_upload(self, uri: str) -> None:
        """Delete an uploaded file."""
        ...


@runtime_checkable
class Caching(Protocol):
    """Optional: the provider caches a shared prefix under a name.

    What is in the cache is not sent again. A client whose vendor wants the prefix with each
    request all the same says so by an attribute `resends_prefix = True`.
    """

    async def create_cache(self, req: ChatRequest, ttl_s: float) -> str:
        """Cache the request's system text and messages; return the cache's name.

        It may be a `CacheName`, which tells its size as well.
        """
        ...

    async def delete_cache(self, name: str) -> None:
        """Delete a cache."""
        ...


@runtime_checkable
class TokenCounting(Protocol):
    """Optional: the provider counts a request's tokens without charge."""

    async def count_tokens(self, req: ChatRequest) -> int:
        """Return the prompt's size in tokens."""
        ...


@runtime_checkable
class Resume(Protocol):
    """Optional: an interrupted answer can be taken up where it broke off."""

    def resume(self, req: ChatRequest, response_id: str, after: int) -> AsyncIterator[ChatChunk]:
        """Yield what follows event number `after` of the response."""
        ...


LACKS = "lacks"
"""Attribute of a client that has a capability's methods and cannot use them, at its address for
example: names of capabilities."""

CAPABILITIES: dict[str, type] = {
    "generation": Generation,
    "uploads": Uploads,
    "caching": Caching,
    "token_counting": TokenCounting,
    "resume": Resume,
}
"""Capabilities by name. A program adds its own protocols for stages of its own."""
