"""Anthropic's Messages stream, understood: server-sent events in, chunks out. No sockets, no SDK.

Promise: text and thoughts as they come, each tool call once and whole, one last chunk with the
finish reason and the usage; an error in the stream raises, and so does a stream that ends before
`message_stop` or without a stop reason.

Strategy: dispatch on the JSON's own `type` (`event:` lines may be missing), a list of content
blocks in order, one open block per index. Proxies send blocks already filled, tool blocks that
are never closed, or `message_start` twice: all of these add up to one message.

A call without arguments is held back until the next block or the stop reason comes: `max_tokens`
closes a block before its arguments have begun.

Usage: counts are cumulative, later ones overwrite earlier ones, absent ones keep what was known,
and so do a prompt's zeros (proxies repeat them at the end). An answer's output that no
`message_delta` has told is an estimate: `message_start` only tells where counting begins. The
prompt is input + cache writes + cache reads. Where `iterations` are listed (compaction,
advisors, fallbacks), their sum is what is billed, since the top level leaves some of them out.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import uuid4

from contracts.messages import ChatChunk, ToolCall, Usage
from providers.anthropic_blocks import Block
from providers.characters import event_json, name_of
from providers.counts import count
from providers.http_errors import Origin, error_from_event, interrupted
from providers.sse import ServerSentEvent
from providers.stops import StopCutter

VENDOR = "anthropic"

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
_CUTS = frozenset(("max_tokens", "model_context_window_exceeded", "refusal"))
_PROMPT_COUNTS = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
)
_NO_CHUNKS: list[ChatChunk] = []


class MessagesParser:
    """Reads one stream. `tool_names` maps names on the wire back to the caller's.

    `stops` cuts the text at stop sequences that the vendor does not take.
    """

    __slots__ = (
        "_blocks",
        "_counts",
        "_model",
        "_open",
        "_origin",
        "_output_told",
        "_stop_details",
        "_stop_reason",
        "_stopped",
        "_stops",
        "_tool_names",
        "_waiting",
        "response_id",
        "usage",
        "usage_final",
    )

    def __init__(
        self,
        origin: Origin,
        tool_names: Mapping[str, str] | None = None,
        stops: StopCutter | None = None,
    ) -> None:
        self.usage: Usage | None = None
        self.usage_final = False
        self.response_id: str | None = None
        self._origin = origin
        self._tool_names = tool_names or {}
        self._stops = stops or StopCutter(None)
        self._model: str | None = None
        self._counts: dict[str, Any] = {}
        self._blocks: list[Block] = []
        self._open: dict[int, Block] = {}
        self._waiting: list[Block] = []
        self._output_told = False
        self._stop_reason: str | None = None
        self._stop_details: dict[str, Any] | None = None
        self._stopped = False

    @property
    def done(self) -> bool:
        """`message_stop` was seen."""
        return self._stopped

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event. Raises a `ProviderError` for an error in the stream."""
        if event.event == "error":
            raise error_from_event(self._origin, event.data)
        if event.data == b"[DONE]":
            return _NO_CHUNKS
        data = event_json(event.data)
        kind = data.get("type")
        if kind == "content_block_delta":
            return self._on_delta(data)
        if kind == "error" or (kind is None and data.get("error")):
            raise error_from_event(self._origin, data)
        handler = self._HANDLERS.get(kind or event.event)
        return handler(self, data) if handler else _NO_CHUNKS

    def close(self) -> list[ChatChunk]:
        """Return the last chunks: what was left open, then finish reason and usage."""
        if not self._stopped:
            raise interrupted(self._origin, "the stream ended before message_stop")
        if self._stop_reason is None:
            raise interrupted(self._origin, "the stream ended without a stop reason")
        held = self._stops.flush()
        chunks = [ChatChunk(delta_text=held)] if held else []
        chunks += self._waited()
        chunks += [
            ChatChunk(tool_call=self._tool_call(block, cut=True))
            for block in self._open.values()
            if block.kind == "tool_use"
        ]
        self._open.clear()
        chunks.append(
            ChatChunk(
                finish_reason=_FINISH.get(self._stop_reason, self._stop_reason),
                usage=self._last_usage(),
                model=self._model,
                response_id=self.response_id,
                vendor_state=self._vendor_state(),
            )
        )
        return chunks

    def _on_message_start(self, data: dict[str, Any]) -> list[ChatChunk]:
        message = data["message"]
        again = self.response_id is not None and message.get("id") == self.response_id
        self.response_id = name_of(message.get("id")) or self.response_id
        self._model = name_of(message.get("model")) or self._model
        self._stop_reason = name_of(message.get("stop_reason")) or self._stop_reason
        self._count(message.get("usage"))
        chunks = [ChatChunk(model=self._model, response_id=self.response_id, usage=self.usage)]
        for start in () if again else message.get("content") or ():
            block = self._add(start)
            chunks += self._first(block)
            chunks += self._end(block)
        return chunks

    def _on_block_start(self, data: dict[str, Any]) -> list[ChatChunk]:
        index = data.get("index", 0)
        replaced = self._open.pop(index, None)
        chunks = [*(self._end(replaced) if replaced else ()), *self._waited()]
        block = self._open[index] = self._add(data["content_block"])
        if block.kind == "fallback":
            fallback = block.start.get("to") or {}
            self._model = name_of(fallback.get("model")) or self._model
        return chunks + self._first(block)

    def _on_delta(self, data: dict[str, Any]) -> list[ChatChunk]:
        delta = data["delta"]
        kind = delta.get("type")
        block = self._open.get(data.get("index", 0))
        if kind == "text_delta":
            text = delta.get("text")
            if not text:
                return _NO_CHUNKS
            if block:
                block.texts.append(text)
            return self._shown(text)
        if kind == "thinking_delta":
            thought = delta.get("thinking")
            if not thought:
                return _NO_CHUNKS
            if block:
                block.texts.append(thought)
            return [ChatChunk(delta_reasoning=thought)]
        if block:
            block.apply(kind, delta)
        return _NO_CHUNKS

    def _on_block_stop(self, data: dict[str, Any]) -> list[ChatChunk]:
        block = self._open.pop(data.get("index", 0), None)
        return self._end(block) if block else _NO_CHUNKS

    def _on_message_delta(self, data: dict[str, Any]) -> list[ChatChunk]:
        delta = data.get("delta") or {}
        self._stop_reason = name_of(delta.get("stop_reason")) or self._stop_reason
        self._stop_details = delta.get("stop_details") or self._stop_details
        self._count(data.get("usage"), output=True)
        self.usage_final = bool(self._stop_reason and self.usage and self._output_told)
        return self._waited() if self._stop_reason else _NO_CHUNKS

    def _on_message_stop(self, _: dict[str, Any]) -> list[ChatChunk]:
        self._stopped = True
        return _NO_CHUNKS

    _HANDLERS: ClassVar[
        dict[str, "Callable[[MessagesParser, dict[str, Any]], list[ChatChunk]]"]
    ] = {
        "message_start": _on_message_start,
        "content_block_start": _on_block_start,
        "content_block_delta": _on_delta,
        "content_block_stop": _on_block_stop,
        "message_delta": _on_message_delta,
        "message_stop": _on_message_stop,
    }

    def _add(self, start: dict[str, Any]) -> Block:
        block = Block(start)
        self._blocks.append(block)
        return block

    def _first(self, block: Block) -> list[ChatChunk]:
        """What a block holds from the start: most begin empty."""
        if block.kind == "text" and block.texts:
            return self._shown(block.texts[0])
        if block.kind == "thinking" and block.texts:
            return [ChatChunk(delta_reasoning=block.texts[0])]
        return []

    def _shown(self, text: str) -> list[ChatChunk]:
        """The text, up to a stop sequence of ours: it ends the answer here and now."""
        text = self._stops.feed(text)
        if self._stops.stopped and not self._stopped:
            self._stopped = True
            self._stop_reason = "stop_sequence"
            self._open.clear()
            self._waiting.clear()
        return [ChatChunk(delta_text=text)] if text else _NO_CHUNKS

    def _end(self, block: Block) -> list[ChatChunk]:
        if block.kind != "tool_use":
            return []
        if not block.has_input:
            self._waiting.append(block)
            return []
        return [*self._waited(), ChatChunk(tool_call=self._tool_call(block))]

    def _waited(self) -> list[ChatChunk]:
        """The calls without arguments that are known to be whole now, or to be cut off."""
        calls = [
            self._tool_call(block, cut=self._stop_reason in _CUTS and block is self._blocks[-1])
            for block in self._waiting
        ]
        self._waiting.clear()
        return [ChatChunk(tool_call=call) for call in calls]

    def _tool_call(self, block: Block, cut: bool = False) -> ToolCall:
        """The whole call. A block that max_tokens cut off is no call without arguments."""
        name = block.start.get("name") or ""
        return block.tool_call(
            fallback_id=f"toolu_{uuid4().hex[:24]}",
            name=self._tool_names.get(name, name),
            cut=cut and self._stop_reason != "tool_use",
        )

    def _count(self, reported: Mapping[str, Any] | None, output: bool = False) -> None:
        if not reported:
            return
        told = {k: v for k, v in reported.items() if v is not None}
        for name in _PROMPT_COUNTS:
            if not _counts_any(told.get(name)) and self._counts.get(name):
                told.pop(name, None)
        self._output_told = self._output_told or (output and "output_tokens" in told)
        self._counts.update(told)
        self.usage = usage_of(self._counts)

    def _last_usage(self) -> Usage | None:
        usage = self.usage
        if usage is None or (self._output_told and usage.total_tokens):
            return usage
        return replace(usage, estimated=True)

    def _vendor_state(self) -> dict[str, Any] | None:
        """What the next turn must send back, or a caller may want to know; often nothing."""
        state: dict[str, Any] = {}
        if any(block.is_opaque for block in self._blocks):
            state["content"] = [block.whole() for block in self._blocks]
        if self._stop_details:
            state["stop_details"] = self._stop_details
        return {"vendor": VENDOR, **state} if state else None


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Normalise the vendor's usage object (top level, with `iterations` where it has them)."""
    top = _tokens(counts)
    rounds = [_tokens(entry) for entry in counts.get("iterations") or () if entry]
    read, written, fresh, output = (
        max(value, sum(entry[n] for entry in rounds)) for n, value in enumerate(top)
    )
    details = counts.get("output_tokens_details") or {}
    lasting = count((counts.get("cache_creation") or {}).get("ephemeral_1h_input_tokens"))
    written = max(written, lasting)
    return Usage(
        prompt_tokens=fresh + read + written,
        completion_tokens=output,
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=lasting,
        reasoning_tokens=count(details.get("thinking_tokens")),
        raw=dict(counts),
    )


def _counts_any(value: Any) -> bool:
    """Tell a count, or an object of counts, from zeros."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def _tokens(counts: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Cache reads, cache writes, fresh input, output; absent and null ones are 0."""
    return (
        count(counts.get("cache_read_input_tokens")),
        count(counts.get("cache_creation_input_tokens")),
        count(counts.get("input_tokens")),
        count(counts.get("output_tokens")),
    )
