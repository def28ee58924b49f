"""Events of Anthropic's stream, put together by tests, and what a parser makes of them."""

from typing import Any

from contracts.messages import ChatChunk, ToolCall
from providers.anthropic_messages import MessagesParser
from providers.http_errors import Origin
from providers.sse import SSEDecoder
from tests.wire.streams import sse

STOP = {"type": "message_stop"}


def parser(**options: Any) -> MessagesParser:
    return MessagesParser(Origin("anthropic", "m"), **options)


def read(events: list[dict[str, Any]], reader: MessagesParser | None = None) -> list[ChatChunk]:
    """All chunks of a whole stream."""
    reader = reader or parser()
    decoder = SSEDecoder()
    chunks: list[ChatChunk] = []
    for event in events:
        for decoded in decoder.feed(sse(event)):
            chunks += reader.feed(decoded)
    return chunks + reader.close()


def start(usage: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"id": "msg_1", "model": "claude-x", "content": [], **fields}
    if usage is not None:
        message["usage"] = usage
    return {"type": "message_start", "message": message}


def block(index: int, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str, usage: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    event: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": reason, **fields}}
    if usage is not None:
        event["usage"] = usage
    return event


def answer(text: str) -> list[dict[str, Any]]:
    return [block(0, type="text", text=""), delta(0, "text_delta", text=text), stop(0)]


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(c.delta_text or "" for c in chunks)


def calls_of(chunks: list[ChatChunk]) -> list[ToolCall]:
    return [c.tool_call for c in chunks if c.tool_call]
