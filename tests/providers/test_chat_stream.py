"""What a caller holds: its clocks, its ways out, and no half answer that passes for a whole."""

import asyncio
import builtins
import gc
import time
import weakref
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from contracts.messages import ChatChunk, Usage
from providers.chat_stream import ChatStream
from providers.exceptions import Overloaded, StreamInterrupted, TimeoutError
from providers.timeouts import Timeouts

pytestmark = pytest.mark.unit

PATIENT = Timeouts(first_token=30, idle=30, total=30)
LAST = ChatChunk(finish_reason="stop", usage=Usage(1, 2))


class Source:
    """Plays chunks, pauses (seconds) and errors; knows how often it was begun, and if it ended."""

    def __init__(self, *script: Any) -> None:
        self.script = script
        self.closed = asyncio.Event()

    async def chunks(self) -> AsyncGenerator[ChatChunk, None]:
        try:
            for act in self.script:
                if isinstance(act, ChatChunk):
                    yield act
                elif isinstance(act, str):
                    yield ChatChunk(act)
                elif isinstance(act, BaseException):
                    raise act
                else:
                    await asyncio.sleep(act)
        finally:
            self.closed.set()

    def stream(self, timeouts: Timeouts = PATIENT) -> ChatStream:
        return ChatStream(self.chunks(), timeouts, "vendor")

    async def is_closed(self) -> bool:
        async with asyncio.timeout(30):
            return await self.closed.wait()


async def first_of(stream: ChatStream) -> ChatChunk:
    async for chunk in stream:
        return chunk
    raise AssertionError("no chunk")


# --- leaving


async def test_leaving_the_loop_closes_although_the_stream_is_still_held() -> None:
    source = Source("a", "b", 30.0)
    stream = source.stream()
    async for chunk in stream:
        if chunk.delta_text == "b":
            break
    assert await source.is_closed()
    assert stream.text == "ab"


async def test_an_error_in_the_loop_closes() -> None:
    source = Source("a", 30.0)
    stream = source.stream()

    async def fail() -> None:
        async for _ in stream:
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await source.is_closed()


async def test_what_was_left_is_not_awaited_as_if_it_were_whole() -> None:
    stream = Source("a", "b", LAST).stream()
    await first_of(stream)
    with pytest.raises(StreamInterrupted, match="left before its end") as caught:
        await stream
    assert caught.value.partial_text == "a"
    assert not caught.value.retryable


async def test_a_stream_closed_before_it_was_read_is_no_empty_answer() -> None:
    stream = Source("a", LAST).stream()
    await stream.aclose()
    with pytest.raises(StreamInterrupted):
        await stream


async def test_a_stream_is_read_once_and_then_told_as_often_as_wanted() -> None:
    stream = Source("a", "b", LAST).stream()
    assert [chunk.delta_text async for chunk in stream] == ["a", "b", None]
    assert [chunk async for chunk in stream] == []
    assert (await stream).text == (await stream).text == "ab"


async def test_chunks_asked_for_by_hand() -> None:
    source = Source("a", "b", "c", LAST)
    stream = source.stream()
    assert (await anext(stream)).delta_text == "a"
    assert (await asyncio.wait_for(anext(stream), 30)).delta_text == "b"
    assert [chunk.delta_text async for chunk in stream] == ["c", None]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert source.closed.is_set()


async def test_closing_ends_the_wait_of_whoever_reads() -> None:
    source = Source("a", 30.0)
    stream = source.stream()
    reading = asyncio.create_task(stream.collect())
    async with asyncio.timeout(30):
        while not stream.text:
            await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(StreamInterrupted) as caught:
            await reading
    assert caught.value.partial_text == "a"
    assert source.closed.is_set()
    assert reading.cancelling() == 0


async def test_a_stream_that_nobody_holds_is_not_kept_by_its_clock() -> None:
    source = Source("a", 30.0)
    stream = source.stream()
    await first_of(stream)
    gone = weakref.ref(stream)
    del stream
    assert await source.is_closed()
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None


# --- the three clocks


@pytest.mark.parametrize(
    ("script", "timeouts", "which", "partial"),
    [
        ((30.0,), Timeouts(0.05, 30, 30), "first_token", ""),
        (("a", 30.0), Timeouts(30, 0.05, 30), "idle", "a"),
        (("a", 30.0), Timeouts(0.01, 0.05, 30), "idle", "a"),
        ((*("a", 0.02) * 100,), Timeouts(30, 30, 0.1), "total", None),
        ((ChatChunk(response_id="r"), 30.0), Timeouts(0.05, 30, 30), "first_token", ""),
    ],
)
async def test_A20_which_clock_ran_out(
    script: Any, timeouts: Timeouts, which: str, partial: str | None
) -> None:
    source = Source(*script)
    stream = source.stream(timeouts)
    started = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError) as caught:
        await stream
    error = caught.value
    assert isinstance(error, builtins.TimeoutError)
    assert error.which == which
    assert error.seconds == getattr(timeouts, which)
    assert error.partial_text == (stream.text if partial is None else partial)
    assert asyncio.get_running_loop().time() - started < 1
    assert source.closed.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_idle_clock_begins_anew_with_every_chunk() -> None:
    stream = Source(*("a", 0.06) * 5, LAST).stream(Timeouts(30, 0.2, 30))
    assert (await stream).text == "aaaaa"


async def test_no_clock_runs_while_nobody_waits() -> None:
    stream = Source("a", 0.01, "b", LAST).stream(Timeouts(0.05, 0.05, 30))
    async for chunk in stream:
        if chunk.delta_text:
            await asyncio.sleep(0.15)
    assert stream.text == "ab"


async def test_a_cancellation_from_outside_is_no_timeout_even_at_the_same_moment() -> None:
    source = Source(30.0)
    stream = source.stream(Timeouts(0.05, 30, 30))
    reading = asyncio.create_task(stream.collect())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.05, reading.cancel)
    time.sleep(0.1)  # both are due when the loop goes on
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.closed.is_set()


async def test_one_timer_serves_a_whole_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    set_timers: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        set_timers.append(when)
        return call_at(when, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", counted)
    await Source(*["a"] * 500, LAST).stream()
    assert len(set_timers) <= 2


async def test_errors_hold_what_has_arrived() -> None:
    usage = ChatChunk(usage=Usage(7, 0), response_id="r1")
    stream = Source(usage, "a", Overloaded("busy")).stream()
    with pytest.raises(Overloaded) as caught:
        await stream
    error = caught.value
    assert (error.partial_text, error.provider, error.response_id) == ("a", "vendor", "r1")
    assert error.usage == Usage(7, 0)


# --- chunks


def test_chunks_are_equal_by_value_and_take_seed_000s_arguments() -> None:
    assert ChatChunk("a", "stop", Usage(1, 2)) == ChatChunk(
        delta_text="a", finish_reason="stop", usage=Usage(1, 2)
    )
    assert ChatChunk("a") != ChatChunk("b")
    empty = ChatChunk()
    assert (empty.delta_text, empty.usage, empty.tool_call, empty.notes) == (None, None, None, ())
    assert replace(empty, notes=("n",)) == ChatChunk(notes=("n",))
    with pytest.raises(TypeError):
        ChatChunk(text="a")  # type: ignore[call-arg]
