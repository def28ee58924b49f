"""A client on its own loop, called from another thread's."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.engine.bridging import OnLoop, joined
from contracts.messages import ChatChunk, ChatRequest, Message, Usage
from providers.exceptions import Overloaded, StreamInterrupted, Unavailable
from providers.spi import ChatReply, LLMClient

pytestmark = pytest.mark.unit

TEXTS = [ChatChunk(delta_text="a"), ChatChunk(delta_text="b"), ChatChunk(delta_text="c", model="m")]
KINDS = [
    *TEXTS,
    ChatChunk(delta_text="d", sequence=4),
    ChatChunk(delta_text="e", usage=Usage(1, 1)),
    ChatChunk(delta_reasoning="hm"),
    ChatChunk(finish_reason="stop"),
]

T = TypeVar("T")


class Streams(LLMClient):
    """Yields words; notes where it was called and whether it was closed."""

    def __init__(self, fails: Exception | None = None, forever: bool = False) -> None:
        self.fails, self.forever = fails, forever
        self.thread = 0
        self.closed = False

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        self.thread = threading.get_ident()
        try:
            for word in ("one ", "two"):
                await asyncio.sleep(0)
                yield ChatChunk(delta_text=word)
            if self.forever:
                await asyncio.sleep(60)
            if self.fails is not None:
                raise self.fails
            yield ChatChunk(finish_reason="stop", model="m")
        finally:
            await asyncio.sleep(0)
            self.closed = True


def request() -> ChatRequest:
    return ChatRequest(messages=[Message("user", "hello")])


async def elsewhere(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine on a loop of another thread."""

    async def run() -> T:
        return await work()

    return await asyncio.to_thread(asyncio.run, run())


async def test_chunks_come_over_in_order() -> None:
    client = Streams()
    bridged = OnLoop(client)

    async def ask() -> ChatReply:
        return await bridged.chat(request())

    reply = await elsewhere(ask)
    assert (reply.text, reply.finish_reason, reply.model) == ("one two", "stop", "m")
    assert client.thread == threading.get_ident()
    assert client.closed
    assert bridged.provider == "custom"


async def test_what_it_raises_is_raised_on_the_other_side() -> None:
    client = Streams(Overloaded("busy", retry_after=3.0))
    bridged = OnLoop(client)

    async def ask() -> Overloaded:
        with pytest.raises(Overloaded) as caught:
            await bridged.chat(request())
        return caught.value

    error = await elsewhere(ask)
    assert (error.retry_after, error.partial_text) == (3.0, "one two")
    assert client.closed


async def test_leaving_early_closes_the_call_at_home() -> None:
    client = Streams(forever=True)
    bridged = OnLoop(client)

    async def ask() -> bool:
        stream = bridged.chat(request())
        async for _ in stream:
            break
        await stream.aclose()
        return client.closed

    assert await elsewhere(ask)


async def test_a_cancelled_asker_closes_the_call_at_home() -> None:
    client = Streams(forever=True)
    bridged = OnLoop(client)

    async def ask() -> bool:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await bridged.chat(request())
        return client.closed

    assert await elsewhere(ask)


async def test_a_call_that_its_own_loop_cancels_is_interrupted() -> None:
    client = Streams(forever=True)
    bridged = OnLoop(client)

    async def ask() -> StreamInterrupted:
        with pytest.raises(StreamInterrupted) as caught:
            await bridged.chat(request())
        return caught.value

    asking = asyncio.create_task(elsewhere(ask))
    while not client.thread:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    others = asyncio.all_tasks() - {asyncio.current_task(), asking}
    for task in others:
        if "_pump" in repr(task):
            task.cancel()
    assert (await asking).partial_text == "one two"
    assert client.closed


class Quick(LLMClient):
    """Yields many words at once, with what is not text among them."""

    words = 300

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        for number in range(self.words):
            yield ChatChunk(delta_text=f"{number} ", model="m", response_id="r")
            if number == self.words // 2:
                yield ChatChunk(delta_reasoning="hm", model="m")
        yield ChatChunk(usage=Usage(7, 300))
        yield ChatChunk(finish_reason="stop")


async def test_texts_that_come_quickly_go_over_together_and_whole() -> None:
    bridged = OnLoop(Quick())

    async def ask() -> tuple[int, ChatReply]:
        stream = bridged.chat(request())
        count = 0
        async for _ in stream:
            count += 1
        return count, await stream.collect()

    count, reply = await elsewhere(ask)
    assert reply.text == "".join(f"{number} " for number in range(Quick.words))
    assert (reply.reasoning, reply.finish_reason, reply.usage) == ("hm", "stop", Usage(7, 300))
    assert (reply.model, reply.response_id) == ("m", "r")
    assert count < Quick.words / 2


@pytest.mark.hypothesis
@given(st.lists(st.sampled_from(KINDS)))
def test_joined_chunks_are_the_same_answer(kinds: list[ChatChunk]) -> None:
    items = list(joined(kinds))
    assert "".join(i.delta_text or "" for i in items if isinstance(i, ChatChunk)) == "".join(
        chunk.delta_text or "" for chunk in kinds
    )
    bare = [chunk for chunk in kinds if chunk not in TEXTS]
    assert [item for item in items if item in bare] == bare
    for one, other in pairwise(items):
        assert not (isinstance(one, ChatChunk) and isinstance(other, ChatChunk)) or not (
            plain(one) and plain(other) and one.model == other.model
        )


def plain(chunk: ChatChunk) -> bool:
    return chunk == ChatChunk(delta_text=chunk.delta_text, model=chunk.model)


def test_a_loop_that_is_gone_is_said() -> None:
    async def make() -> OnLoop:
        return OnLoop(Streams())

    bridged = asyncio.run(make())

    async def ask() -> None:
        with pytest.raises(Unavailable, match="has ended"):
            await bridged.chat(request())

    asyncio.run(ask())
