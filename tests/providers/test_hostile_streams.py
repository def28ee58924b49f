"""Every hostile stream of `tests.wire.hostile`: whole, byte by byte, and cut after every event."""

from collections.abc import AsyncIterator

import pytest

from contracts.messages import ChatChunk
from providers.exceptions import ExecutionPlatformError, ProviderError
from providers.http_errors import Origin
from providers.reading import Answer, read_stream
from providers.spi import ChatRequest, ChatStream, Message, Timeouts
from tests.providers.adapters import ADAPTERS, Adapter
from tests.wire.hostile import STREAMS
from tests.wire.hostile.stream import Counts, Hostile
from tests.wire.server import Reply, WireServer

pytestmark = pytest.mark.unit

BY_API = {adapter.api: adapter for adapter in ADAPTERS}
CASES = [pytest.param(s, id=f"{s.api}-{s.name}".replace(" ", "_")) for s in STREAMS]
ANSWERS = [case for case, s in zip(CASES, STREAMS, strict=True) if not s.error]
PATIENT = Timeouts(60, 60, 60)


async def _pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(
    hostile: Hostile, data: bytes | None = None, size: int = 1 << 20
) -> tuple[ChatStream, list[ChatChunk], ExecutionPlatformError | None]:
    """What comes out of a stream's bytes, in pieces of `size`: by the parser, without a socket."""
    adapter: Adapter = BY_API[hostile.api]
    origin = Origin(adapter.name, "m")
    given = hostile.data if data is None else data

    async def answer() -> Answer:
        return Answer(_pieces(given, size), adapter.parse(origin), origin)

    stream = ChatStream(read_stream(answer), PATIENT)
    chunks: list[ChatChunk] = []
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - kept when the stream raises
    except ExecutionPlatformError as error:
        return stream, chunks, error
    return stream, chunks, None


def assert_as_told(
    hostile: Hostile, stream: ChatStream, error: ExecutionPlatformError | None
) -> None:
    assert stream.text == hostile.text
    if hostile.error:
        assert isinstance(error, ProviderError), error
        assert error.kind == hostile.error, str(error)
        assert error.retryable is hostile.retryable
        assert error.partial_text == hostile.text
        assert hostile.says in str(error)
        assert stream.finish_reason is None
        assert_counts(hostile.usage, error)
        return
    assert error is None
    assert stream.finish_reason == hostile.finish
    assert_calls(hostile, stream)
    assert stream.vendor_state == hostile.state
    assert_counts(hostile.usage, stream)


def assert_counts(wanted: Counts | None, told: ChatStream | ProviderError) -> None:
    usage = told.usage
    if wanted is None:
        assert usage is None
        return
    assert usage is not None
    assert wanted == Counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def assert_calls(hostile: Hostile, stream: ChatStream) -> None:
    assert [(c.name, c.arguments) for c in stream.tool_calls] == [
        (w.name, w.args) for w in hostile.calls
    ]
    for got, wanted in zip(stream.tool_calls, hostile.calls, strict=True):
        assert got.id == wanted.id or (wanted.id is None and got.id)
        assert wanted.error in (got.arguments_error or "")
        assert bool(got.arguments_error) is bool(wanted.error)
    assert len({c.id for c in stream.tool_calls}) == len(stream.tool_calls)


@pytest.mark.parametrize("hostile", CASES)
async def test_whole_and_byte_by_byte(hostile: Hostile) -> None:
    stream, chunks, error = await read(hostile)
    assert_as_told(hostile, stream, error)
    assert "".join(c.delta_reasoning or "" for c in chunks) == hostile.reasoning
    assert sum(1 for c in chunks if c.finish_reason) == (0 if hostile.error else 1)
    for chunk in chunks:
        (chunk.delta_text or "").encode()
        (chunk.delta_reasoning or "").encode()
    by_bytes, _, error = await read(hostile, size=1)
    assert_as_told(hostile, by_bytes, error)


@pytest.mark.parametrize("hostile", ANSWERS)
async def test_cut_after_every_event(hostile: Hostile) -> None:
    """A cut is an error with a part of the text, or everything that the stream has to say."""
    for count in range(len(hostile.events)):
        stream, _, error = await read(hostile, b"".join(hostile.events[:count]))
        whole = (hostile.text, hostile.finish, len(hostile.calls))
        if error is None and not hostile.marked:
            told = (stream.text, stream.finish_reason, len(stream.tool_calls))
            assert told == whole or hostile.early, f"after {count} events"
            continue
        assert isinstance(error, ProviderError), f"after {count} events"
        assert error.kind == "StreamInterrupted"
        assert hostile.text.startswith(error.partial_text.rstrip("\ufffd"))


@pytest.mark.integration
@pytest.mark.parametrize("adapter", [pytest.param(a, id=a.api) for a in ADAPTERS])
async def test_over_sockets(adapter: Adapter) -> None:
    """Every fourth of an API's streams over one client, one after the other: one request each."""
    told = [s for s in STREAMS if s.api == adapter.api][::4]
    waiting = iter(told)
    async with WireServer(lambda _: Reply.stream([next(waiting).data])) as server:
        client = adapter.client(server.url)
        for number, hostile in enumerate(told):
            stream = client.open(ChatRequest([Message("user", "Hi")], max_tokens=9), PATIENT)
            error = None
            try:
                await stream
            except ExecutionPlatformError as caught:
                error = caught
            assert_as_told(hostile, stream, error)
            assert len(server.requests) == number + 1
        await client.aclose()
