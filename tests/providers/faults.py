"""Everything that can go wrong with a call, as scripts, with what an adapter must make of it.

`FAULTS` are endings with an error; `ODDITIES` are strange streams that are nevertheless whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.wire.server import Flood, Reply, Stall, one_by_one
from tests.wire.streams import PIECES, TEXT, Call, Dialect, sse

Make = Callable[[Dialect, str], Reply]
"""From a dialect and a text to be quoted in vendor messages (prompt and key) to a reply."""


@dataclass(frozen=True)
class Fault:
    """A script and the error that it must become.

    `kind` by API, "*" for all others. `partial`: the answer that the error must hold. `clock`:
    the timeout that must run out. `wait`: the seconds to wait that the vendor asked for.
    """

    name: str
    make: Make
    kind: dict[str, str]
    retryable: bool
    wait: tuple[float, float] | None = None
    partial: str = ""
    clock: str = ""
    not_for: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()

    def applies(self, api: str) -> bool:
        return api not in self.not_for and (not self.only_for or api in self.only_for)

    def kind_for(self, api: str) -> str:
        return self.kind.get(api, self.kind["*"])


def _status(
    status: int,
    kind: str,
    retryable: bool,
    headers: dict[str, str] | Callable[[], dict[str, str]] | None = None,
    wait: tuple[float, float] | None = None,
    name: str = "",
) -> Fault:
    def make(dialect: Dialect, quoted: str) -> Reply:
        body = dialect.error_body(status, f"refused: {quoted}")
        return Reply.error(status, body, headers() if callable(headers) else headers)

    return Fault(name or f"status {status}", make, {"*": kind}, retryable, wait)


def _in(seconds: float) -> dict[str, str]:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"retry-after": format_datetime(at, usegmt=True)}


def _html(status: int) -> Make:
    page = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>secret</body></html>"
    return lambda d, q: Reply.error(status, page, {"content-type": "text/html"})


def _endless_page(dialect: Dialect, quoted: str) -> Reply:
    """More than an error needs, and then no end: whoever wants it whole waits for ever."""
    page = b"<html><title>Oops</title>" + b"<p>" * 100_000
    return Reply((page, Stall()), 500, {"content-type": "text/html"})


def _broken_body(dialect: Dialect, quoted: str) -> Reply:
    body = dialect.error_body(429, "slow down")
    return Reply((body[:-5],), 429, {"retry-after": "7"}, end="reset")


def _wrongly_coded(dialect: Dialect, quoted: str) -> Reply:
    return Reply.error(503, b"busy", {"content-encoding": "gzip"})


def _quota(dialect: Dialect, quoted: str) -> Reply:
    return Reply.error(429, dialect.quota_body(f"no more money: {quoted}") or b"")


def _retry_info(dialect: Dialect, quoted: str) -> Reply:
    detail = '{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}'
    body = '{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED","details":[%s]}}'
    return Reply.error(429, (body % detail).encode())


def _cut(count: int, tail: bytes = b"", end: Any = "clean") -> Make:
    """The answer's events up to the one that holds the piece number `count`, then the end."""

    def make(dialect: Dialect, quoted: str) -> Reply:
        return Reply.stream(
            [*_until(dialect, count), tail] if tail else _until(dialect, count), end
        )

    return make


def _until(dialect: Dialect, count: int) -> list[bytes]:
    script = dialect.answer()
    text = "".join(PIECES[:count])
    number = next(n for n in range(len(script.events) + 1) if script.text(n) == text)
    return list(script.events[:number])


def _half_event(dialect: Dialect, quoted: str) -> Reply:
    event = dialect.answer().events[len(_until(dialect, 3))]
    return Reply.stream([*_until(dialect, 3), event[: len(event) // 2]])


def _half_character(dialect: Dialect, quoted: str) -> Reply:
    event = _until(dialect, 3)[-1]
    cut = event.index("ö".encode()) + 1
    return Reply.stream([*_until(dialect, 2), event[:cut]])


def _error_event(count: int) -> Make:
    return lambda d, q: Reply.stream([*_until(d, count), d.error_event])


_BEFORE = {"*": "Unreachable"}
_CUT = {"*": "StreamInterrupted"}
_HELLO = "".join(PIECES[:2])

FAULTS: tuple[Fault, ...] = (
    _status(400, "InvalidRequest", False),
    _status(401, "AuthenticationFailed", False),
    _status(403, "AuthenticationFailed", False),
    _status(404, "ModelNotFound", False),
    _status(408, "ServerFailed", True),
    _status(409, "ServerFailed", True),
    _status(413, "InvalidRequest", False),
    _status(422, "InvalidRequest", False),
    _status(500, "ServerFailed", True),
    _status(503, "Overloaded", True),
    _status(529, "Overloaded", True),
    _status(307, "InvalidRequest", False, {"location": "http://127.0.0.1:9/elsewhere"}),
    _status(429, "RateLimited", True),
    _status(429, "RateLimited", True, {"retry-after": "7"}, (7, 7), "429, wait in seconds"),
    _status(429, "RateLimited", True, {"retry-after": "3600"}, (3600, 3600), "429, wait an hour"),
    _status(429, "RateLimited", True, {"retry-after-ms": "1500"}, (1.5, 1.5), "429, wait in ms"),
    _status(429, "RateLimited", True, lambda: _in(30), (20, 30), "429, wait until a date"),
    _status(429, "RateLimited", True, lambda: _in(-30), None, "429, a date in the past"),
    _status(429, "RateLimited", True, {"retry-after": "soon"}, None, "429, garbage to wait for"),
    _status(429, "RateLimited", False, {"x-should-retry": "false"}, None, "429, do not retry"),
    _status(503, "Overloaded", True, {"retry-after": "2"}, (2, 2), "503, wait in seconds"),
    Fault("429, RetryInfo", _retry_info, {"*": "RateLimited"}, True, (34.5, 34.5),
          only_for=("gemini",)),
    Fault("429, quota spent", _quota, {"*": "RateLimited"}, False, not_for=("gemini",)),
    Fault("502, HTML page", _html(502), {"*": "ServerFailed"}, True),
    Fault("500, endless page", _endless_page, {"*": "ServerFailed"}, True),
    Fault("429, body breaks off", _broken_body, {"*": "RateLimited"}, True, (7, 7)),
    Fault("503, body is not compressed as it says", _wrongly_coded, {"*": "Overloaded"}, True),
    Fault("500, empty", lambda d, q: Reply.error(500, b""), {"*": "ServerFailed"}, True),
    Fault("reset before headers", lambda d, q: Reply(silent=True, end="reset"), _BEFORE, True),
    Fault("closed before headers", lambda d, q: Reply(silent=True, end="fin"), _BEFORE, True),
    Fault("silence before headers", lambda d, q: Reply((Stall(),), silent=True), {"*": "Timeout"},
          True, clock="first_token"),
    Fault("silence after headers", lambda d, q: Reply.stream([Stall()]), {"*": "Timeout"}, True,
          clock="first_token"),
    Fault("silence in mid-answer", lambda d, q: Reply.stream([*_until(d, 2), Stall()]),
          {"*": "Timeout"}, True, partial=_HELLO, clock="idle"),
    Fault("reset in mid-answer", _cut(2, end="reset"), _CUT, True, partial=_HELLO),
    Fault("closed in mid-answer", _cut(2, end="fin"), _CUT, True, partial=_HELLO),
    Fault("clean end in mid-answer", _cut(2), _CUT, True, partial=_HELLO),
    Fault("clean end after all text", _cut(4), _CUT, True, partial="".join(PIECES[:4])),
    Fault("half an event", _half_event, _CUT, True, partial="".join(PIECES[:3])),
    Fault("half a character", _half_character, _CUT, True, partial=_HELLO),
    Fault("event is no JSON", _cut(2, b'data: {"broken": \n\n'), _CUT, True, partial=_HELLO),
    Fault("event of wrong shape", _cut(2, b"data: [1, 2]\n\n"), _CUT, True, partial=_HELLO),
    Fault("200, empty", lambda d, q: Reply.stream([]), _CUT, True),
    Fault("200, HTML page", lambda d, q: Reply((b"<html><title>Hi</title></html>",)), _CUT, True),
    Fault("200, error as JSON", lambda d, q: Reply((d.error_body(503, "overloaded"),)),
          {"*": "ServerFailed", "gemini": "Overloaded"}, True),
    Fault("error event first", _error_event(0), {"*": "ServerFailed", "anthropic": "Overloaded",
          "gemini": "Overloaded"}, True),
    Fault("error event in mid-answer", _error_event(2), {"*": "ServerFailed",
          "anthropic": "Overloaded", "gemini": "Overloaded"}, True, partial=_HELLO),
    Fault("endless line", lambda d, q: Reply.stream([*_until(d, 2), b"data: ",
          Flood(b"x" * 262144)]), _CUT, True, partial=_HELLO),
)  # fmt: skip


@dataclass(frozen=True)
class Oddity:
    """A strange stream that is whole all the same, and what must come out of it."""

    name: str
    make: Callable[[Dialect], list[Any]]
    text: str = TEXT
    finish: str = "stop"
    calls: tuple[Call, ...] = ()
    broken: bool = False
    usage: bool = True
    not_for: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()
    end: Any = field(default="clean")

    def applies(self, api: str) -> bool:
        return api not in self.not_for and (not self.only_for or api in self.only_for)


def _data(dialect: Dialect) -> bytes:
    return dialect.answer().data


def _without_names(dialect: Dialect) -> bytes:
    lines = _data(dialect).splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"event:"))


def _commented(dialect: Dialect) -> list[bytes]:
    return [part for event in dialect.answer().events for part in (b": keep-alive\n\n", event)]


def _with_unknown(dialect: Dialect) -> list[bytes]:
    first, *others = dialect.answer().events
    return [first, dialect.unknown_event, *others]


def _with_null_choices(dialect: Dialect) -> list[bytes]:
    empty = [sse({"id": "chat-1", "choices": value}) for value in (None, [])]
    first, *others = dialect.answer().events
    return [empty[0], first, empty[1], *others]


def _start_twice(dialect: Dialect) -> list[bytes]:
    first, *others = dialect.answer().events
    return [first, first, *others]


def _finish_twice(dialect: Dialect) -> list[bytes]:
    script = dialect.answer()
    last = script.whole_from - (2 if dialect.api == "anthropic" else 1)
    return [*script.events[: last + 1], *script.events[last:]]


_BIG = "é" * 524288
_NO_ARGS = Call("now", (), "call_0")
_EMPTY_ARGS = Call("now", ("",), "call_0")
_TWO = (Call(id="call_1"), Call("add", ('{"a":', "2}"), "call_2"))
_BAD = Call("get_weather", ('{"location": ', "Oslo"), "call_1")
_LIST = Call("get_weather", ("[1, 2]",), "call_1")

ODDITIES: tuple[Oddity, ...] = (
    Oddity("plain", lambda d: [_data(d)]),
    Oddity("event by event", lambda d: list(d.answer().events)),
    Oddity("byte by byte", lambda d: list(one_by_one(_data(d)))),
    Oddity("CRLF", lambda d: [_data(d).replace(b"\n", b"\r\n")]),
    Oddity("CR", lambda d: [_data(d).replace(b"\n", b"\r")]),
    Oddity("byte order mark", lambda d: [b"\xef\xbb\xbf" + _data(d)]),
    Oddity("comments between", _commented),
    Oddity("no space after data:", lambda d: [_data(d).replace(b"data: ", b"data:")]),
    Oddity("no event: lines", lambda d: [_without_names(d)]),
    Oddity("no blank line at the end", lambda d: [_data(d).rstrip(b"\n")]),
    Oddity("unknown event types", _with_unknown),
    Oddity("choices null or empty", _with_null_choices, only_for=("openai_chat",)),
    Oddity("two starts", _start_twice, only_for=("anthropic", "openai_responses")),
    Oddity("two finishes", _finish_twice, not_for=("openai_responses", "gemini")),
    Oddity("an event of 1 MB", lambda d: [d.answer((_BIG, "."), True).data], text=_BIG + "."),
    Oddity("usage missing", lambda d: [d.answer(usage=False).data], usage=False),
    Oddity("tool call", lambda d: list(d.calls([Call()]).events), "", "tool_calls", (Call(),)),
    Oddity("parallel tool calls", lambda d: [d.calls(_TWO).data], "", "tool_calls", _TWO),
    Oddity("tool without arguments", lambda d: [d.calls([_NO_ARGS]).data], "", "tool_calls",
           (_NO_ARGS,)),
    Oddity("tool with empty arguments", lambda d: [d.calls([_EMPTY_ARGS]).data], "", "tool_calls",
           (_EMPTY_ARGS,)),
    Oddity("tool arguments are no JSON", lambda d: [d.calls([_BAD]).data], "", "tool_calls",
           (_BAD,), broken=True, not_for=("gemini",)),
    Oddity("tool arguments are a list", lambda d: [d.calls([_LIST]).data], "", "tool_calls",
           (_LIST,), broken=True, not_for=("gemini",)),
    Oddity("reset after the end", lambda d: [_data(d)], end="reset", not_for=("gemini",)),
)  # fmt: skip
