"""The loop that reads every stream: order, ends, and the translation of what goes wrong."""

import traceback
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from contracts.messages import ChatChunk
from providers.exceptions import ExecutionPlatformError, InvalidRequest
from providers.http_errors import Origin
from providers.openai_chat import ChatParser
from providers.reading import Answer, read_stream
from tests.wire.streams import DIALECTS, PIECES, TEXT

pytestmark = pytest.mark.unit

SCRIPT = DIALECTS["openai_chat"].answer()
ORIGIN = Origin("vendor", "m")


class Body:
    """A body that knows whether it was closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.closed = False
        self.read = 0

    async def answer(self) -> Answer:
        return Answer(self.open(), ChatParser(ORIGIN), ORIGIN)

    async def open(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.read += 1
                yield piece
        finally:
            self.closed = True


async def fail(*pieces: bytes | Exception) -> Any:
    body = Body(*pieces)
    with pytest.raises(ExecutionPlatformError) as caught:
        _ = [c async for c in read_stream(body.answer)]
    assert body.closed
    return caught.value


async def test_chunks_come_with_their_event_and_not_later() -> None:
    body = Body(*SCRIPT.events)
    chunks = read_stream(body.answer)
    assert (await anext(chunks)).delta_text == PIECES[0]
    assert body.read == 2
    await chunks.aclose()
    assert body.closed


async def test_the_rest_of_the_body_is_read_so_that_the_connection_can_be_used_again() -> None:
    body = Body(*SCRIPT.events, b": bye\n\n")
    chunks: list[ChatChunk] = []
    async for chunk in read_stream(body.answer):
        chunks.append(chunk)  # noqa: PERF401
    assert "".join(c.delta_text or "" for c in chunks) == TEXT
    assert body.read == len(body.pieces)


async def test_what_breaks_after_the_end_does_not_matter() -> None:
    body = Body(*SCRIPT.events, httpx2.ReadError("reset"))
    chunks = [c async for c in read_stream(body.answer)]
    assert chunks[-1].finish_reason == "stop"


async def test_half_an_event_at_the_end_is_told_as_the_end_it_is() -> None:
    error = await fail(*SCRIPT.events[:3], SCRIPT.events[3][:40])
    assert error.kind == "StreamInterrupted"
    assert "ended without a finish_reason" in str(error)


async def test_events_that_are_no_json_are_told_as_such() -> None:
    error = await fail(b'data: {"a\n\n')
    assert "not valid JSON" in str(error)


async def test_usage_and_id_seen_so_far_are_kept() -> None:
    counted = b'data: {"id": "r1", "choices": [], "usage": {"prompt_tokens": 3}}\n\n'
    error = await fail(counted, httpx2.RemoteProtocolError("closed"))
    assert error.kind == "StreamInterrupted"
    assert error.usage.prompt_tokens == 3
    assert not error.usage_final
    assert (error.response_id, error.provider, error.model) == ("r1", "vendor", "m")


@pytest.mark.parametrize(
    "stray",
    [
        b'{\n  "error": {\n    "code": 499,\n    "status": "CANCELLED"\n  }\n}',
        b'error: {"error": {"code": 500, "message": "gone"}}\n',
        b'error: {"error": {"code": 500, "message": "gone"}}',
        b'[{"error": {"code": 503, "status": "UNAVAILABLE"}}]\n',
    ],
)
async def test_errors_outside_any_event(stray: bytes) -> None:
    error = await fail(*SCRIPT.events[:3], stray)
    assert error.kind in ("ServerFailed", "Overloaded")
    assert error.status in (499, 500, 503)


async def test_a_page_in_place_of_a_stream_is_named_by_its_title() -> None:
    error = await fail(b"<html><head><title>Sign in</title></head>\n<body>private</body></html>")
    assert error.kind == "StreamInterrupted"
    assert "'Sign in'" in str(error)
    assert "private" not in str(error)


async def test_a_request_that_cannot_be_written_is_refused_without_its_text() -> None:
    async def ask() -> Answer:
        raise TypeError("the secret prompt is not JSON")

    with pytest.raises(InvalidRequest) as caught:
        await anext(read_stream(ask))
    assert "TypeError" in str(caught.value)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert not caught.value.retryable
