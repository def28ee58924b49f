"""One chat call in flight, as its caller holds it: to be iterated, awaited or closed.

Promise: every chunk once, as it comes; the three clocks of `Timeouts` for every provider alike;
every error with the partial text and the usage seen. Leaving the loop, by `break`, an exception
or cancellation, closes the connection at once, whoever still holds the stream.

Strategy: the loop runs over an async generator that only it holds, so that Python ends it when
the loop is left; its `finally` closes. `providers.clocks` bounds its waits.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator
from typing import Any

from pydantic.dataclasses import dataclass

from contracts.messages import ChatChunk, Message, ToolCall, Usage
from providers.clocks import Clock
from providers.exceptions import (
    ExecutionPlatformError,
    ProviderError,
    StreamInterrupted,
    TimeoutError,
)
from providers.timeouts import Timeouts

_SILENCES = {
    "total": "no complete answer",
    "idle": "no further text",
    "first_token": "no first token",
}


@dataclass(frozen=True)
class ChatReply:
    """A collected stream: the whole answer."""

    text: str
    finish_reason: str
    usage: Usage | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    model: str | None = None
    response_id: str | None = None
    vendor_state: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> Message:
        """The assistant's turn, to be appended to the conversation."""
        return Message(
            "assistant", self.text, tool_calls=self.tool_calls, vendor_state=self.vendor_state
        )


class ChatStream:
    """One call in flight: iterate it for chunks, await it for the whole, close it to stop paying.

    Keeps what has arrived (`text`, `usage`, …), so that an error can tell what was lost. Nothing
    is sent before the first chunk is asked for. A stream is read once: a second loop gets nothing,
    and what was left before its end is not awaited as if it were whole.
    """

    __slots__ = (
        "__weakref__",
        "_by_hand",
        "_chunks",
        "_clock",
        "_closed",
        "_ended",
        "_provider",
        "_reasoning",
        "_started",
        "_taken",
        "_texts",
        "finish_reason",
        "model",
        "notes",
        "response_id",
        "sequence",
        "tool_calls",
        "usage",
        "vendor_state",
    )

    def __init__(
        self, chunks: AsyncIterator[ChatChunk], timeouts: Timeouts, provider: str = ""
    ) -> None:
        self._chunks = chunks
        self._clock = Clock(timeouts)
        self._provider = provider
        self._taken = False
        self._started = False
        self._ended = False
        self._closed = False
        self._by_hand: AsyncGenerator[ChatChunk, None] | None = None
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self.tool_calls: list[ToolCall] = []
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.response_id: str | None = None
        self.vendor_state: dict[str, Any] | None = None
        self.notes: list[str] = []
        self.sequence: int | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._texts)

    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        return self._by_hand or self._read()

    def __anext__(self) -> Coroutine[Any, Any, ChatChunk]:
        """Return the next chunk. Whoever asks by hand closes the stream by hand, too."""
        self._by_hand = self._by_hand or self._read()
        return self._by_hand.__anext__()

    async def _read(self) -> AsyncGenerator[ChatChunk, None]:
        if self._taken or self._closed:
            return
        self._taken = True
        clock = self._clock
        try:
            clock.start()
            async for chunk in self._chunks:
                clock.stop()
                try:
                    self._note(chunk)
                except AttributeError:
                    raise ProviderError(
                        f"a stream must yield ChatChunks, not {type(chunk).__name__}"
                    ) from None
                yield chunk
                clock.start()
            self._ended = True
        except asyncio.CancelledError:
            if clock.rang():
                raise (self._left() if self._closed else self._timed_out()) from None
            raise
        except ExecutionPlatformError as error:
            raise self._with_partial(error) from error.__cause__
        finally:
            clock.close()
            await self._release()

    def _note(self, chunk: ChatChunk) -> None:
        if chunk.delta_text:
            self._texts.append(chunk.delta_text)
        if chunk.delta_reasoning:
            self._reasoning.append(chunk.delta_reasoning)
        if chunk.tool_call:
            self.tool_calls.append(chunk.tool_call)
        if chunk.finish_reason:
            self.finish_reason = chunk.finish_reason
        if not self._started and (
            chunk.delta_text or chunk.delta_reasoning or chunk.tool_call or chunk.finish_reason
        ):
            self._started = True
            self._clock.first_seen()
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.model:
            self.model = chunk.model
        if chunk.response_id:
            self.response_id = chunk.response_id
        if chunk.vendor_state:
            self.vendor_state = chunk.vendor_state
        if chunk.notes:
            self.notes += chunk.notes
        if chunk.sequence is not None:
            self.sequence = chunk.sequence

    def _timed_out(self) -> TimeoutError:
        clock, who = self._clock, self._provider or "the provider"
        return TimeoutError(
            f"timeout: {_SILENCES[clock.which]} from {who} within {clock.seconds:g} seconds. "
            "Give it longer (timeout=…, EP_TIMEOUT), or use a faster model or provider",
            which=clock.which,
            seconds=clock.seconds,
            usage=self.usage,
            partial_text=self.text,
            provider=self._provider,
            model=self.model or "",
            response_id=self.response_id,
        )

    def _with_partial(self, error: ExecutionPlatformError) -> ExecutionPlatformError:
        if isinstance(error, ProviderError | TimeoutError):
            error.partial_text = error.partial_text or self.text
            error.usage = error.usage or self.usage
            error.provider = error.provider or self._provider
            error.response_id = error.response_id or self.response_id
        return error

    def _left(self) -> StreamInterrupted:
        return StreamInterrupted(
            "the stream was left before its end: the answer is not whole",
            retryable=False,
            usage=self.usage,
            partial_text=self.text,
            provider=self._provider,
            model=self.model or "",
            response_id=self.response_id,
        )

    async def aclose(self) -> None:
        """Close the connection. Safe to call twice, and while another task waits for a chunk.

        That task gets a `StreamInterrupted`.
        """
        if self._closed:
            return
        self._closed = True
        if not self._clock.ring():
            await self._release()

    async def _release(self) -> None:
        self._closed = True
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            with contextlib.suppress(RuntimeError):
                await close()

    async def __aenter__(self) -> "ChatStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def collect(self) -> ChatReply:
        """Read to the end and return the whole answer.

        Raises what the provider raises, and `StreamInterrupted` where the stream was left before.
        """
        async for _ in self:
            pass
        if not self._ended:
            raise self._left()
        return ChatReply(
            text=self.text,
            finish_reason=self.finish_reason or "stop",
            usage=self.usage,
            tool_calls=tuple(self.tool_calls),
            reasoning="".join(self._reasoning),
            model=self.model,
            response_id=self.response_id,
            vendor_state=self.vendor_state,
            notes=tuple(self.notes),
        )

    def __await__(self) -> Generator[Any, None, ChatReply]:
        return self.collect().__await__()
