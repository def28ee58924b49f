"""Small streams of our own for the four APIs, as their documentation describes them.

Every `Dialect` says the same few things in its vendor's words, so that one suite can test all
adapters: an answer in pieces, tool calls, errors before and in the stream.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

PIECES = ("Hel", "lo, ", "wörld", " 👋", "!")
TEXT = "".join(PIECES)
PROMPT_TOKENS, COMPLETION_TOKENS = 12, 5
MODEL = "scripted-1"


@dataclass(frozen=True)
class Script:
    """A stream event by event, and what each adds to the text.

    `whole_from`: so many events make the answer whole; with fewer it was cut off.
    """

    events: tuple[bytes, ...]
    texts: tuple[str, ...]
    whole_from: int

    def text(self, count: int | None = None) -> str:
        """The text of the first `count` events."""
        return "".join(self.texts[:count])

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(self.events)


@dataclass(frozen=True)
class Call:
    """A tool call as a model makes it: arguments in fragments of JSON text."""

    name: str = "get_weather"
    fragments: tuple[str, ...] = ('{"loca', 'tion": "Oslo"', "}")
    id: str = "call_1"

    @property
    def raw(self) -> str:
        """The arguments' whole text."""
        return "".join(self.fragments)


@dataclass
class _Writer:
    """Collects events with the text that each adds."""

    events: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, event: bytes, text: str = "") -> None:
        self.events.append(event)
        self.texts.append(text)

    def script(self, whole_from: int | None = None) -> Script:
        count = len(self.events)
        return Script(tuple(self.events), tuple(self.texts), whole_from or count)


def sse(payload: Any, event: str = "") -> bytes:
    """One event; a payload that is no string is written as JSON."""
    data = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {data}\n\n".encode()


class Dialect(Protocol):
    """One vendor's words."""

    api: str
    unknown_event: bytes
    error_event: bytes
    error_kind: str

    def answer(self, pieces: Sequence[str] = PIECES, usage: bool = True) -> Script:
        """An answer in pieces, with 12 tokens of prompt and 5 of text."""
        ...

    def calls(self, calls: Sequence[Call]) -> Script:
        """An answer that only calls tools."""
        ...

    def error_body(self, status: int, message: str) -> bytes:
        """The body of an error status."""
        ...

    def quota_body(self, message: str) -> bytes | None:
        """The body of a 429 for a spent quota, where the vendor tells it apart."""
        ...


class OpenAIChat:
    """Chat Completions."""

    api = "openai_chat"
    unknown_event = sse({"id": "c1", "object": "chat.completion.future", "choices": None})
    error_event = sse({"error": {"message": "boom", "type": "server_error", "code": None}})
    error_kind = "ServerFailed"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return sse({**self._base, "choices": [choice], "usage": None})

    @property
    def _base(self) -> dict[str, Any]:
        return {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}

    def _end(self, out: _Writer, finish: str, usage: bool = True) -> Script:
        out.add(self._chunk({}, finish))
        whole_from = len(out.events)
        if usage:
            counts = {
                "prompt_tokens": PROMPT_TOKENS,
                "completion_tokens": COMPLETION_TOKENS,
                "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
            }
            out.add(sse({**self._base, "choices": [], "usage": counts}))
        out.add(sse("[DONE]"))
        return out.script(whole_from)

    def answer(self, pieces: Sequence[str] = PIECES, usage: bool = True) -> Script:
        out = _Writer()
        out.add(self._chunk({"role": "assistant", "content": ""}))
        for piece in pieces:
            out.add(self._chunk({"content": piece}), piece)
        return self._end(out, "stop", usage)

    def calls(self, calls: Sequence[Call]) -> Script:
        out = _Writer()
        for index, call in enumerate(calls):
            first = {"name": call.name, "arguments": ""}
            head = {"index": index, "id": call.id, "type": "function", "function": first}
            out.add(self._chunk({"role": "assistant", "content": None, "tool_calls": [head]}))
            for part in call.fragments:
                more = {"index": index, "function": {"arguments": part}}
                out.add(self._chunk({"tool_calls": [more]}))
        return self._end(out, "tool_calls")

    def error_body(self, status: int, message: str) -> bytes:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        return _json({"error": {"message": message, "type": kind, "param": None, "code": None}})

    def quota_body(self, message: str) -> bytes | None:
        code = "insufficient_quota"
        return _json({"error": {"message": message, "type": code, "param": None, "code": code}})


class OpenAIResponses(OpenAIChat):
    """Responses; its error bodies are those of Chat Completions."""

    api = "openai_responses"
    unknown_event = sse(
        {"type": "response.future.delta", "sequence_number": 2, "delta": "?"},
        "response.future.delta",
    )
    error_event = sse(
        {"type": "error", "code": "server_error", "message": "boom", "param": None}, "error"
    )

    def _event(self, out: _Writer, kind: str, text: str = "", **fields: Any) -> None:
        payload = {"type": kind, "sequence_number": len(out.events), **fields}
        out.add(sse(payload, kind), text)

    def _response(self, status: str, usage: bool = False) -> dict[str, Any]:
        counts = {
            "input_tokens": PROMPT_TOKENS,
            "output_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        }
        return {
            "id": "resp_1",
            "object": "response",
            "status": status,
            "model": MODEL,
            "output": [],
            "usage": counts if usage else None,
        }

    def answer(self, pieces: Sequence[str] = PIECES, usage: bool = True) -> Script:
        out = _Writer()
        self._event(out, "response.created", response=self._response("in_progress"))
        item: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant"}
        self._event(out, "response.output_item.added", output_index=0, item=item)
        where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        for piece in pieces:
            self._event(out, "response.output_text.delta", piece, delta=piece, **where)
        self._event(out, "response.output_text.done", text="", **where)
        self._event(out, "response.output_item.done", output_index=0, item=item)
        self._event(out, "response.completed", response=self._response("completed", usage))
        return out.script()

    def calls(self, calls: Sequence[Call]) -> Script:
        out = _Writer()
        self._event(out, "response.created", response=self._response("in_progress"))
        for index, call in enumerate(calls):
            item = {
                "id": f"fc_{index}",
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": "",
            }
            where = {"output_index": index}
            self._event(out, "response.output_item.added", item=item, **where)
            for part in call.fragments:
                kind = "response.function_call_arguments.delta"
                self._event(out, kind, item_id=item["id"], delta=part, **where)
            done = {**item, "arguments": call.raw}
            self._event(out, "response.output_item.done", item=done, **where)
        self._event(out, "response.completed", response=self._response("completed", True))
        return out.script()


class Anthropic:
    """Messages."""

    api = "anthropic"
    unknown_event = sse({"type": "future_event", "index": 0}, "future_event")
    error_event = sse(
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"
    )
    error_kind = "Overloaded"

    def _event(self, out: _Writer, kind: str, text: str = "", **fields: Any) -> None:
        out.add(sse({"type": kind, **fields}, kind), text)

    def _start(self, usage: bool = True) -> _Writer:
        out = _Writer()
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [],
            "stop_reason": None,
        }
        if usage:
            message["usage"] = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
        self._event(out, "message_start", message=message)
        return out

    def _end(self, out: _Writer, reason: str, usage: bool = True) -> Script:
        counts = {"usage": {"output_tokens": COMPLETION_TOKENS}} if usage else {}
        self._event(out, "message_delta", delta={"stop_reason": reason}, **counts)
        self._event(out, "message_stop")
        return out.script()

    def answer(self, pieces: Sequence[str] = PIECES, usage: bool = True) -> Script:
        out = self._start(usage)
        block = {"type": "text", "text": ""}
        self._event(out, "content_block_start", index=0, content_block=block)
        self._event(out, "ping")
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            self._event(out, "content_block_delta", piece, index=0, delta=delta)
        self._event(out, "content_block_stop", index=0)
        return self._end(out, "end_turn", usage)

    def calls(self, calls: Sequence[Call]) -> Script:
        out = self._start()
        for index, call in enumerate(calls):
            block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            self._event(out, "content_block_start", index=index, content_block=block)
            for part in call.fragments:
                delta = {"type": "input_json_delta", "partial_json": part}
                self._event(out, "content_block_delta", index=index, delta=delta)
            self._event(out, "content_block_stop", index=index)
        return self._end(out, "tool_use")

    def error_body(self, status: int, message: str) -> bytes:
        kinds = {
            401: "authentication_error",
            403: "permission_error",
            404: "not_found_error",
            413: "request_too_large",
            429: "rate_limit_error",
            529: "overloaded_error",
        }
        kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return _json({"type": "error", "error": {"type": kind, "message": message}})

    def quota_body(self, message: str) -> bytes | None:
        error = {
            "type": "rate_limit_error",
            "message": message,
            "details": {"error_code": "contract_spend_limit_reached"},
        }
        return _json({"type": "error", "error": error})


class Gemini:
    """streamGenerateContent."""

    api = "gemini"
    unknown_event = sse({"futureField": {"x": 1}, "modelVersion": MODEL})
    error_event = sse({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}})
    error_kind = "Overloaded"

    def _chunk(
        self, parts: list[dict[str, Any]], finish: str | None = None, usage: bool = True
    ) -> bytes:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        payload = {"candidates": [candidate], "modelVersion": MODEL, "responseId": "r1"}
        if finish and usage:
            payload["usageMetadata"] = {
                "promptTokenCount": PROMPT_TOKENS,
                "candidatesTokenCount": COMPLETION_TOKENS,
                "totalTokenCount": PROMPT_TOKENS + COMPLETION_TOKENS,
            }
        return sse(payload)

    def answer(self, pieces: Sequence[str] = PIECES, usage: bool = True) -> Script:
        out = _Writer()
        for piece in pieces[:-1]:
            out.add(self._chunk([{"text": piece}]), piece)
        out.add(self._chunk([{"text": pieces[-1]}], "STOP", usage), pieces[-1])
        return out.script()

    def calls(self, calls: Sequence[Call]) -> Script:
        """Gemini gives a call's arguments whole, as an object; broken ones cannot occur."""
        out = _Writer()
        for call in calls:
            body: dict[str, Any] = {"name": call.name, "id": call.id}
            if call.raw:
                body["args"] = json.loads(call.raw)
            out.add(self._chunk([{"functionCall": body}]))
        out.add(self._chunk([{"text": ""}], "STOP"))
        return out.script()

    def error_body(self, status: int, message: str) -> bytes:
        words = {
            400: "INVALID_ARGUMENT",
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            409: "ABORTED",
            429: "RESOURCE_EXHAUSTED",
            500: "INTERNAL",
            503: "UNAVAILABLE",
        }
        word = words.get(status, "UNKNOWN")
        return _json({"error": {"code": status, "message": message, "status": word}})

    def quota_body(self, message: str) -> bytes | None:
        return None


DIALECTS: dict[str, Dialect] = {
    dialect.api: dialect for dialect in (OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini())
}


def _json(payload: Any) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()
