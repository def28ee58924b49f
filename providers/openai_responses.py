"""Reads a Responses stream. Pure: events in, chunks out.

Events are told apart by `type` inside the JSON; names on `event:` lines may be missing. A call is
whole at `response.output_item.done`, whose ids count. What a server leaves out of its deltas is
taken from the terminal event's `output`.

Terminal marker: response.completed, response.incomplete, response.failed (an error). Everything
that comes after it is not read.
"""

from typing import Any

import orjson

from contracts.messages import ChatChunk, ToolCall, Usage
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
_TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_CALLS = ("function_call", "custom_tool_call")
_FRAGMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_STATEFUL = ("reasoning", "message", "function_call", "custom_tool_call")


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
        self._refusal = ""
        self._calls: list[ToolCall] = []
        self._drafts: dict[str, ToolCallDraft] = {}
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
        payload = orjson.loads(event.data)
        kind = payload.get("type") or event.event
        number = payload.get("sequence_number")
        if isinstance(number, int):
            self.last_event = number
        if kind == "response.output_text.delta":
            return self._text(payload["delta"])
        if kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            return [ChatChunk(delta_reasoning=payload["delta"])] if payload["delta"] else []
        if kind == "response.refusal.delta":
            self._refusal += payload["delta"]
        elif kind in _FRAGMENTS:
            self._fragment(payload)
        elif kind == "response.output_item.added":
            self._opened(payload["item"])
        elif kind == "response.output_item.done":
            return self._item(payload["item"])
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
        self.response_id = response.get("id") or self.response_id
        self._model = response.get("model") or self._model
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

    def _opened(self, item: dict[str, Any]) -> None:
        if item.get("type") in _CALLS and item.get("id"):
            call_id = item.get("call_id") or item["id"]
            self._drafts[item["id"]] = ToolCallDraft(call_id, item.get("name") or "")

    def _fragment(self, payload: dict[str, Any]) -> None:
        draft = self._drafts.get(payload.get("item_id") or "")
        if draft is not None:
            draft.pieces.append(payload["delta"])

    def _item(self, item: dict[str, Any]) -> list[ChatChunk]:
        kind = item.get("type")
        self._drafts.pop(item.get("id") or "", None)
        if kind in _STATEFUL:
            self._items.append(item)
        if kind == "function_call":
            raw = item.get("arguments") or ""
        elif kind == "custom_tool_call":
            raw = item.get("input") or ""
        else:
            return []
        call_id = item.get("call_id") or item.get("id") or f"call_{len(self._calls)}"
        call = build_tool_call(call_id, item.get("name") or "", raw)
        self._calls.append(call)
        return [ChatChunk(tool_call=call)]

    def _ended(self, kind: str, response: dict[str, Any]) -> list[ChatChunk]:
        status = response.get("status")
        if kind == "response.failed" or status == "failed":
            self.usage_final = self.usage is not None
            raise error_from_event(self._origin, response.get("error") or {"code": "server_error"})
        if kind == "response.cancelled" or status == "cancelled":
            raise StreamInterrupted(f"{self._origin.provider}: the response was cancelled")
        chunks = self._left_out(response.get("output") or ())
        if self._done:
            return chunks
        held = self._stops.flush()
        if held:
            chunks.append(ChatChunk(delta_text=held))
        self.usage_final = self.usage is not None
        chunks.append(self._last(self._reason(kind, response)))
        return chunks

    def _left_out(self, output: Any) -> list[ChatChunk]:
        """Return the text and the calls of the final output that no event has given."""
        chunks: list[ChatChunk] = []
        if self._resumed:
            output = ()
        no_calls, no_text = not self._calls, not self._texts
        for item in output:
            if item.get("type") in _CALLS and no_calls:
                chunks += self._item(item)
            elif item.get("type") == "message" and no_text:
                for part in item.get("content") or ():
                    if part.get("type") == "output_text" and part.get("text"):
                        chunks += self._text(part["text"])
                    elif part.get("type") == "refusal" and not self._refusal:
                        self._refusal = part.get("refusal") or ""
        for number, draft in enumerate(self._drafts.values()):
            call = draft.build(f"call_{number}")
            self._calls.append(call)
            chunks.append(ChatChunk(tool_call=call))
        self._drafts.clear()
        return chunks

    def _reason(self, kind: str, response: dict[str, Any]) -> str:
        if kind == "response.incomplete" or response.get("status") == "incomplete":
            reason = str((response.get("incomplete_details") or {}).get("reason") or "length")
            return INCOMPLETE.get(reason, reason)
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
