"""Recorded streams of real vendors, read as their manifest says.

The recordings are not part of this repository: they are looked for in CALLBOARD_GOLDEN, else in
../shared/golden beside it, and the suite skips without them. Most tests run the pure parsers, the
last ones the whole adapters over sockets.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import ChatChunk, Usage
from providers.exceptions import ExecutionPlatformError, ProviderError
from providers.http_errors import Origin, error_from_response
from providers.reading import Answer, read_stream
from providers.spi import ChatRequest, Message, Timeouts
from tests.providers.adapters import ADAPTERS, Adapter
from tests.wire.server import Reply, WireServer, one_by_one

FOLDER = Path(os.environ.get("CALLBOARD_GOLDEN") or Path(__file__).parents[3] / "shared" / "golden")
BY_API = {adapter.api: adapter for adapter in ADAPTERS}

pytestmark = pytest.mark.unit


def _entries() -> list[dict[str, Any]]:
    manifest = FOLDER / "manifest.json"
    if not manifest.is_file():
        return []
    entries: list[dict[str, Any]] = json.loads(manifest.read_text("utf-8"))["transcripts"]
    return entries


ENTRIES = _entries()
STREAMS = [e for e in ENTRIES if e["kind"] == "stream" and e["api"] in BY_API]
ERRORS = [e for e in ENTRIES if e["kind"] == "error"]


def _params(entries: list[dict[str, Any]]) -> list[Any]:
    if not entries:
        reason = f"no recorded streams in {FOLDER} (set CALLBOARD_GOLDEN)"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(entry, id=f"{entry['api']}-{entry['id']}") for entry in entries]


@dataclass
class Outcome:
    """What came out of a stream."""

    text: str
    reasoning: str
    calls: list[tuple[str, Any, str | None, bool]]
    finish: str | None
    usage: Usage | None
    error: ExecutionPlatformError | None


async def _pieces(data: bytes, size: int) -> Any:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(adapter: Adapter, data: bytes, size: int = 1 << 30) -> Outcome:
    """Run a parser over bytes that arrive in pieces of `size`."""
    origin = Origin(adapter.name, "m")
    chunks: list[ChatChunk] = []
    error = None

    async def answer() -> Answer:
        return Answer(_pieces(data, size), adapter.parse(origin), origin)

    try:
        async for chunk in read_stream(answer):
            chunks.append(chunk)  # noqa: PERF401 - kept when the stream raises
    except ExecutionPlatformError as caught:
        error = caught
    return outcome(chunks, error)


def outcome(chunks: list[ChatChunk], error: ExecutionPlatformError | None) -> Outcome:
    finishes = [c.finish_reason for c in chunks if c.finish_reason]
    assert len(finishes) <= 1, "the finish comes once"
    calls = [c.tool_call for c in chunks if c.tool_call]
    return Outcome(
        text="".join(c.delta_text or "" for c in chunks),
        reasoning="".join(c.delta_reasoning or "" for c in chunks),
        calls=[(c.name, c.arguments, c.id, c.arguments_error is None) for c in calls],
        finish=finishes[0] if finishes else None,
        usage=next((c.usage for c in reversed(chunks) if c.usage), None),
        error=error,
    )


def stream_bytes(entry: dict[str, Any]) -> bytes:
    return (FOLDER / entry["file"]).read_bytes()


def fails(entry: dict[str, Any]) -> bool:
    """Tell whether the recording has to become an error: it holds one, or it has no end."""
    expected = entry["expected"]
    return bool(expected["error"]) or not expected["terminated"]


def assert_as_recorded(entry: dict[str, Any], got: Outcome) -> None:
    expected = entry["expected"]
    assert got.error is None
    assert got.text == expected["text"]
    assert got.reasoning == expected["reasoning"]
    assert_calls(expected, got)
    assert got.finish == expected_finish(expected)
    if expected.get("usage_billed"):
        assert_billed(expected["usage_billed"], got.usage)
    else:
        assert_usage(expected["usage"], got.usage)


def expected_finish(expected: dict[str, Any]) -> str:
    """A stream that ends with [DONE] alone says no reason; ours is then told by what came."""
    if expected["finish"] is not None:
        return str(expected["finish"])
    return "tool_calls" if expected["tool_calls"] else "stop"


def assert_calls(expected: dict[str, Any], got: Outcome) -> None:
    """Calls in order; vendors without ids get one, so an id is only compared where it is given."""
    wanted = expected["tool_calls"]
    assert [c[0] for c in got.calls] == [w["name"] for w in wanted]
    for (_, arguments, call_id, valid), want in zip(got.calls, wanted, strict=True):
        assert call_id == want["id"] or want["id"] is None
        assert valid is want["args_valid"]
        assert arguments == (want["args"] if want["args_valid"] else {})
    assert len({c[2] for c in got.calls}) == len(got.calls), "ids tell calls apart"


def assert_billed(expected: dict[str, Any], usage: Usage | None) -> None:
    """Rounds that the vendor bills beside the last one (compaction, advisors) are counted."""
    assert usage is not None
    assert usage.prompt_tokens == expected["input_total"]
    assert usage.completion_tokens == expected["output_total"]


def assert_usage(expected: dict[str, Any] | None, usage: Usage | None) -> None:
    if expected is None:
        assert usage is None
        return
    assert usage is not None
    assert usage.prompt_tokens == (expected["input_total"] or 0)
    assert usage.completion_tokens == (expected["output_total"] or 0)
    assert usage.cached_tokens == (expected["cache_read"] or 0)
    assert usage.cache_write_tokens == (expected["cache_write"] or 0)
    assert usage.reasoning_tokens == (expected["reasoning"] or 0)
    assert usage.raw


def assert_failed(entry: dict[str, Any], got: Outcome) -> None:
    """An error, never a success: the partial text is what was read before it."""
    assert got.error is not None
    assert got.finish is None
    assert entry["expected"]["text"].startswith(got.text)
    if not entry["expected"]["error"]:
        assert isinstance(got.error, ProviderError)
        assert got.error.kind == "StreamInterrupted"
        assert got.error.retryable


@pytest.mark.parametrize("entry", _params(STREAMS))
async def test_whole(entry: dict[str, Any]) -> None:
    got = await read(BY_API[entry["api"]], stream_bytes(entry))
    if fails(entry):
        assert_failed(entry, got)
    else:
        assert_as_recorded(entry, got)


@pytest.mark.parametrize("entry", _params(STREAMS))
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_in_pieces(entry: dict[str, Any], size: int) -> None:
    """The same chunks come out however the network cuts the bytes (the longest: in pieces only)."""
    data = stream_bytes(entry)
    if size == 1 and len(data) > 100_000:
        size = 3
    adapter = BY_API[entry["api"]]
    whole, pieces = await read(adapter, data), await read(adapter, data, size)
    assert pieces.error is None or type(pieces.error) is type(whole.error)
    pieces.error = whole.error = None
    if any(call[2] is not None for call in whole.calls) and not _all_ids_given(entry):
        pieces.calls = [(*c[:2], None, c[3]) for c in pieces.calls]
        whole.calls = [(*c[:2], None, c[3]) for c in whole.calls]
    assert pieces == whole


def _all_ids_given(entry: dict[str, Any]) -> bool:
    return all(call["id"] for call in entry["expected"]["tool_calls"])


def _ends(data: bytes) -> list[int]:
    """Positions after every event's blank line."""
    lines = data.splitlines(keepends=True)
    ends, at = [0], 0
    for line in lines:
        at += len(line)
        if not line.strip(b"\r\n") and at < len(data):
            ends.append(at)
    return ends


@pytest.mark.parametrize("entry", _params([e for e in STREAMS if not fails(e)]))
async def test_cut_at_each_event(entry: dict[str, Any]) -> None:
    """A stream cut short is an error with the text so far, unless its marker was already there.

    Which cuts lie behind the marker is decided by the text and the usage: a success must be equal
    to the whole stream in all but usage. Long streams are cut at 40 places.
    """
    data, adapter = stream_bytes(entry), BY_API[entry["api"]]
    whole = await read(adapter, data)
    ends = _ends(data)
    step = max(1, len(ends) // 40)
    failed = 0
    for end in {*ends[::step], *ends[-6:]}:
        got = await read(adapter, data[:end])
        if got.error is None:
            assert (got.text, got.finish, len(got.calls)) == (
                whole.text,
                whole.finish,
                len(whole.calls),
            ), f"a success after {end} of {len(data)} bytes"
            continue
        failed += 1
        assert isinstance(got.error, ProviderError)
        assert got.error.kind == "StreamInterrupted"
        assert got.finish is None
        assert whole.text.startswith(got.text)
    assert failed, "the empty stream at least"


@pytest.mark.parametrize("entry", _params([e for e in STREAMS if not fails(e)]))
async def test_cut_inside_an_event(entry: dict[str, Any]) -> None:
    data, adapter = stream_bytes(entry), BY_API[entry["api"]]
    whole = await read(adapter, data)
    start = data.index(b"data:")
    for end in (start + 4, start + 20, len(data) // 3, len(data) // 2):
        got = await read(adapter, data[:end])
        assert got.error is not None or got.text == whole.text
        assert whole.text.startswith(got.text)


KINDS = {
    "auth": {"AuthenticationFailed"},
    "bad_request": {"InvalidRequest"},
    "context_overflow": {"ContextTooLong"},
    "not_found": {"ModelNotFound"},
    "rate_limit": {"RateLimited"},
    "overloaded": {"Overloaded"},
    "server": {"ServerFailed", "Overloaded"},
    "quota": {"RateLimited"},
    "permission": {"AuthenticationFailed"},
}


@pytest.mark.parametrize("entry", _params(ERRORS))
def test_error_body(entry: dict[str, Any]) -> None:
    origin = Origin("vendor", "m", ("THE_KEY",))
    body = stream_bytes(entry)
    error = error_from_response(origin, entry["status"], entry["headers"], body)
    expected = entry["expected"]
    assert error.kind in KINDS[expected["cls"]]
    assert error.retryable is expected["retryable"]
    assert error.status == entry["status"]
    if not expected["message"].startswith("{"):
        assert expected["message"][:60].rstrip(".") in str(error)
    if expected["cls"] == "auth":
        assert "THE_KEY" in str(error)


def _some(count: int) -> list[dict[str, Any]]:
    """A few streams of each API, the strange ones first."""
    order = {"edge": 0, "compat": 1, "core": 2}
    chosen: list[dict[str, Any]] = []
    for api in BY_API:
        mine = [e for e in STREAMS if e["api"] == api]
        chosen += sorted(mine, key=lambda e: order[e["tier"]])[:count]
    return chosen


@pytest.mark.integration
@pytest.mark.parametrize("entry", _params(_some(6)))
@pytest.mark.parametrize("way", ["whole", "byte by byte"])
async def test_over_sockets(entry: dict[str, Any], way: str) -> None:
    data = stream_bytes(entry)
    if way == "byte by byte":
        if len(data) > 8000:
            pytest.skip("a long stream: its bytes one by one are read in test_in_pieces")
        reply = Reply.stream(one_by_one(data))
    else:
        reply = Reply.stream([data])
    adapter = BY_API[entry["api"]]
    chunks: list[ChatChunk] = []
    error = None
    async with WireServer(reply) as server:
        client = adapter.client(server.url)
        stream = client.open(ChatRequest([Message("user", "Hi")]), Timeouts(60, 60, 60))
        try:
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401 - kept when the stream raises
        except ExecutionPlatformError as caught:
            error = caught
        await client.aclose()
        assert len(server.requests) == 1
    got = outcome(chunks, error)
    if fails(entry):
        assert_failed(entry, got)
    else:
        assert_as_recorded(entry, got)
