"""What the Claude Code program says, understood: its messages in, chunks out. No processes.

Promise: the answer's text as it comes and one last chunk with finish reason and usage, as from
Anthropic's API itself; or one error of `providers.exceptions`. What the program makes up is never
taken for the model's: its own texts in the model's place, the `message_stop` with which it closes
a stream that broke off, the answer to a question that it asked again.

Strategy: `stream_event` messages carry Anthropic's raw events: `MessagesParser` reads them. The
stop reason tells a real end from a made-up one. Errors come in two messages, a class in one and
status and text in the next; the vendor's own rules (`providers.verdicts`) judge them together.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from claude_agent_sdk import (
    AssistantMessage,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
)

from contracts.messages import ChatChunk, Usage
from providers.anthropic_messages import MessagesParser
from providers.exceptions import (
    AuthenticationFailed,
    ProviderError,
    ServerFailed,
    StreamInterrupted,
    Unreachable,
)
from providers.http_errors import (
    Origin,
    error_from_event,
    error_from_response,
    interrupted,
)
from providers.redaction import redact
from providers.sse import ServerSentEvent
from providers.stops import StopCutter
from providers.tokens import count_tokens

_CLASSES = {
    "authentication_failed": "authentication_error",
    "oauth_org_not_allowed": "permission_error",
    "billing_error": "billing_error",
    "rate_limit": "rate_limit_error",
    "invalid_request": "invalid_request_error",
    "model_not_found": "model_not_found",
    "overloaded": "overloaded_error",
}
"""The program's names for what went wrong, as the API calls them; the others say nothing."""

_COUNTS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheCreationInputTokens": "cache_creation_input_tokens",
}
_REFUSED = "model_refusal_no_fallback"

_PREFIX = re.compile(
    r"^(?:Failed to authenticate\. )?API Error:\s*(?:Request rejected \(\d+\) · |\d{3}\s+)?"
)
_ADVICE = re.compile(r"\. This is (?:a server-side issue, )?usually temporary.*$", re.S)
_UNREACHED = re.compile(
    r"ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ConnectionRefused"
    r"|FailedToOpenSocket|CERT|SSL|TLS|self.signed|DNS",
)
_LOST = re.compile(r"StreamTruncated|was lost")
_BROKEN = re.compile(
    r"ECONNRESET|EPIPE|StreamTruncated|ConnectionClosed|connection.{0,40}lost", re.I
)


class AnswerReader:
    """Reads one answer. `done` is True once it is whole; then `close` gives the last chunks."""

    def __init__(self, origin: Origin, stops: Sequence[str] = ()) -> None:
        self._origin = origin
        self._stops = StopCutter(stops)
        self._cuts = bool(stops)
        self._parser = MessagesParser(origin, stops=self._stops)
        self._texts: list[str] = []
        self._ended = False
        self._class = ""
        self._said = ""
        self._refusal: dict[str, Any] | None = None
        self.begun = False

    @property
    def done(self) -> bool:
        """The answer is whole, or cut at a stop sequence."""
        return self._parser.done

    def feed(self, message: Message) -> list[ChatChunk]:
        """Return the chunks of one message. Raises the error that it tells of."""
        if isinstance(message, StreamEvent):
            return self._on_event(message.event)
        if isinstance(message, AssistantMessage) and message.error:
            self._class = message.error
            self._said = "".join(b.text for b in message.content if isinstance(b, TextBlock))
        elif isinstance(message, SystemMessage) and message.subtype == _REFUSED:
            self._refusal = message.data
        elif isinstance(message, ResultMessage):
            return self._on_result(message)
        return []

    def close(self) -> list[ChatChunk]:
        """Return the last chunks of a whole answer."""
        chunks = self._parser.close()
        if self._stops.stopped:
            usage = self._estimated(chunks[-1].usage)
            chunks[-1] = replace(chunks[-1], usage=usage, vendor_state=None)
        return chunks

    def failed(self, why: str, sent: bool) -> ProviderError:
        """Return the error for a program that ended, or cannot be understood."""
        if self.begun:
            return self._with_usage(interrupted(self._origin, f"Claude Code {why}"))
        text = redact(why, self._origin.secrets, self._origin.private)
        return ServerFailed(
            f"{self._origin.provider}: Claude Code {text}",
            provider=self._origin.provider,
            model=self._origin.model,
            sent=sent,
        )

    def _on_event(self, event: dict[str, Any]) -> list[ChatChunk]:
        kind = event.get("type")
        self.begun = True
        if kind == "message_delta" and (event.get("delta") or {}).get("stop_reason"):
            self._ended = True
        if kind == "message_stop" and not self._ended:
            return []  # made up: the result will tell what happened
        if kind == "content_block_delta" and self._cuts:
            self._texts.append((event.get("delta") or {}).get("text") or "")
        try:
            return self._parser.feed(ServerSentEvent(orjson.dumps(event)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            why = f"the stream holds an event of a wrong shape ({type(error).__name__})"
            raise self._with_usage(interrupted(self._origin, why)) from error

    def _on_result(self, result: ResultMessage) -> list[ChatChunk]:
        if self._refusal is None:
            raise self._with_usage(self._error(result))
        self._ended = True
        details = {
            "category": self._refusal.get("api_refusal_category"),
            "explanation": self._refusal.get("api_refusal_explanation"),
        }
        end = {
            "type": "message_delta",
            "delta": {"stop_reason": "refusal", "stop_details": details},
            "usage": _usage_of(result),
        }
        return self._on_event(end) + self._on_event({"type": "message_stop"})

    def _error(self, result: ResultMessage) -> ProviderError:
        said = self._said or result.result or "; ".join(result.errors or ()) or result.subtype
        said = _ADVICE.sub("", _PREFIX.sub("", said))
        kind = _CLASSES.get(self._class, "")
        if result.terminal_reason == "prompt_too_long":
            kind = "context_length_exceeded"
        report = {"type": kind, "message": said}
        if result.api_error_status:
            body = orjson.dumps({"error": report})
            return error_from_response(self._origin, result.api_error_status, {}, body)
        if not result.is_error:
            return interrupted(self._origin, "Claude Code ended the turn without an answer")
        if kind:
            return self._without_status(report)
        return self._broken(said)

    def _without_status(self, report: dict[str, str]) -> ProviderError:
        error = error_from_event(self._origin, {"error": report})
        # A login that is missing is noticed by the program itself.
        error.sent = not isinstance(error, AuthenticationFailed) or self.begun
        return error

    def _broken(self, said: str) -> ProviderError:
        """The error for a connection that was not made or did not hold."""
        origin = self._origin
        if self.begun or _LOST.search(said):
            return interrupted(origin, said)
        text = f"{origin.provider}: {redact(said, origin.secrets, origin.private)}"
        name, model = origin.provider, origin.model
        if _UNREACHED.search(said):
            text = f"{text}; check {origin.url_var}"
            return Unreachable(text, sent=False, provider=name, model=model)
        if _BROKEN.search(said):
            return Unreachable(text, provider=name, model=model)
        return StreamInterrupted(text, provider=name, model=model)

    def _with_usage(self, error: ProviderError) -> ProviderError:
        error.usage = self._parser.usage
        error.usage_final = self._parser.usage_final
        error.response_id = self._parser.response_id
        return error

    def _estimated(self, usage: Usage | None) -> Usage | None:
        """The usage of an answer that was not awaited to its end: what came, at least."""
        if usage is None or self._parser.usage_final:
            return usage
        completion = max(usage.completion_tokens, count_tokens("".join(self._texts)))
        return replace(usage, completion_tokens=completion, total_tokens=0, estimated=True)


def _usage_of(result: ResultMessage) -> dict[str, int]:
    """The turn's counts, by the API's names; a refusal's own do not come through."""
    counts = dict.fromkeys(_COUNTS.values(), 0)
    for used in (result.model_usage or {}).values():
        for name, wire in _COUNTS.items():
            counts[wire] += int(used.get(name) or 0)  # type: ignore[call-overload]
    return counts if any(counts.values()) else {}
