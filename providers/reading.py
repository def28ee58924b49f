"""From a response's bytes to chunks: the one loop in which every adapter reads a stream.

Promise: the parser's chunks, each as soon as its event is complete; and one error of
`providers.exceptions`, with the usage and the response's id seen so far, for whatever else
happens: a broken connection, bytes that are no events, events that are no JSON or not of the
vendor's shape, an error in the stream, an end without the vendor's terminal marker.

Strategy: `SSEDecoder` splits, an `EventParser` (one per API, pure) understands, this loop owns
the order of things and the translation of exceptions. After the terminal marker the rest of the
body is read for a moment, so that the connection can be used again; nothing in it matters.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import httpx2
import orjson

from contracts.messages import ChatChunk, Usage
from providers.characters import Halves, event_json
from providers.exceptions import InvalidRequest, ProviderError, StreamInterrupted, TimeoutError
from providers.http_errors import Origin, error_from_event, error_from_transport, interrupted
from providers.sse import ServerSentEvent, SSEDecoder
from providers.verdicts import plain_text

DRAIN_S = 0.1
"""How long the end of a body is waited for once the answer is whole."""


_WRONG_SHAPE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What an event that is not as its vendor writes it can raise in a parser."""

_KEEP_ALIVES = frozenset(("ping", "heartbeat", "keepalive", "keep-alive"))
"""Names of events that only say that the connection lives, whatever their data."""


class EventParser(Protocol):
    """Understands one API's events. Pure: events in, chunks out; one instance per stream."""

    usage: Usage | None
    usage_final: bool
    response_id: str | None

    @property
    def done(self) -> bool:
        """The terminal marker was seen; what follows is not read any more."""
        ...

    def feed(self, event: ServerSentEvent) -> list[ChatChunk]:
        """Return the chunks of one event. Raises a `ProviderError` for an error in the stream."""
        ...

    def close(self) -> list[ChatChunk]:
        """Return the last chunks at the end of the stream.

        Raises `StreamInterrupted` when the vendor's terminal marker has not been seen.
        """
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A streamed answer whose headers are there, and how to read its body.

    `close` gives the connection back, and is called however the reading ends. `notes`, on what
    the request could not say, come with the finish.
    """

    body: AsyncIterator[bytes]
    parser: EventParser
    origin: Origin
    close: Callable[[], Awaitable[None]] | None = None
    notes: tuple[str, ...] = ()


async def read_stream(ask: Callable[[], Awaitable[Answer]]) -> AsyncGenerator[ChatChunk, None]:
    """Yield the chunks of a streamed answer; see the module for what it promises.

    `ask` sends the request, at the first chunk that is asked for. It is let go of before the
    body is read: a prompt may be large, and an answer long.
    """
    try:
        answer = await ask()
    except _WRONG_SHAPE as error:
        if isinstance(error, ProviderError | TimeoutError):
            raise
        raise InvalidRequest(f"the request cannot be written ({type(error).__name__})") from None
    del ask
    body, parser, origin, notes = answer.body, answer.parser, answer.origin, answer.notes
    decoder, halves = SSEDecoder(), Halves()
    try:
        async for data in body:
            for event in decoder.feed(data):
                if event.event in _KEEP_ALIVES:
                    continue
                for chunk in parser.feed(event):
                    yield _ready(chunk, halves, notes)
                if parser.done:
                    break
            if parser.done:
                break
        for chunk in finish(decoder, parser, origin):
            yield _ready(chunk, halves, notes)
    except (ProviderError, TimeoutError) as error:
        raise _with_state(error, parser, origin) from error.__cause__
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise _with_state(error_from_transport(origin, error, True), parser, origin) from error
    except _WRONG_SHAPE as error:
        raise _with_state(_not_understood(origin, error), parser, origin) from error
    else:
        await _drain(body)
    finally:
        end = getattr(body, "aclose", None)
        if end is not None:
            await end()
        if answer.close is not None:
            await answer.close()


def _ready(chunk: ChatChunk, halves: Halves, notes: tuple[str, ...]) -> ChatChunk:
    chunk = halves.mend(chunk)
    return replace(chunk, notes=notes) if notes and chunk.finish_reason else chunk


def finish(decoder: SSEDecoder, parser: EventParser, origin: Origin) -> Iterator[ChatChunk]:
    """Yield the chunks that the end of the body still gives, and raise the error it stands for."""
    rest = None if parser.done else decoder.close()
    if rest is not None and is_whole(rest.data):
        yield from parser.feed(rest)
    elif not parser.done:
        error = stray_error(decoder.stray, origin)
        if error is not None:
            raise error
    try:
        yield from parser.close()
    except StreamInterrupted as error:
        if not decoder.stray:
            raise
        why = f"no event stream came back, but {describe(decoder.stray)}"
        raise interrupted(origin, why) from error


def is_whole(data: bytes) -> bool:
    """Tell an event that only lacks its last blank line from one that was cut off."""
    if data.strip() == b"[DONE]":
        return True
    try:
        event_json(data)
    except ValueError:
        return False
    return True


def stray_error(stray: bytes, origin: Origin) -> ProviderError | None:
    """Return the error that stands between or in place of the events as plain JSON, if any."""
    text = stray.strip()
    if not text:
        return None
    with contextlib.suppress(orjson.JSONDecodeError):
        payload: Any = orjson.loads(text.removeprefix(b"error:"))
        if isinstance(payload, list) and payload:
            payload = payload[0]
        if isinstance(payload, dict) and payload.get("error"):
            return error_from_event(origin, payload)
    return None


def describe(stray: bytes) -> str:
    """Name what came in place of events: a page by its title, other text by its first words."""
    text = plain_text(stray.decode("utf-8", "replace"))
    return repr(text[:80])


def _not_understood(origin: Origin, error: Exception) -> ProviderError:
    if isinstance(error, orjson.JSONDecodeError):
        return interrupted(origin, "the stream holds an event that is not valid JSON")
    return interrupted(
        origin, f"the stream holds an event of a wrong shape ({type(error).__name__})"
    )


def _with_state(
    error: ProviderError | TimeoutError, parser: EventParser, origin: Origin
) -> ProviderError | TimeoutError:
    error.usage = error.usage or parser.usage
    error.usage_final = error.usage_final or parser.usage_final
    error.response_id = error.response_id or parser.response_id
    error.provider = error.provider or origin.provider
    error.model = error.model or origin.model
    return error


async def _drain(body: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, asyncio.TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                pass
