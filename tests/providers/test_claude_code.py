"""The real Claude Code program against a server on this machine: what it really sends and does.

Every test starts a program of 200 MB; the matrix of all faults is therefore marked slow, and
writes a table of its own, docs/conformance/claude-agent.md. The suite of the other adapters does
not fit: there is one program per call, so that nothing of "150 streams on one client" or "streams
share a connection" applies.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("claude_agent_sdk", reason="needs the extra: uv sync --extra claude")

from providers import registry
from providers.capabilities import load_capabilities
from providers.claude_agent import ClaudeAgentClient
from providers.exceptions import ExecutionPlatformError
from providers.spi import ChatReply, ChatRequest, Message, Timeouts
from providers.tokens import count_tokens
from tests.providers.fake_claude import is_gone
from tests.providers.faults import FAULTS, ODDITIES, Fault, Oddity
from tests.wire.server import Reply, Request, Stall, WireServer
from tests.wire.streams import COMPLETION_TOKENS, DIALECTS, PROMPT_TOKENS, TEXT

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not registry.availability("claude_agent").ok, reason="no program 'claude' is installed"
    ),
]

KEY = "sk-ant-real-0123456789abcdef"
PAGE = Path(__file__).parents[2] / "docs" / "conformance" / "claude-agent.md"
HEAD = (
    "# Claude Code under faults",
    "",
    "Written by `tests/providers/test_claude_code.py` with the real program against a server on",
    "loopback. One request was sent where nothing else stands; no error holds the key or the",
    "prompt. The program passes on no headers: what a 429 says about waiting, retrying and spent",
    "quotas is lost. It takes streams without `event:` lines for empty ones, and a reset may",
    "overtake the text before it.",
    "",
    "| fault | claude_agent |",
    "| --- | --- |",
)
PROMPT = "What is the secret number of the lighthouse keeper's daughter?"
WIRE = DIALECTS["anthropic"]
ANSWER = Reply.stream([WIRE.answer().data])
HI = ChatRequest([Message("user", PROMPT)], max_tokens=100)
PATIENT = Timeouts(first_token=60, idle=60, total=60)
IDENTITY = "You are a Claude agent, built on Anthropic's Claude Agent SDK."


@contextlib.asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[ClaudeAgentClient]:
    options = {"model": "claude-sonnet-4-5", "api_key": KEY, **options}
    client = ClaudeAgentClient(base_url=url, **options)
    try:
        yield client
    finally:
        await client.aclose()


async def ask(reply: Reply, req: ChatRequest = HI, **options: Any) -> tuple[ChatReply, Request]:
    """The answer, and the one request that was made for it."""
    async with WireServer(reply) as server, connected(server.url, **options) as client:
        got = await client.open(req, PATIENT)
    (sent,) = server.requests
    return got, sent


async def test_the_conversation_is_sent_as_it_is() -> None:
    """A12; and neither is a file read that the prompt names, nor a command run."""
    turns = [
        Message("system", "S1 @/etc/hostname"),
        Message("user", "Read @/etc/passwd"),
        Message("user", "/cost"),
        Message("assistant", "A1 @/etc/hostname"),
        Message("user", "/cost"),
    ]
    got, sent = await ask(ANSWER, ChatRequest(turns, system="S0", max_tokens=9))
    assert (got.text, got.finish_reason) == (TEXT, "stop")
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (
        PROMPT_TOKENS,
        COMPLETION_TOKENS,
    )
    body = sent.json
    assert [(m["role"], [b["text"] for b in m["content"]]) for m in body["messages"]] == [
        ("user", ["Read @/etc/passwd", "/cost"]),
        ("assistant", ["A1 @/etc/hostname"]),
        ("user", ["/cost"]),
    ]
    assert body["system"] == [
        {"type": "text", "text": IDENTITY},
        {"type": "text", "text": "S0\n\nS1 @/etc/hostname"},
    ]
    assert (body["model"], body["max_tokens"], body["tools"]) == ("claude-sonnet-4-5", 9, [])
    assert "thinking" not in body
    assert sent.headers["x-api-key"] == KEY


async def test_thinking_and_caching_where_they_are_asked_for() -> None:
    request = replace(HI, reasoning_effort="low", cache_key="k")
    _, sent = await ask(ANSWER, request, model="claude-opus-4-8")
    assert sent.json["thinking"]["type"] == "adaptive"
    assert sent.json["output_config"] == {"effort": "low"}
    assert sent.json["messages"][-1]["content"][-1]["cache_control"]


async def test_no_thinking_and_no_effort_where_nothing_is_said() -> None:
    _, sent = await ask(ANSWER, model="claude-sonnet-5-5")
    assert not {"thinking", "output_config", "context_management"} & set(sent.json)
    assert "cache_control" not in sent.body.decode()


async def test_a_token_works_and_what_it_adds_stays_below_the_tables_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a key the program puts reminders of its own around the question."""
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-0123456789")
    keys = ("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    for name in (*keys, *proxies, *map(str.lower, proxies)):
        monkeypatch.delenv(name, raising=False)
    async with WireServer(ANSWER) as server:
        # This machine by a name that does not tell: one that does would need no login.
        url = server.url.replace("127.0.0.1", "0.0.0.0")
        async with connected(url, api_key=None) as client:
            got = await client.open(HI, PATIENT)
    (sent,) = server.requests
    assert got.text == TEXT
    assert sent.headers["authorization"] == "Bearer sk-ant-oat01-0123456789"
    added = sent.body.decode().replace(PROMPT, "")
    profile, known = load_capabilities().profile("claude_agent", "claude-sonnet-4-5")
    assert known
    assert profile is not None
    assert count_tokens(added) <= profile.overhead_tokens


@pytest.mark.parametrize("status", [401, 429])
async def test_a_refused_request_is_not_sent_again(status: int) -> None:
    reply = Reply.error(status, WIRE.error_body(status, "no"))
    async with WireServer(reply) as server, connected(server.url) as client:
        with pytest.raises(ExecutionPlatformError) as caught:
            await client.open(HI, PATIENT)
    error: Any = caught.value
    assert (error.kind, error.status) == (
        {401: "AuthenticationFailed", 429: "RateLimited"}[status],
        status,
    )
    assert len(server.requests) == 1


async def test_a_truncated_answer_is_not_asked_for_again() -> None:
    events = WIRE.answer().events
    reply = Reply.stream(events[:5])
    async with WireServer(reply) as server, connected(server.url) as client:
        with pytest.raises(ExecutionPlatformError) as caught:
            await client.open(HI, PATIENT)
        await asyncio.sleep(0.3)
    error: Any = caught.value
    assert (error.kind, error.retryable) == ("StreamInterrupted", True)
    assert error.partial_text == WIRE.answer().text(5) != ""
    assert len(server.requests) == 1


def ending(reason: str) -> Reply:
    """An answer with a stop reason of its own."""
    return Reply.stream([WIRE.answer().data.replace(b'"end_turn"', f'"{reason}"'.encode())])


@pytest.mark.parametrize(("reason", "finish"), [("max_tokens", "length"), ("refusal", "refusal")])
async def test_an_answer_that_stops_early_is_not_continued(reason: str, finish: str) -> None:
    got, _ = await ask(ending(reason))
    assert (got.text, got.finish_reason) == (TEXT, finish)
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (
        PROMPT_TOKENS,
        COMPLETION_TOKENS,
    )


# The process


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_the_program_sees_no_secret_and_talks_to_this_machine_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-secret")
    monkeypatch.setenv("CALLBOARD_TEST_SECRET", "sk-other-secret")
    remote: set[str] = set()
    reply = Reply.stream([*WIRE.answer().events[:5], Stall()])
    async with WireServer(reply) as server, connected(server.url) as client:
        stream = client.open(HI, PATIENT)
        task = asyncio.ensure_future(stream.collect())
        async with asyncio.timeout(30):
            while not stream.text:
                for pid in _programs():
                    remote |= _remote_addresses(pid)
                await asyncio.sleep(0.005)
        (pid,) = _programs()
        remote |= _remote_addresses(pid)
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
        left = asyncio.get_running_loop().time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() - left < 1
        assert await server.closed()
    assert is_gone(pid)
    assert b"secret" not in environ
    assert f"ANTHROPIC_API_KEY={KEY}".encode() in environ
    assert KEY.encode() not in arguments
    assert PROMPT.encode() not in arguments
    assert remote == {"127.0.0.1"}


def _programs() -> list[int]:
    """Our children that have become the program."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = []
    for pid in children:
        with contextlib.suppress(OSError):
            if "--output-format" in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(int(pid))
    return found


def _remote_addresses(pid: int) -> set[str]:
    """The addresses that a process has sockets to, loopback or not."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            target = os.readlink(link)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "udp", "tcp6", "udp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes:
                    found.add(_address(fields[2].split(":")[0]))
    return found - {"0.0.0.0", "::"}


def _address(words: str) -> str:
    """An address as the kernel's table writes it: words of four bytes in the machine's order."""
    parts = [int(words[i : i + 8], 16) for i in range(0, len(words), 8)]
    data = b"".join(struct.pack("=I", part) for part in parts)
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


# Every fault there is


_NO_WAIT = "the program keeps the wait to itself"
DIFFERENT: dict[str, dict[str, Any]] = {
    # The program asks for a model that is not there a second time, without streaming; it is free.
    "status 404": {"requests": 2},
    # It follows redirects: here to a port where nobody listens.
    "status 307": {"kind": "Unreachable", "retryable": True},
    # It passes on neither headers nor codes.
    "429, do not retry": {"retryable": True},
    "429, quota spent": {"retryable": True},
    # A reset overtakes what it has not read yet.
    "reset in mid-answer": {"partial": None},
    "closed in mid-answer": {"partial": None},
    "200, error as JSON": {"kind": "StreamInterrupted"},
}
"""How the program's errors differ from those of the API itself."""

_OWN_MEMORY = ("endless line", "500, endless page")
"""The program's own bounds, or none."""

_UNREAD = ("no event: lines", "reset after the end")
"""Whole streams that the program takes for broken ones."""


_ALL_FAULTS = [f for f in FAULTS if f.applies("anthropic") and f.name not in _OWN_MEMORY]
_ALL_ODDITIES = [o for o in ODDITIES if o.applies("anthropic") and o.name not in _UNREAD]
_cells: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def page() -> Iterator[None]:
    """Write the table, once all its cells are known."""
    yield
    cases = [case.name for case in (*_ALL_FAULTS, *_ALL_ODDITIES)]
    if set(cases) <= set(_cells):
        rows = [f"| {name} | {_cells[name]} |" for name in cases]
        PAGE.write_text("\n".join([*HEAD, *rows]) + "\n", encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [pytest.param(f, id=f.name.replace(" ", "_")) for f in _ALL_FAULTS]
)
async def test_fault(fault: Fault) -> None:
    different = DIFFERENT.get(fault.name, {})
    clocks = Timeouts(first_token=8, idle=1, total=20) if fault.clock else PATIENT
    reply = fault.make(WIRE, f"{PROMPT} {KEY}")
    async with WireServer(reply) as server, connected(server.url) as client:
        stream = client.open(HI, clocks)
        with pytest.raises(ExecutionPlatformError) as caught:
            await stream
        await server.closed()
    error: Any = caught.value
    assert error.kind == different.get("kind", fault.kind_for("anthropic")), str(error)
    assert error.retryable is different.get("retryable", fault.retryable)
    partial = different.get("partial", fault.partial)
    assert error.partial_text == stream.text
    assert partial in (None, error.partial_text)
    assert error.retry_after is None, _NO_WAIT
    assert len(server.requests) == different.get("requests", 1)
    shown = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert KEY not in shown
    assert PROMPT not in shown
    _cells[fault.name] = _worded(error, len(server.requests))


@pytest.mark.slow
@pytest.mark.parametrize(
    "oddity", [pytest.param(o, id=o.name.replace(" ", "_")) for o in _ALL_ODDITIES]
)
async def test_oddity(oddity: Oddity) -> None:
    got, _ = await ask(Reply.stream(oddity.make(WIRE), oddity.end))
    assert (got.text, got.finish_reason) == (oddity.text, oddity.finish)
    assert [(c.name, c.id) for c in got.tool_calls] == [(c.name, c.id) for c in oddity.calls]
    if oddity.usage:
        assert got.usage is not None
        assert got.usage.prompt_tokens == PROMPT_TOKENS
        assert got.usage.completion_tokens == COMPLETION_TOKENS
    _cells[oddity.name] = "answer"


def _worded(error: Any, requests: int) -> str:
    words = [error.kind, "retry" if error.retryable else "final"]
    if error.kind == "Timeout":
        words.append(f"{error.which} clock")
    if error.partial_text:
        words.append("partial kept")
    if requests > 1:
        words.append(f"{requests} requests")
    return ", ".join(words)
