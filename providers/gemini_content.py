"""Gemini's streamGenerateContent, understood: server-sent events in, chunks out. No sockets.

Promise: text and thoughts as they come, each function call once and whole, one last chunk with
finish reason and usage; an error object anywhere raises, and so does a stream whose last
candidate carries no finish reason.

Strategy: a finish reason may stand on every chunk and an error may still follow, so nothing is
decided before the body ends. Usage comes in running totals; the last object that counts tokens
holds. The prompt is promptTokenCount (cached tokens included) and what tools put into it; the
completion is candidates and thoughts. Function calls finish with STOP, which is told as
"tool_calls"; those without an id get one.

Blocked prompts and answers are an ending, "content_filter". A call that the model made wrongly
(MALFORMED_FUNCTION_CALL and its like) is `ServerFailed`: the vendor ended the answer itself and
reported the whole usage, so nothing was interrupted, and asking again may well work.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from contracts.messages import ChatChunk, Usage
from providers.characters import event_json, name_of, whole
from providers.counts import count
from providers.exceptions import (
    AuthenticationFailed,
    InvalidRequest,
    ProviderError,
    ServerFailed,
)
from providers.gemini_arguments import CallDraft
from providers.http_errors import Origin, error_from_event, interrupted
from providers.redaction import redact
from providers.sse import ServerSentEvent
from providers.stops import StopCutter

VENDOR = "gemini"

_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
         "MODEL_ARMOR", "ESCALATION", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
         "IMAGE_RECITATION"),
        "content_filter",
    ),
}  # fmt: skip
_UNSPECIFIED = frozenset(("", "FINISH_REASON_UNSPECIFIED"))
_COUNTS = ("promptTokenCount", "totalTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
_NO_CHUNKS: list[ChatChunk] = []


def invented_id() -> str:
    """An id for a call that came without one; every vendor's API accepts it."""
    return f"call_{uuid4().hex[:24]}"


class ContentParser:
    """Reads one stream. `stops` cuts the text at stop sequences that the vendor does not take."""

    def __init__(
        self,
        origin: Origin,
        stops: StopCutter | None = None,
        new_id: Callable[[], str] = invented_id,
    ) -> None:
        self.usage: Usage | None = None
        self.usage_final = False
        self.response_id: str | None = None
        self._origin = origin
        self._stops = stops or StopCutter(None)
        self._new_id = new_id
        self._model: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._draft: CallDraft | None = None
        self._called = False
        self._answered = False
        self._finish: str | None = None
        self._finish_message = ""
        self._blocked = False

    @property
    def done(self) -> bool:
        """Only by a stop sequence of ours: else an error may follow, so the body is read out."""
        return self._stops.stopped

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event. Raises a `ProviderError` for an error in the stream."""
        if event.event == "error":
            raise error_from_event(self._origin, event.data)
        if event.data == b"[DONE]":
            return _NO_CHUNKS
        data = event_json(event.data)
        chunks: list[ChatChunk] = []
        for part in data if isinstance(data, list) else (data,):
            if part.get("error"):
                raise error_from_event(self._origin, part)
            chunks += self._on_head(part)
            for candidate in part.get("candidates") or ():
                if not candidate.get("index"):
                    chunks += self._on_candidate(candidate)
        return chunks

    def close(self) -> list[ChatChunk]:
        """Return the last chunks: a call left open, then finish reason and usage."""
        if self._stops.stopped:
            self._finish = "STOP"
            self._draft = None
        elif self._finish is None and not self._blocked:
            raise interrupted(self._origin, "the stream ended without a finish reason")
        self.usage_final = self.usage is not None and not self._stops.stopped
        held = self._stops.flush()
        chunks = [ChatChunk(delta_text=held)] if held else []
        chunks += self._end_call(cut=self._finish != "STOP")
        reason = "content_filter" if self._finish is None else self._finish_reason(self._finish)
        chunks.append(
            ChatChunk(
                finish_reason=reason,
                usage=self._last_usage(),
                model=self._model,
                response_id=self.response_id,
                vendor_state=self._vendor_state(),
            )
        )
        return chunks

    def _on_head(self, data: dict[str, Any]) -> list[ChatChunk]:
        """What a chunk says about the whole answer: id, model, a blocked prompt, usage."""
        self.response_id = name_of(data.get("responseId")) or self.response_id
        self._model = name_of(data.get("modelVersion")) or self._model
        if (data.get("promptFeedback") or {}).get("blockReason"):
            self._blocked = True
        counts = data.get("usageMetadata")
        if not counts or not any(counts.get(key) for key in _COUNTS):
            return []
        self.usage = usage_of(counts)
        return [ChatChunk(usage=self.usage, model=self._model, response_id=self.response_id)]

    def _on_candidate(self, candidate: dict[str, Any]) -> list[ChatChunk]:
        parts = (candidate.get("content") or {}).get("parts") or ()
        chunks: list[ChatChunk] = []
        for part in parts:
            chunks += self._on_part(part)
        reason = whole(candidate.get("finishReason") or "").upper()
        if reason and reason not in _UNSPECIFIED:
            self._finish = reason
            self._finish_message = candidate.get("finishMessage") or ""
        elif parts:
            self._finish = None  # the answer goes on after what looked like its end
        return chunks

    def _on_part(self, part: dict[str, Any]) -> list[ChatChunk]:
        call = part.get("functionCall")
        if call is not None:
            return self._on_call(call, part.get("thoughtSignature"))
        text = part.get("text")
        self._keep(part, text)
        if not text:
            return _NO_CHUNKS
        if part.get("thought"):
            return [ChatChunk(delta_reasoning=text)]
        self._answered = True
        text = self._stops.feed(text)
        return [ChatChunk(delta_text=text)] if text else _NO_CHUNKS

    def _on_call(self, call: dict[str, Any], signature: str | None) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        if call.get("name"):
            chunks += self._end_call()
            self._draft = CallDraft(call, signature)
        elif self._draft:
            self._draft.add(call)
            self._draft.signature = self._draft.signature or signature
        return chunks if call.get("willContinue") else chunks + self._end_call()

    def _end_call(self, cut: bool = False) -> list[ChatChunk]:
        if self._draft is None:
            return []
        call = self._draft.build(self._draft.id or self._new_id(), cut)
        self._draft = None
        self._called = True
        part: dict[str, Any] = {
            "functionCall": {"id": call.id, "name": call.name, "args": call.arguments}
        }
        if call.signature:
            part["thoughtSignature"] = call.signature
        self._parts.append(part)
        return [ChatChunk(tool_call=call)]

    def _last_usage(self) -> Usage | None:
        """The usage; a report that counts nothing of an answer's text is none."""
        usage = self.usage
        if usage is None or usage.completion_tokens or not (self._answered or self._called):
            return usage
        return replace(usage, estimated=True)

    def _keep(self, part: dict[str, Any], text: str | None) -> None:
        """Remember the part for the next turn: text joined up, signed parts as they came."""
        if "thoughtSignature" in part or text is None:
            self._parts.append(part)
        elif text and not part.get("thought"):
            last = self._parts[-1] if self._parts else {}
            if last.keys() == {"text"}:
                last["text"].append(text)
            else:
                self._parts.append({"text": [text]})

    def _vendor_state(self) -> dict[str, Any] | None:
        """The turn's parts, where they hold more than its text and calls tell."""
        parts = [
            {"text": "".join(part["text"])} if isinstance(part.get("text"), list) else part
            for part in self._parts
        ]
        plain = all(part.keys() <= {"text"} or part.keys() == {"functionCall"} for part in parts)
        return None if plain else {"vendor": VENDOR, "parts": parts}

    def _finish_reason(self, reason: str) -> str:
        """The ending in our words. Raises where the vendor says that there is no answer."""
        if reason == "STOP" and self._called:
            return "tool_calls"
        known = _FINISH.get(reason)
        if known:
            return known
        if reason in _FINAL:
            raise self._failed(_FINAL[reason], reason)
        if reason in _FAILED or not (self._answered or self._called):
            raise self._failed(ServerFailed, reason)
        return reason.lower()

    def _failed(self, cls: type[ProviderError], reason: str) -> ProviderError:
        said = redact(self._finish_message, self._origin.secrets, self._origin.private)
        return cls(
            f"{self._origin.provider}: the answer ended with {reason}"
            + (f": {said}" if said else ""),
            provider=self._origin.provider,
            model=self._origin.model,
            code=reason.lower(),
        )


_FINAL: dict[str, type[ProviderError]] = {
    "MISSING_THOUGHT_SIGNATURE": InvalidRequest,
    "PUP_LIMITED_DISABLED": AuthenticationFailed,
}
_FAILED = frozenset(
    ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL",
     "TOO_MANY_TOOL_CALLS", "IMAGE_OTHER", "NO_IMAGE", "OTHER")
)  # fmt: skip


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Normalise a usageMetadata object."""
    thoughts = count(counts.get("thoughtsTokenCount"))
    return Usage(
        prompt_tokens=count(counts.get("promptTokenCount"))
        + count(counts.get("toolUsePromptTokenCount")),
        completion_tokens=count(counts.get("candidatesTokenCount")) + thoughts,
        total_tokens=count(counts.get("totalTokenCount")),
        cached_tokens=count(counts.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        raw=dict(counts),
    )
