"""Reads a Responses stream. Pure: events in, chunks out.

Events are told apart by `type` inside the JSON; names on `event:` lines may be missing. A call is
whole at `response.output_item.done`, whose ids count; imitators give one item several ids, or
several items one index, so that either tells which call is meant. What a server leaves out of its
deltas is taken from the events that close a text or an item, else from the terminal one's `output`.

Terminal marker: response.completed, response.incomplete, response.failed (an error). Everything
that comes after it is not read.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from contracts.messages import ChatChunk, ToolCall, Usage
from providers.characters import event_json, name_of
from providers.exceptions import StreamInterrupted
from providers.http_errors import Origin, error_from_event, interrupted
from providers.openai_usage import responses_usage
from providers.sse import ServerSentEvent
from providers.stops import StopCutter
from providers.toolcalls import ToolCallDraft, build_tool_call

INCOMPLETE = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "max_messages": "pause",
    "steered": "pause",
}
_TERMINAL = (
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "response.done",
)
_CALLS = ("function_call", "custom_tool_call")
_FRAGMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_WHOLE = ("response.function_call_arguments.done", "response.custom_tool_call_input.done")
_STATEFUL = ("reasoning", "message", "function_call", "custom_tool_call")


@dataclass
class _Open:
    """A call that has begun, by what events may name it."""

    item_id: str
    index: Any
    draft: ToolCallDraft


class ResponsesParser:
    """One stream's state; see `providers.reading.EventParser`.

    `resumed`: the stream begins in mid-answer, so that the final output repeats what was read.
    """

    def __init__(
        self, origin: Origin, stops: StopCutter | None = None, resumed: bool = False
    ) -> None:
        self.usage: Usage | None = None
        self.usage_final = False
        self.response_id: str | None = None
        self.last_event = -1
        self._origin = origin
        self._resumed = resumed
        self._stops = stops or StopCutter(None)
        self._model: str | None = None
        self._done = False
        self._texts = 0
        self._streamed = False
        self._refusal = ""
        self._calls: list[ToolCall] = []
        self._open: list[_Open] = []
        self._items: list[dict[str, Any]] = []

    @property
    def done(self) -> bool:
        """The response ended, or a stop sequence was read."""
        return self._done

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event; raises for an error in the stream."""
        if event.data.strip() == b"[DONE]":
            return []
        if event.event == "error":
            raise error_from_event(self._origin, event.data)
        payload = event_json(event.data)
        kind = payload.get("type") or event.event
        number = payload.get("sequence_number")
        if isinstance(number, int):
            self.last_event = number
        if kind == "response.output_text.delta":
            self._streamed = True
            return self._text(payload["delta"])
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return [ChatChunk(delta_reasoning=payload["delta"])] if payload["delta"] else []
        if kind == "response.refusal.delta":
            self._refusal += payload["delta"]
        elif kind == "response.refusal.done":
            self._refusal = self._refusal or payload.get("refusal") or ""
        elif kind == "response.output_text.done":
            return self._closed_text(payload.get("text"))
        elif kind in _FRAGMENTS or kind in _WHOLE:
            self._fragment(payload)
        elif kind == "response.output_item.added":
            self._opened(payload["item"], payload.get("output_index"))
        elif kind == "response.output_item.done":
            return self._item(payload["item"], payload.get("output_index"))
        elif kind in _TERMINAL:
            self._note(payload.get("response"))
            return self._ended(kind, payload.get("response") or {})
        elif kind == "error" or payload.get("error"):
            raise error_from_event(self._origin, payload)
        elif "response" in payload:
            return self._begun(payload["response"])
        return []

    def close(self) -> list[ChatChunk]:
        """Return nothing more; raises where the response's end has not been seen."""
        if not self._done:
            raise interrupted(
                self._origin, "the stream ended before the response did: the answer is not whole"
            )
        return []

    def _begun(self, response: Any) -> list[ChatChunk]:
        """Tell the response's id as soon as it is known: whoever resumes it needs it."""
        known = self.response_id
        self._note(response)
        if self.response_id == known:
            return []
        return [ChatChunk(response_id=self.response_id, model=self._model)]

    def _note(self, response: Any) -> None:
        if not isinstance(response, dict):
            return
        self.response_id = name_of(response.get("id")) or self.response_id
        self._model = name_of(response.get("model")) or self._model
        if response.get("usage"):
            self.usage = responses_usage(response["usage"])

    def _text(self, text: str) -> list[ChatChunk]:
        self._texts += len(text)
        shown = self._stops.feed(text)
        at = self.last_event if self.last_event >= 0 else None
        chunks = [ChatChunk(delta_text=shown, sequence=at)] if shown else []
        if self._stops.stopped and not self._done:
            chunks.append(self._last("stop"))
        return chunks

    def _closed_text(self, text: Any) -> list[ChatChunk]:
        """The text of a server that sends no deltas."""
        return self._text(text) if text and not (self._streamed or self._resumed) else []

    def _opened(self, item: dict[str, Any], index: Any) -> None:
        if item.get("type") in _CALLS:
            item_id = item.get("id") or ""
            draft = ToolCallDraft(item.get("call_id") or item_id, item.get("name") or "")
            self._open.append(_Open(item_id, index, draft))

    def _find(self, item_id: Any, index: Any, call_id: Any = None) -> _Open | None:
        """The open call that an event means: by its item's id, else its own, else its place."""
        for name, value in (("item_id", item_id), ("call", call_id), ("index", index)):
            for held in self._open if value not in (None, "") else ():
                if value == (held.draft.id if name == "call" else getattr(held, name)):
                    return held
        return None

    def _fragment(self, payload: dict[str, Any]) -> None:
        held = self._find(payload.get("item_id"), payload.get("output_index"))
        if held is None:
            return
        if "delta" in payload:
            held.draft.pieces.append(payload["delta"])
        else:
            whole = payload.get("arguments") or payload.get("input")
            held.draft.pieces = [whole] if whole else held.draft.pieces

    def _item(self, item: dict[str, Any], index: Any = None) -> list[ChatChunk]:
        kind = item.get("type")
        if kind in _STATEFUL:
            self._items.append(item)
        if kind not in _CALLS:
            return []
        held = self._find(item.get("id"), index, item.get("call_id"))
        draft = held.draft if held is not None else ToolCallDraft()
        if held is not None:
            self._open.remove(held)
        raw = item.get("arguments" if kind == "function_call" else "input") or draft.raw
        if not isinstance(raw, str):
            raw = orjson.dumps(raw).decode()
        call_id = item.get("call_id") or draft.id or item.get("id") or f"call_{len(self._calls)}"
        cut = item.get("status") == "incomplete"
        return self._called(build_tool_call(call_id, item.get("name") or draft.name, raw, cut=cut))

    def _called(self, call: ToolCall) -> list[ChatChunk]:
        self._calls.append(call)
        return [ChatChunk(tool_call=call)]

    def _ended(self, kind: str, response: dict[str, Any]) -> list[ChatChunk]:
        status = response.get("status")
        if kind == "response.failed" or status == "failed":
            self.usage_final = self.usage is not None
            raise error_from_event(self._origin, response.get("error") or {"code": "server_error"})
        if kind == "response.cancelled" or status == "cancelled":
            raise StreamInterrupted(f"{self._origin.provider}: the response was cancelled")
        reason = self._incomplete(kind, response)
        chunks = self._left_out(response.get("output") or (), cut=bool(reason))
        if self._done:
            return chunks
        held = self._stops.flush()
        if held:
            chunks.append(ChatChunk(delta_text=held))
        self.usage_final = self.usage is not None
        chunks.append(self._last(reason or self._complete()))
        return chunks

    def _left_out(self, output: Any, cut: bool) -> list[ChatChunk]:
        """Return the text and the calls that no event has given: of the final output, else items.

        `cut`: the answer is incomplete, and a call without arguments may have been to have some.
        """
        chunks: list[ChatChunk] = []
        if self._resumed:
            output = ()
        no_calls, no_text = not self._calls, not self._texts
        for item in tuple(output) or (() if self._resumed else tuple(self._items)):
            if item.get("type") in _CALLS and no_calls:
                chunks += self._item(item)
            elif item.get("type") == "message":
                chunks += self._message(item, no_text)
        known = {call.id for call in self._calls}
        for number, held in enumerate(self._open):
            if held.draft.id not in known:
                chunks += self._called(held.draft.build(f"call_{number}", cut))
        self._open.clear()
        return chunks

    def _message(self, item: dict[str, Any], no_text: bool) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        for part in item.get("content") or ():
            if part.get("type") == "output_text" and part.get("text") and no_text:
                chunks += self._text(part["text"])
            elif part.get("type") == "refusal" and not self._refusal:
                self._refusal = part.get("refusal") or ""
        return chunks

    def _incomplete(self, kind: str, response: dict[str, Any]) -> str | None:
        """Why the answer is not complete, in our words; None if it is."""
        if kind != "response.incomplete" and response.get("status") != "incomplete":
            return None
        reason = str((response.get("incomplete_details") or {}).get("reason") or "length")
        return INCOMPLETE.get(reason, reason)

    def _complete(self) -> str:
        if self._calls:
            return "tool_calls"
        return "refusal" if self._refusal else "stop"

    def _last(self, reason: str) -> ChatChunk:
        self._done = True
        return ChatChunk(
            finish_reason=reason,
            usage=self.usage,
            model=self._model,
            response_id=self.response_id,
            vendor_state=self._state(),
        )

    def _state(self) -> dict[str, Any] | None:
        """What the next turn has to send back: signed thoughts with the items around them."""
        state: dict[str, Any] = {"vendor": "openai"}
        if any(item.get("encrypted_content") for item in self._items):
            state["items"] = self._items
        if self._refusal:
            state["refusal"] = self._refusal
        return state if len(state) > 1 else None
