"""The OpenAI client as its callers see it, against a server on loopback."""

import asyncio
from typing import Any

import pytest

from providers.exceptions import AuthenticationFailed, InvalidRequest, ProviderError
from providers.keys import MalformedKey
from providers.openai_adapter import OpenAIClient
from providers.spi import (
    ChatRequest,
    LLMClient,
    Message,
    Resume,
    Timeouts,
    ToolDefinition,
)
from tests.wire.server import Reply, Request, Stall, WireServer
from tests.wire.streams import DIALECTS, TEXT, Call, sse

pytestmark = pytest.mark.integration

CHAT, RESPONSES = DIALECTS["openai_chat"], DIALECTS["openai_responses"]
APIS = [pytest.param(CHAT, "chat", id="chat"), pytest.param(RESPONSES, "responses", id="responses")]
PATIENT = Timeouts(60, 60, 60)
HI = ChatRequest([Message("user", "Hi")])
VARIABLES = ("EP_OPENAI_API_KEY", "OPENAI_API_KEY", "EP_OPENAI_BASE_URL", "OPENAI_BASE_URL")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def sent_by(client: LLMClient, server: WireServer, req: ChatRequest = HI) -> Request:
    await client.open(req, PATIENT)
    await client.aclose()
    return server.requests[-1]


def test_A9_without_a_key_the_error_names_the_variables() -> None:
    with pytest.raises(ProviderError) as caught:
        OpenAIClient("gpt-4")
    assert isinstance(caught.value, AuthenticationFailed)
    assert not caught.value.sent
    assert "EP_OPENAI_API_KEY or OPENAI_API_KEY" in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "sk-a b", "sk-abc\n", "sk-äbc", "sk-\x00"])
def test_a_key_that_cannot_be_one(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        OpenAIClient("gpt-4", api_key=key)
    assert isinstance(caught.value, MalformedKey)
    assert caught.value.kind == "AuthenticationFailed"
    assert not key.strip() or key not in str(caught.value)
    if key and "\x00" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ValueError, match="OPENAI_API_KEY"):
            OpenAIClient("gpt-4")


@pytest.mark.parametrize("url", ["localhost:80", "ftp://host", "http://", "nonsense"])
def test_an_address_that_cannot_be_one(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        OpenAIClient("gpt-4", api_key="k", base_url=url)


def test_an_unknown_api_and_background_on_chat() -> None:
    wrong: Any = "completions"
    with pytest.raises(ValueError, match="api"):
        OpenAIClient("gpt-4", api_key="k", api=wrong)
    with pytest.raises(ValueError, match="background"):
        OpenAIClient("gpt-4", api_key="k", api="chat", background=True)


@pytest.mark.parametrize(
    ("env", "key"),
    [
        ({"EP_OPENAI_API_KEY": "x", "OPENAI_API_KEY": "y"}, "x"),
        ({"EP_OPENAI_API_KEY": "x"}, "x"),
        ({"OPENAI_API_KEY": "y"}, "y"),
        ({"EP_OPENAI_API_KEY": "", "OPENAI_API_KEY": "y"}, "y"),
        ({}, "none"),
    ],
)
async def test_A10_which_key_is_sent(
    env: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any key a server on this machine is asked all the same."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    async with WireServer(Reply.stream([CHAT.answer().data])) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        request = await sent_by(OpenAIClient("gpt-4"), server)
    assert request.headers["authorization"] == f"Bearer {key}"
    assert request.path == "/v1/chat/completions"


async def test_EP_address_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async with WireServer(Reply.stream([CHAT.answer().data])) as server:
        monkeypatch.setenv("EP_OPENAI_BASE_URL", server.url + "/ep")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/other")
        request = await sent_by(OpenAIClient("gpt-4"), server)
    assert request.path == "/ep/chat/completions"


async def test_proxies_are_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with WireServer(Reply.stream([CHAT.answer().data])) as server:
        await sent_by(OpenAIClient("gpt-4", "k", server.url), server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("dialect", "api"), APIS)
async def test_A12_A15_what_is_on_the_wire(dialect: Any, api: Any) -> None:
    req = ChatRequest(
        [
            Message("system", "S1"),
            Message("user", "U1"),
            Message("assistant", "A1"),
            Message("user", "U2"),
        ],
        system="S0",
        max_tokens=50,
        temperature=0.5,
        model="gpt-4.1",
        tools=[ToolDefinition("f", "does f")],
    )
    async with WireServer(Reply.stream([dialect.answer().data])) as server:
        client = OpenAIClient("gpt-4", "k", server.url + "/v1", api=api)
        request = await sent_by(client, server, req)
    body = request.json
    assert body["model"] == "gpt-4.1"
    assert body["stream"] is True
    assert body["temperature"] == 0.5
    assert "top_p" not in body
    assert len(body["tools"]) == 1
    turns = [("user", "U1"), ("assistant", "A1"), ("user", "U2")]
    if api == "chat":
        assert [(m["role"], m["content"]) for m in body["messages"]] == [
            ("system", "S0\n\nS1"),
            *turns,
        ]
    else:
        assert body["instructions"] == "S0\n\nS1"
        assert [(m["role"], m["content"]) for m in body["input"]] == turns


@pytest.mark.parametrize(
    "fields", [{"temperature": 2.01}, {"temperature": -0.1}, {"top_p": 1.01}, {"max_tokens": 0}]
)
def test_A14_out_of_range_before_any_call(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ChatRequest([Message("user", "Hi")], **fields)


@pytest.mark.parametrize(("dialect", "api"), APIS)
async def test_A16_a_call_in_three_fragments_is_one_chunk(dialect: Any, api: Any) -> None:
    async with WireServer(Reply.stream(dialect.calls([Call()]).events)) as server:
        client = OpenAIClient("gpt-4", "k", server.url, api=api)
        chunks = [chunk async for chunk in client.open(HI, PATIENT)]
        await client.aclose()
    calls = [chunk.tool_call for chunk in chunks if chunk.tool_call]
    assert [(c.name, c.arguments) for c in calls] == [("get_weather", {"location": "Oslo"})]
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["tool_calls"]


@pytest.mark.parametrize(("dialect", "api"), APIS)
async def test_A18_stop_is_never_ignored(dialect: Any, api: Any) -> None:
    """The vendor writes on; the text ends before the sequence, and the connection is closed."""
    pieces = ["one ", "E", "N", "D two", " three"]
    events = [*dialect.answer(pieces).events[:-3], Stall()]
    req = ChatRequest([Message("user", "Hi")], stop=["END"])
    async with WireServer(Reply.stream(events)) as server:
        client = OpenAIClient("gpt-4", "k", server.url, api=api)
        reply = await client.open(req, PATIENT)
        assert reply.text == "one "
        assert reply.finish_reason == "stop"
        assert await server.closed()
        await client.aclose()


@pytest.mark.parametrize(("dialect", "api"), APIS)
async def test_notes_say_what_was_left_out(dialect: Any, api: Any) -> None:
    req = ChatRequest([Message("user", "Hi")], temperature=0.5)
    async with WireServer(Reply.stream([dialect.answer().data])) as server:
        client = OpenAIClient("o3", "k", server.url, api=api)
        reply = await client.open(req, PATIENT)
        await client.aclose()
    assert reply.notes == ("temperature left out: o3 is a reasoning model",)
    assert "temperature" not in server.requests[0].json


async def test_A20_a_clients_own_timeout() -> None:
    async with WireServer(Reply((Stall(),), silent=True)) as server:
        client = OpenAIClient("gpt-4", "k", server.url, timeout=0.05)
        with pytest.raises(TimeoutError):
            await client.chat(HI)
        await client.aclose()


async def test_A20_EP_TIMEOUT(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EP_TIMEOUT", "0.05")
    async with WireServer(Reply((Stall(),), silent=True)) as server:
        client = OpenAIClient("gpt-4", "k", server.url)
        with pytest.raises(TimeoutError, match=r"0\.05 seconds"):
            await client.chat(HI)
        await client.aclose()


async def test_refusals_are_a_finish_and_no_text() -> None:
    delta = {"index": 0, "delta": {"refusal": "I cannot."}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events = [sse({"id": "1", "choices": [c]}) for c in (delta, end)] + [sse("[DONE]")]
    async with WireServer(Reply.stream(events)) as server:
        client = OpenAIClient("gpt-4", "k", server.url)
        reply = await client.open(HI, PATIENT)
        await client.aclose()
    assert (reply.text, reply.finish_reason) == ("", "refusal")
    assert reply.vendor_state == {"vendor": "openai", "refusal": "I cannot."}


def _numbered(*kinds: tuple[str, dict[str, Any]], start: int = 0) -> list[bytes]:
    return [
        sse({"type": kind, "sequence_number": start + number, **fields}, kind)
        for number, (kind, fields) in enumerate(kinds)
    ]


async def test_a_broken_background_answer_is_resumed_where_it_broke() -> None:
    done = {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}}
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hello, world"}]}
    first = _numbered(
        ("response.created", {"response": {"id": "resp_1", "status": "in_progress"}}),
        ("response.output_text.delta", {"delta": "Hello, "}),
    )
    rest = _numbered(
        ("response.output_text.delta", {"delta": "world"}),
        ("response.completed", {"response": {**done, "output": [message]}}),
        start=2,
    )

    def reply(request: Request) -> Reply:
        if request.method == "POST":
            return Reply.stream(first, end="reset")
        return Reply.stream(rest)

    async with WireServer(reply) as server:
        client = OpenAIClient("gpt-5", "k", server.url, api="responses", background=True)
        stream = client.open(HI, PATIENT)
        with pytest.raises(ProviderError) as caught:
            await stream
        assert caught.value.kind == "StreamInterrupted"
        assert caught.value.response_id == stream.response_id == "resp_1"
        assert stream.sequence == 1
        resumed = [chunk async for chunk in client.resume(HI, "resp_1", stream.sequence)]
        await client.aclose()
    assert isinstance(client, Resume)
    assert server.requests[0].json["background"] is True
    assert server.requests[1].path.startswith("/responses/resp_1?")
    assert "starting_after=1" in server.requests[1].path
    assert "".join(c.delta_text or "" for c in resumed) == "world"
    assert resumed[-1].finish_reason == "stop"
    assert resumed[-1].usage is not None


async def test_what_is_not_kept_cannot_be_resumed() -> None:
    client = OpenAIClient("gpt-5", "k", "http://127.0.0.1:9", api="responses")
    with pytest.raises(InvalidRequest) as caught:
        _ = [chunk async for chunk in client.resume(HI, "resp_1", 0)]
    assert not caught.value.sent


async def test_first_token_clock_does_not_end_with_the_responses_id() -> None:
    """Reasoning models name the response at once, then think for longer than the idle clock."""
    created = ("response.created", {"response": {"id": "resp_1", "status": "in_progress"}})
    async with WireServer(Reply.stream([*_numbered(created), Stall()])) as server:
        client = OpenAIClient("gpt-5", "k", server.url, api="responses")
        with pytest.raises(TimeoutError) as caught:
            await client.open(HI, Timeouts(first_token=1.0, idle=0.01, total=10))
        error: Any = caught.value
        assert error.which == "first_token"
        assert error.response_id == "resp_1"
        await client.aclose()


async def test_closing_twice_and_calling_again() -> None:
    async with WireServer(Reply.stream([CHAT.answer().data])) as server:
        client = OpenAIClient("gpt-4", "k", server.url)
        for _ in range(2):
            assert (await client.open(HI, PATIENT)).text == TEXT
            await client.aclose()
            await client.aclose()
        assert await server.closed()


async def test_complete_is_built_on_the_stream() -> None:
    async with WireServer(Reply.stream([CHAT.answer().data])) as server:
        client = OpenAIClient("gpt-4", "k", server.url)
        async with asyncio.timeout(60):
            response = await client.complete("Hi", timeout=60)
        await client.aclose()
    assert (response.content, response.input_tokens, response.output_tokens) == (TEXT, 12, 5)
