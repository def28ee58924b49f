"""Reads a Chat Completions stream, OpenAI's own or an imitator's. Pure: events in, chunks out.

What is taken for granted nowhere: `choices` may be null or empty; only choice 0 is the answer,
and it may come whole, as a `message`; fragments of a tool call may repeat its id and name, cut the
name in pieces, or lack the index; usage may stand in every chunk (the last one counts, whole), in
`x_groq`, or nowhere; `content` may be a list of parts; a finish reason may stand on every chunk.

Terminal marker: `[DONE]`, or the end of the body after a finish_reason that nothing followed.
Calls, finish and usage come at the end, once.
"""

from typing import Any

import orjson

from contracts.messages import ChatChunk, ToolCall, Usage
from providers.characters import event_json, name_of, whole
from providers.exceptions import Overloaded, ProviderError, ServerFailed
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
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
"""The vendors' words for the end, in ours. Others pass as they are."""

_NO_REASON = frozenset(("null", "none", "unspecified"))
_BROKEN = frozenset(("error", "network_error", "engine_error"))
_CUT_OFF = frozenset(("abort", "aborted", "cancelled", "canceled", "timeout", "interrupted"))
_WRONG_CALL = frozenset(("function_call_filter", "malformed_function_call", "unexpected_tool_call"))
_CUTS = frozenset(("length", "content_filter"))


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
        self._failure: ProviderError | None = None
        self._done = False
        self._ended = False
        self._seen = False
        self._told = False
        self._refusal = ""
        self._calls: list[ToolCallDraft] = []
        self._by_index: dict[int, ToolCallDraft] = {}

    @property
    def done(self) -> bool:
        """`[DONE]` was read, or a stop sequence."""
        return self._done

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event; raises for an error in the stream."""
        if self._failure is not None:
            raise self._failure
        if event.data.strip() == b"[DONE]":
            return self._marked()
        if event.event == "error":
            raise error_from_event(self._origin, event.data)
        payload = event_json(event.data)
        if payload.get("error") or payload.get("object") == "error":
            raise error_from_event(self._origin, payload)
        self._note(payload, payload.get("x_groq") or {})
        chunks: list[ChatChunk] = []
        for choice in payload.get("choices") or ():
            if choice.get("index") in (0, None):
                self._choice(choice, chunks)
        if self._failure is not None and not chunks:
            raise self._failure
        return chunks

    def close(self) -> list[ChatChunk]:
        """Return the last chunks at the body's end; raises where the answer is not whole."""
        if self._done:
            return []
        if self._failure is not None:
            raise self._failure
        if not self._ended:
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

    def _note(self, payload: dict[str, Any], groq: dict[str, Any]) -> None:
        if groq.get("error"):
            raise error_from_event(self._origin, {"error": groq["error"]})
        self.response_id = self.response_id or name_of(payload.get("id"))
        self._model = self._model or name_of(payload.get("model"))
        self._count(payload.get("usage") or groq.get("usage"))

    def _count(self, usage: Any) -> None:
        if usage and isinstance(usage, dict):
            self.usage = chat_usage(usage)

    def _choice(self, choice: dict[str, Any], chunks: list[ChatChunk]) -> None:
        self._seen = True
        self._count(choice.get("usage"))
        if choice.get("error") and not choice.get("finish_reason"):
            raise error_from_event(self._origin, {"error": choice["error"]})
        delta = choice.get("delta")
        if delta is None and not self._told:
            delta = choice.get("message")
        delta = delta or {}
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
            if fragment:
                self._fragment(fragment)
        if delta.get("function_call"):
            self._fragment({"index": 0, "function": delta["function_call"]})
        if choice.get("finish_reason"):
            self._finished(choice)

    def _text(self, text: str, chunks: list[ChatChunk]) -> None:
        self._told, self._ended = True, False
        shown = self._stops.feed(text)
        if shown:
            chunks.append(ChatChunk(delta_text=shown))
        if self._stops.stopped and not self._done:
            self._done = True
            self._calls.clear()
            self._finish = "stop"
            chunks += self._end()

    def _finished(self, choice: dict[str, Any]) -> None:
        """Note how the answer ended; a failure is raised once the chunk's text is told."""
        reason = whole(str(choice["finish_reason"]))
        word, _, _ = reason.lower().partition(":")
        if word in _NO_REASON:
            return
        if choice.get("error"):
            self._failure = error_from_event(self._origin, {"error": choice["error"]})
        elif word in _BROKEN:
            self._failure = error_from_event(self._origin, {"type": "server_error"})
        elif word in _CUT_OFF:
            why = f"the server ended the answer before its end ({word})"
            self._failure = interrupted(self._origin, why)
        elif word in _WRONG_CALL:
            self._failure = self._failed(ServerFailed, "the model called a tool wrongly", word)
        elif word == "insufficient_system_resource":
            self._failure = self._failed(Overloaded, "the vendor ran out of capacity", word)
        self._finish = FINISH.get(word.strip(), reason)
        self._ended = True

    def _failed(self, cls: type[ProviderError], why: str, code: str) -> ProviderError:
        return cls(f"{self._origin.provider}: {why} ({code})", code=code)

    def _fragment(self, fragment: dict[str, Any]) -> None:
        function = fragment.get("function") or {}
        name = function.get("name") or ""
        call_id = fragment.get("id") or ""
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        self._told, self._ended = True, False
        draft = self._draft(fragment.get("index"), call_id, name, arguments)
        draft.id = draft.id or call_id
        if not draft.name or (name != draft.name and not draft.raw):
            draft.name += name  # a name in pieces; most servers repeat the whole of it
        draft.pieces.append(arguments)

    def _draft(self, index: int | None, call_id: str, name: str, arguments: str) -> ToolCallDraft:
        """Find the call that a fragment belongs to, or begin one.

        Some servers number all their calls 0, or none: a fragment with another id, or one that is
        a whole call itself, begins a call once the one before it is whole. One that only goes on
        is known by its id.
        """
        known = next((d for d in self._calls if call_id and d.id == call_id), None)
        if index is None:
            draft = known or (self._calls[-1] if self._calls else None)
            key = len(self._calls)
        else:
            draft = self._by_index.get(index)
            key = index
        if not name and known is not None:
            return known
        if draft is None or (name and _is_another(draft, index, call_id, name, arguments)):
            draft = self._by_index[key] = ToolCallDraft()
            self._calls.append(draft)
        return draft

    def _end(self) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        held = self._stops.flush()
        if held:
            chunks.append(ChatChunk(delta_text=held))
        chunks += [ChatChunk(tool_call=call) for call in self._whole_calls()]
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

    def _whole_calls(self) -> list[ToolCall]:
        """The calls, each under an id of its own; the last may have been cut off."""
        calls: dict[str, ToolCall] = {}
        for number, draft in enumerate(self._calls):
            draft.id = draft.id or f"call_{number}"
            if draft.id in calls:
                draft.id = f"{draft.id}_{number}"
            cut = draft is self._calls[-1] and self._finish in _CUTS
            calls[draft.id] = draft.build(draft.id, cut)
        return list(calls.values())

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


def _is_another(
    draft: ToolCallDraft, index: int | None, call_id: str, name: str, arguments: str
) -> bool:
    """Tell whether a fragment with a name begins a call, or goes on with the one before it."""
    renamed = index is None and draft.name not in ("", name)
    if call_id and draft.id:
        return call_id != draft.id and (renamed or _is_json(draft.raw or "{}"))
    if index is None and not draft.raw:
        return renamed
    return _is_json(draft.raw) and _is_json(arguments)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
