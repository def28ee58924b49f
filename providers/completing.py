"""What seed 004's clients are given and give back, for those that only complete.

Such a client is somebody's own: its `complete` may have fewer parameters than the seed shows, or
defaults of its own, and its tool calls may be as its vendor sent them.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from contracts.messages import ChatChunk, ToolCall, ToolDefinition
from providers.exceptions import InvalidRequest, ProviderError
from providers.toolcalls import build_tool_call
from providers.toolspecs import parameters_schema


def own_chunks(answer: Any) -> AsyncIterator[ChatChunk]:
    """Return the chunks of somebody's own `chat`: an iterator, or a coroutine that gives one.

    Both read as the seed's `async def chat(…) -> AsyncIterator[ChatChunk]`. Raises ProviderError
    for all else.
    """
    return _awaited(answer) if inspect.iscoroutine(answer) else _iterated(answer)


def _iterated(answer: Any) -> AsyncIterator[ChatChunk]:
    try:
        return aiter(answer)
    except TypeError:
        raise ProviderError(
            f"chat() must give an asynchronous iterator of chunks, not {type(answer).__name__}"
        ) from None


async def _awaited(pending: Awaitable[Any]) -> AsyncIterator[ChatChunk]:
    chunks = _iterated(await pending)
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


def plain_tools(tools: list[ToolDefinition] | None) -> list[dict[str, Any]] | None:
    """Return tools as dictionaries: name, description, and the arguments' JSON Schema."""
    if not tools:
        return None
    return [
        {"name": t.name, "description": t.description, "parameters": parameters_schema(t)}
        for t in tools
    ]


def arguments(method: Callable[..., Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to call a method with: what is not None, and None where there is no default.

    Raises InvalidRequest for a wish that the method has no parameter for: nothing was sent.
    """
    parameters = inspect.signature(method).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    given = {
        name: value
        for name, value in wanted.items()
        if value is not None
        or (name in parameters and parameters[name].default is inspect.Parameter.empty)
    }
    lacking = [name for name in given if name not in parameters and not takes_all]
    if lacking:
        named = getattr(method, "__qualname__", "complete")
        raise InvalidRequest(f"{named}() has no parameter {', '.join(lacking)}", sent=False)
    return given


def tool_call(number: int, call: Mapping[str, Any]) -> ToolCall:
    """Read a tool call: {"name", "arguments"}, or {"function": {…}} with JSON as a text."""
    body = call.get("function") or call
    call_id = str(call.get("id") or f"call_{number}")
    given = body.get("arguments")
    if isinstance(given, str):
        return build_tool_call(call_id, body["name"], given)
    return ToolCall(id=call_id, name=body["name"], arguments=given or {})
