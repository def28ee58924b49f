"""One suite for all adapters: every fault becomes the right error, every oddity the right answer.

Real sockets on 127.0.0.1. When all of it has run, the table in docs/conformance/providers.md is
written again.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.exceptions import ExecutionPlatformError, ProviderError
from providers.spi import ChatReply, ChatRequest, Message, Timeouts
from tests.providers.adapters import ADAPTERS, KEY, Adapter
from tests.providers.asking import ALL, PATIENT, PROMPT, ask, assert_keeps_secrets, connected
from tests.providers.faults import FAULTS, ODDITIES, Fault, Oddity
from tests.wire.server import Reply, Stall, WireServer
from tests.wire.streams import COMPLETION_TOKENS, PIECES, PROMPT_TOKENS, TEXT, Call

pytestmark = pytest.mark.integration

QUOTED = f"{PROMPT} {KEY}"
IMPATIENT = Timeouts(first_token=1.0, idle=0.3, total=5)
PAGE = Path(__file__).parents[2] / "docs" / "conformance" / "providers.md"

_cells: dict[tuple[str, str], str] = {}


def _pairs(cases: tuple[Any, ...]) -> list[Any]:
    return [
        pytest.param(adapter, case, id=f"{adapter.name}-{case.name}".replace(" ", "_"))
        for adapter in ADAPTERS
        for case in cases
        if case.applies(adapter.api)
    ]


@pytest.fixture(scope="module", autouse=True)
def page() -> Iterator[None]:
    """Write the table, once all its cells are known."""
    yield
    wanted = {
        (case.name, adapter.name)
        for adapter in ADAPTERS
        for case in (*FAULTS, *ODDITIES)
        if case.applies(adapter.api)
    }
    if wanted <= set(_cells):
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(_table(), encoding="utf-8")


@pytest.mark.parametrize(("adapter", "fault"), _pairs(FAULTS))
async def test_fault(adapter: Adapter, fault: Fault) -> None:
    async with WireServer(fault.make(adapter.dialect, QUOTED)) as server:
        async with connected(adapter, server.url) as client:
            stream = ask(client, IMPATIENT if fault.clock else PATIENT)
            with pytest.raises(ExecutionPlatformError) as caught:
                await stream
            error: Any = caught.value
            if fault.clock:
                assert await server.closed()
        assert await server.closed()
        assert len(server.requests) == 1
    assert error.kind == fault.kind_for(adapter.api), str(error)
    assert error.retryable is fault.retryable
    assert error.partial_text == fault.partial == stream.text
    assert stream.finish_reason is None
    assert (error.usage.prompt_tokens if error.usage else None) == _reported(adapter, fault)
    assert not error.usage_final
    assert error.provider
    assert error.sent
    if fault.wait is None:
        assert error.retry_after is None
    else:
        assert fault.wait[0] <= error.retry_after <= fault.wait[1]
    if fault.clock:
        assert error.which == fault.clock
    assert_keeps_secrets(error)
    _cells[fault.name, adapter.name] = _worded(error)


def _reported(adapter: Adapter, fault: Fault) -> int | None:
    """The prompt's tokens that the vendor had told by then; only Anthropic begins with them."""
    return PROMPT_TOKENS if fault.partial and adapter.api == "anthropic" else None


@pytest.mark.parametrize(("adapter", "oddity"), _pairs(ODDITIES))
async def test_oddity(adapter: Adapter, oddity: Oddity) -> None:
    reply = Reply.stream(oddity.make(adapter.dialect), oddity.end)
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        stream = ask(client)
        got: ChatReply = await stream
        assert got.text == oddity.text
        assert got.finish_reason == oddity.finish
        assert [(c.name, c.id) for c in got.tool_calls] == [(c.name, c.id) for c in oddity.calls]
        for call, wanted in zip(got.tool_calls, oddity.calls, strict=True):
            assert call.arguments == ({} if oddity.broken else json.loads(wanted.raw or "{}"))
            assert bool(call.arguments_error) is oddity.broken
            assert not oddity.broken or call.raw_arguments == wanted.raw
        if oddity.usage:
            assert got.usage is not None
            assert got.usage.prompt_tokens == PROMPT_TOKENS
            assert got.usage.completion_tokens == COMPLETION_TOKENS
        else:
            assert got.usage is None or not got.usage.completion_tokens
        assert len(server.requests) == 1
    _cells[oddity.name, adapter.name] = "answer"


@pytest.mark.parametrize("adapter", ALL)
async def test_cut_after_every_event(adapter: Adapter) -> None:
    script = adapter.dialect.answer()

    async def cut(count: int) -> None:
        reply = Reply.stream([b"".join(script.events[:count])])
        async with WireServer(reply) as server, connected(adapter, server.url) as client:
            stream = ask(client)
            if count >= script.whole_from:
                assert (await stream).text == TEXT
                return
            with pytest.raises(ProviderError) as caught:
                await stream
            assert caught.value.kind == "StreamInterrupted"
            assert caught.value.partial_text == script.text(count)

    for count in range(len(script.events) + 1):
        await cut(count)


@pytest.mark.parametrize("adapter", ALL)
async def test_text_arrives_while_the_vendor_writes(adapter: Adapter) -> None:
    events = adapter.dialect.answer().events
    first = next(n for n in range(len(events)) if adapter.dialect.answer().text(n + 1))
    reply = Reply.stream([*events[: first + 1], Stall()])
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        stream = ask(client)
        async with asyncio.timeout(30):
            async for chunk in stream:
                if chunk.delta_text:
                    break
        assert stream.text == PIECES[0]
        await stream.aclose()


@pytest.mark.parametrize("adapter", ALL)
async def test_complete_is_built_on_the_stream(adapter: Adapter) -> None:
    async with (
        WireServer(Reply.stream(adapter.dialect.answer().events)) as server,
        connected(adapter, server.url) as client,
    ):
        told = await client.complete(PROMPT, max_tokens=100)
        assert (told.content, told.finish_reason) == (TEXT, "stop")
        assert (told.input_tokens, told.output_tokens) == (PROMPT_TOKENS, COMPLETION_TOKENS)


@pytest.mark.parametrize("adapter", ALL)
async def test_complete_with_tools_gives_the_calls(adapter: Adapter) -> None:
    reply = Reply.stream(adapter.dialect.calls([Call()]).events)
    tool = {"name": "get_weather", "description": "Tell the weather", "parameters": []}
    async with WireServer(reply) as server, connected(adapter, server.url) as client:
        told = await client.complete_with_tools([Message("user", PROMPT)], tools=[tool])
        assert told.finish_reason == "tool_calls"
        assert told.tool_calls == [
            {"id": "call_1", "name": "get_weather", "arguments": {"location": "Oslo"}}
        ]


@pytest.mark.parametrize("adapter", ALL)
async def test_A20_timeout_is_the_builtin_and_the_platforms(adapter: Adapter) -> None:
    async with (
        WireServer(Reply((Stall(),), silent=True)) as server,
        connected(adapter, server.url) as client,
    ):
        started = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError) as caught:
            await client.chat(ChatRequest([Message("user", PROMPT)]), timeout=0.05)
        assert isinstance(caught.value, ExecutionPlatformError)
        assert asyncio.get_running_loop().time() - started < 1
        assert await server.closed()


def _worded(error: Any) -> str:
    words = [error.kind, "retry" if error.retryable else "final"]
    if error.kind == "Timeout":
        words.append(f"{error.which} clock")
    if error.retry_after is not None:
        words.append("wait kept")
    if error.partial_text:
        words.append("partial kept")
    return ", ".join(words)


def _table() -> str:
    names = [adapter.name for adapter in ADAPTERS]
    lines = [
        "# Providers under faults",
        "",
        "Written by `tests/providers/test_conformance.py`: each adapter against a server on",
        "loopback that breaks in the way of the row. In every row exactly one request was sent,",
        "and no error holds the key or the prompt. “answer”: text, calls, finish and usage as",
        "the vendor sent them. –: cannot happen with this API.",
        "",
        "| fault | " + " | ".join(names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for case in (*FAULTS, *ODDITIES):
        cells = [_cells.get((case.name, name), "–") for name in names]
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
