"""Reads a Chat Completions stream, OpenAI's own or an imitator's. Pure: events in, chunks out.

What is taken for granted nowhere: `choices` may be null or empty; only choice 0 is the answer;
fragments of a tool call may repeat its id and name, or lack its index; usage may stand in every
chunk (the last one counts, whole), in `x_groq`, or nowhere; `content` may be a list of parts.

Terminal marker: `[DONE]`, or the end of the body after a finish_reason. Calls, finish and usage
come at the end, once.
"""

from typing import Any

import orjson

from contracts.messages import ChatChunk, Usage
from providers.exceptions import Overloaded
from providers.http_errors import Origin, error_from_event, interrupted
from providers.openai_usage import chat_usage
from providers.sse import ServerSentEvent
from providers.stops import StopCutter
from providers.toolcalls import ToolCallDraft

FINISH = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
"""The vendors' words for the end, in ours. Others pass as they are."""


class ChatParser:
    """One stream's state; see `providers.reading.EventParser`."""

    def __init__(self, origin: Origin, stops: StopCutter | None = None) -> None:
        self.usage: Usage | None = None
        self.usage_final = False
        self.response_id: str | None = None
        self._origin = origin
        self._stops = stops or StopCutter(None)
        self._model: str | None = None
        self._finish: str | None = None
        self._done = False
        self._seen = False
        self._refusal = ""
        self._calls: list[ToolCallDraft] = []
        self._by_index: dict[int, ToolCallDraft] = {}

    @property
    def done(self) -> bool:
        """`[DONE]` was read, or a stop sequence."""
        return self._done

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event; raises for an error in the stream."""
        if event.data.strip() == b"[DONE]":
            return self._marked()
        if event.event == "error":
            raise error_from_event(self._origin, event.data)
        payload = orjson.loads(event.data)
        if payload.get("error") or payload.get("object") == "error":
            raise error_from_event(self._origin, payload)
        self._note(payload)
        chunks: list[ChatChunk] = []
        for choice in payload.get("choices") or ():
            if choice.get("index") in (0, None):
                self._choice(choice, chunks)
        return chunks

    def close(self) -> list[ChatChunk]:
        """Return the last chunks at the body's end; raises where the answer is not whole."""
        if self._done:
            return []
        if self._finish is None:
            raise interrupted(
                self._origin, "the stream ended without a finish_reason: the answer is not whole"
            )
        self._done = True
        return self._end()

    def _marked(self) -> list[ChatChunk]:
        """`[DONE]`: the end, unless nothing at all came before it."""
        if not self._seen:
            raise interrupted(self._origin, "the stream holds [DONE] and no answer")
        self._done = True
        return self._end()

    def _note(self, payload: dict[str, Any]) -> None:
        self.response_id = self.response_id or payload.get("id") or None
        self._model = self._model or payload.get("model") or None
        usage = payload.get("usage") or (payload.get("x_groq") or {}).get("usage")
        if usage:
            self.usage = chat_usage(usage)

    def _choice(self, choice: dict[str, Any], chunks: list[ChatChunk]) -> None:
        self._seen = True
        if choice.get("usage"):
            self.usage = chat_usage(choice["usage"])
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        content = delta.get("content")
        if isinstance(content, list):
            content, thought = _parts(content, thought)
        if isinstance(thought, str) and thought:
            chunks.append(ChatChunk(delta_reasoning=thought))
        if content:
            self._text(content, chunks)
        if delta.get("refusal"):
            self._refusal += delta["refusal"]
        for fragment in delta.get("tool_calls") or ():
            self._fragment(fragment)
        if delta.get("function_call"):
            self._fragment({"index": 0, "function": delta["function_call"]})
        if choice.get("finish_reason"):
            self._finished(choice)

    def _text(self, text: str, chunks: list[ChatChunk]) -> None:
        shown = self._stops.feed(text)
        if shown:
            chunks.append(ChatChunk(delta_text=shown))
        if self._stops.stopped and not self._done:
            self._done = True
            self._calls.clear()
            self._finish = "stop"
            chunks += self._end()

    def _finished(self, choice: dict[str, Any]) -> None:
        reason = str(choice["finish_reason"])
        if reason in ("error", "network_error"):
            raise error_from_event(self._origin, choice.get("error") or {"type": "server_error"})
        if reason == "insufficient_system_resource":
            raise Overloaded(f"{self._origin.provider}: the vendor ran out of capacity")
        self._finish = FINISH.get(reason.lower(), reason)

    def _fragment(self, fragment: dict[str, Any]) -> None:
        function = fragment.get("function") or {}
        name = function.get("name") or ""
        call_id = fragment.get("id") or ""
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        draft = self._draft(fragment.get("index"), call_id, name, arguments)
        draft.id = draft.id or call_id
        draft.name = draft.name or name
        draft.pieces.append(arguments)

    def _draft(self, index: int | None, call_id: str, name: str, arguments: str) -> ToolCallDraft:
        """Find the call that a fragment belongs to, or begin one.

        Some servers number all their calls 0, or none: a fragment with another id, or one that is
        a whole call itself, begins a call once the one before it is whole.
        """
        if index is None:
            draft = self._calls[-1] if self._calls else None
            key = len(self._calls)
        else:
            draft = self._by_index.get(index)
            key = index
        if draft is None or (name and _is_another(draft, call_id, arguments)):
            draft = self._by_index[key] = ToolCallDraft()
            self._calls.append(draft)
        return draft

    def _end(self) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        held = self._stops.flush()
        if held:
            chunks.append(ChatChunk(delta_text=held))
        chunks += [
            ChatChunk(tool_call=draft.build(f"call_{number}"))
            for number, draft in enumerate(self._calls)
        ]
        self.usage_final = self.usage is not None and not self._stops.stopped
        chunks.append(
            ChatChunk(
                finish_reason=self._reason(),
                usage=self.usage,
                model=self._model,
                response_id=self.response_id,
                vendor_state={"vendor": "openai", "refusal": self._refusal}
                if self._refusal
                else None,
            )
        )
        return chunks

    def _reason(self) -> str:
        """Some servers end with [DONE] alone, or with "stop" although the model calls tools."""
        if self._finish in (None, "stop"):
            if self._calls:
                return "tool_calls"
            return "refusal" if self._refusal else "stop"
        return self._finish or "stop"


def _parts(content: list[Any], thought: Any) -> tuple[str, Any]:
    """Split content that comes as parts into text and thought."""
    texts: list[str] = []
    thoughts: list[str] = [thought] if isinstance(thought, str) else []
    for part in content:
        if part.get("type") == "thinking":
            inner = part.get("thinking") or ()
            thoughts += [inner] if isinstance(inner, str) else [p.get("text") or "" for p in inner]
        else:
            texts.append(part.get("text") or "")
    return "".join(texts), "".join(thoughts)


def _is_another(draft: ToolCallDraft, call_id: str, arguments: str) -> bool:
    if call_id and draft.id:
        return call_id != draft.id and _is_json(draft.raw or "{}")
    return _is_json(draft.raw) and _is_json(arguments)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
