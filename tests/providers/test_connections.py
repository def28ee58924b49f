"""Each adapter's connections: those that fail, those left early, and many at once.

Real sockets on 127.0.0.1; the server counts what is open.
"""

import asyncio
import threading

import pytest

from providers.exceptions import ProviderError, StreamInterrupted
from tests.providers.adapters import Adapter
from tests.providers.asking import ALL, ask, assert_keeps_secrets, connected
from tests.wire.server import Reply, Stall, WireServer, closed_port
from tests.wire.streams import TEXT

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("adapter", ALL)
async def test_connection_refused(adapter: Adapter) -> None:
    async with closed_port() as url, connected(adapter, url) as client:
        with pytest.raises(ProviderError) as caught:
            await ask(client)
    assert caught.value.kind == "Unreachable"
    assert caught.value.retryable
    assert not caught.value.sent


@pytest.mark.parametrize("adapter", ALL)
async def test_a_host_that_no_DNS_knows(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with connected(adapter, "http://callboard-test.invalid") as client:
        with pytest.raises(ProviderError) as caught:
            await ask(client)
    assert caught.value.kind == "Unreachable"
    assert caught.value.retryable
    assert not caught.value.sent
    assert_keeps_secrets(caught.value)


@pytest.mark.parametrize("adapter", ALL)
async def test_TLS_failure(adapter: Adapter) -> None:
    async with WireServer(Reply()) as server:
        url = server.url.replace("http:", "https:")
        async with connected(adapter, url) as client:
            with pytest.raises(ProviderError) as caught:
                await ask(client)
    assert caught.value.kind == "Unreachable"
    assert not caught.value.sent
    assert server.requests == []


@pytest.mark.parametrize("adapter", ALL)
async def test_leaving_early_closes_the_connection(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    reply = Reply.stream([*events[:-1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        async with ask(client) as stream:
            async for chunk in stream:
                if chunk.delta_text:
                    break
        assert await server.closed()


@pytest.mark.parametrize("adapter", ALL)
async def test_a_break_alone_closes_the_connection(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    reply = Reply.stream([*events[:-1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        stream = ask(client)
        async for chunk in stream:
            if chunk.delta_text:
                break
        assert await server.closed()
        assert server.connections == 1
        with pytest.raises(StreamInterrupted):
            await stream


@pytest.mark.parametrize("adapter", ALL)
async def test_closing_from_another_task_closes_the_connection(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    reply = Reply.stream([*events[:-1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        stream = ask(client)
        reading = asyncio.ensure_future(stream.collect())
        async with asyncio.timeout(30):
            while not stream.text:
                await asyncio.sleep(0.005)
        await stream.aclose()
        with pytest.raises(StreamInterrupted):
            await reading
        assert await server.closed()


@pytest.mark.parametrize("adapter", ALL)
async def test_cancelling_closes_the_connection(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    reply = Reply.stream([*events[:-1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        stream = ask(client)
        task = asyncio.ensure_future(stream.collect())
        async with asyncio.timeout(30):
            while not stream.text:
                await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.closed()


@pytest.mark.parametrize("adapter", ALL)
async def test_150_streams_at_once(adapter: Adapter) -> None:
    gate = asyncio.Event()

    def reply(_: object) -> Reply:
        if len(server.requests) == 150:
            gate.set()
        return Reply.stream(adapter.dialect.answer().events)

    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        replies = await asyncio.gather(*(ask(client) for _ in range(150)))
        assert {r.text for r in replies} == {TEXT}
        assert len(server.requests) == 150
        assert gate.is_set()


@pytest.mark.parametrize("adapter", ALL)
async def test_150_stalled_streams_hold_150_connections(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    reply = Reply.stream([*events[:-1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        streams = [ask(client) for _ in range(150)]
        tasks = [asyncio.ensure_future(stream.collect()) for stream in streams]
        async with asyncio.timeout(20):
            while not all(stream.text for stream in streams):
                await asyncio.sleep(0.02)
        assert server.open == 150
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await server.closed()


@pytest.mark.parametrize("adapter", ALL)
async def test_whole_streams_share_a_connection(adapter: Adapter) -> None:
    reply = Reply.stream(adapter.dialect.answer().events)
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        for _ in range(5):
            await ask(client)
        assert len(server.requests) == 5
        assert server.connections == 1


@pytest.mark.parametrize("adapter", ALL)
def test_one_client_serves_two_event_loops(adapter: Adapter) -> None:
    """A client of the SDK that is used under a second loop loses a call that was paid for."""

    ready, stop = threading.Event(), threading.Event()
    urls: list[str] = []

    def serve() -> None:
        async def run() -> None:
            async with WireServer(Reply.stream(adapter.dialect.answer().events)) as server:
                urls.append(server.url)
                ready.set()
                while not stop.is_set():
                    await asyncio.sleep(0.01)

        asyncio.run(run())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(30)
        client = adapter.client(urls[0])

        async def call() -> str:
            try:
                return (await ask(client)).text
            finally:
                await client.aclose()

        assert [asyncio.run(call()) for _ in range(3)] == [TEXT] * 3
    finally:
        stop.set()
        thread.join()
