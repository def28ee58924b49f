"""AnthropicClient over a socket: what it sends, and what it is beside a stream of text."""

import json
import subprocess
import sys
from typing import Any

import pytest

from contracts.parts import FileRefPart
from providers.anthropic_adapter import AnthropicClient
from providers.exceptions import (
    AuthenticationFailed,
    InvalidRequest,
    ProviderError,
    StreamInterrupted,
)
from providers.spi import (
    Caching,
    ChatReply,
    ChatRequest,
    Generation,
    Message,
    TokenCounting,
    ToolDefinition,
    Uploads,
)
from tests.wire.server import Reply, Request, WireServer
from tests.wire.streams import DIALECTS, Call

pytestmark = pytest.mark.integration

KEY = "sk-ant-test-0123456789"
WIRE = DIALECTS["anthropic"]
ANSWER = Reply.stream([WIRE.answer().data])
HI = ChatRequest([Message("user", "Hi")])


def answers(body: Any) -> Reply:
    return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json"})


async def ask(reply: Reply, req: ChatRequest, **options: Any) -> tuple[ChatReply, Request]:
    """The reply, and the one request that was made for it."""
    options.setdefault("api_key", KEY)
    async with WireServer(reply) as server:
        client = AnthropicClient(base_url=server.url, **options)
        try:
            got = await client.chat(req)
        finally:
            await client.aclose()
    (sent,) = server.requests
    return got, sent


async def test_what_is_sent() -> None:
    request = ChatRequest(
        [Message("system", "S1"), Message("user", "U1")], system="S0", max_tokens=9, stop=["END"]
    )
    got, sent = await ask(ANSWER, request)
    assert (sent.method, sent.path) == ("POST", "/v1/messages")
    assert KEY in (sent.headers.get("authorization", "") + sent.headers.get("x-api-key", ""))
    assert sent.json == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "S0"}, {"type": "text", "text": "S1"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "U1"}]}],
        "stop_sequences": ["END"],
        "stream": True,
    }
    assert got.finish_reason == "stop"


async def test_the_requests_model_outranks_the_clients() -> None:
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Hi")], model="claude-opus-4-8"))
    assert sent.json["model"] == "claude-opus-4-8"


async def test_sampling_reaches_the_wire() -> None:
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Hi")], temperature=0.25))
    assert sent.json["temperature"] == 0.25


async def test_what_was_left_out_is_told_with_the_answer() -> None:
    got, sent = await ask(
        ANSWER, ChatRequest([Message("user", "Hi")], temperature=0.2), model="claude-opus-5"
    )
    assert "temperature" not in sent.json
    assert got.notes == ("temperature left out: the model takes no sampling settings",)


async def test_A14_a_temperature_that_claude_has_not_is_refused_unsent() -> None:
    async with WireServer(ANSWER) as server:
        client = AnthropicClient(api_key=KEY, base_url=server.url)
        with pytest.raises(InvalidRequest, match="temperature"):
            await client.chat(ChatRequest([Message("user", "Hi")], temperature=2.0))
        await client.aclose()
        assert server.requests == []


async def test_A16_a_call_and_its_result_go_round() -> None:
    fragments = ('{"loc', 'ation": "Ro', 'me"}')
    reply = Reply.stream([WIRE.calls([Call("fs_read", fragments, "toolu_1")]).data])
    tools = [ToolDefinition("fs.read")]
    got, sent = await ask(reply, ChatRequest([Message("user", "Go")], tools=tools))
    assert sent.json["tools"][0]["name"] == "fs_read"
    assert [(c.name, c.arguments) for c in got.tool_calls] == [("fs.read", {"location": "Rome"})]
    assert got.finish_reason == "tool_calls"
    result = Message("tool", "ok", tool_call_id=got.tool_calls[0].id)
    turns = [Message("user", "Go"), got.message, result]
    _, again = await ask(ANSWER, ChatRequest(turns, tools=tools))
    call, answer = again.json["messages"][1]["content"][0], again.json["messages"][2]["content"][0]
    assert (call["name"], call["input"]) == ("fs_read", {"location": "Rome"})
    assert call["id"] == answer["tool_use_id"]


async def test_a_schema_goes_out_as_the_api_wants_it() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Hi")], response_schema=schema))
    wire = sent.json["output_config"]["format"]
    assert wire["type"] == "json_schema"
    assert wire["schema"]["additionalProperties"] is False
    assert "minimum" not in wire["schema"]["properties"]["n"]


async def test_stop_sequences_that_claude_has_not_are_cut_here() -> None:
    script = WIRE.answer(("one\n", "\ntwo"))
    got, sent = await ask(
        Reply.stream([script.data]), ChatRequest([Message("user", "Hi")], stop=["\n\n"])
    )
    assert "stop_sequences" not in sent.json
    assert (got.text, got.finish_reason) == ("one", "stop")


# Keys and addresses


def test_A10_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EP_ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(AuthenticationFailed) as caught:
        AnthropicClient()
    assert "EP_ANTHROPIC_API_KEY" in str(caught.value)
    assert "ANTHROPIC_API_KEY" in str(caught.value)
    assert not caught.value.sent


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"EP_ANTHROPIC_API_KEY": "key-ep", "ANTHROPIC_API_KEY": "key-own"}, "key-ep"),
        ({"ANTHROPIC_API_KEY": "key-own"}, "key-own"),
        ({"EP_ANTHROPIC_API_KEY": "key-ep"}, "key-ep"),
    ],
)
async def test_A10_the_platforms_key_and_address_outrank_the_vendors(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: str
) -> None:
    for name in ("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    async with WireServer(ANSWER) as server:
        monkeypatch.setenv("EP_ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        client = AnthropicClient()
        await client.chat(HI)
        await client.aclose()
    assert expected in server.requests[0].headers["authorization"]


async def test_the_environment_of_the_sdk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another-token")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    _, sent = await ask(ANSWER, HI)
    assert "another-token" not in str(sent.headers)


def test_the_sdk_is_imported_with_the_first_client_only() -> None:
    code = (
        "import sys, providers.anthropic_adapter as a;"
        "assert 'anthropic' not in sys.modules;"
        "a.AnthropicClient(api_key='k');"
        "assert 'anthropic' in sys.modules;"
        "assert not {'openai', 'google.genai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Beside generation


def test_capabilities() -> None:
    client = AnthropicClient(api_key=KEY)
    assert isinstance(client, Generation)
    assert isinstance(client, TokenCounting)
    assert isinstance(client, Uploads)


async def test_a_cache_is_a_name_for_a_prefix_that_is_sent_again() -> None:
    client = AnthropicClient(api_key=KEY)
    assert isinstance(client, Caching)
    assert client.resends_prefix
    book = ChatRequest([Message("user", "The book")], system="S")
    name = await client.create_cache(book, 300)
    assert name == await client.create_cache(book, 60)
    assert name != await client.create_cache(HI, 300)
    await client.delete_cache(name)


async def test_tokens_are_counted_of_the_same_prompt() -> None:
    async with WireServer(answers({"input_tokens": 14})) as server:
        client = AnthropicClient(api_key=KEY, base_url=server.url)
        request = ChatRequest([Message("user", "Hi")], system="S", temperature=0.5, max_tokens=5)
        assert await client.count_tokens(request) == 14
        await client.aclose()
    (sent,) = server.requests
    assert sent.path == "/v1/messages/count_tokens"
    assert sent.json.keys() == {"model", "messages", "system"}


async def test_a_count_that_is_none_is_an_error() -> None:
    async with WireServer(answers({"nonsense": True})) as server:
        client = AnthropicClient(api_key=KEY, base_url=server.url)
        with pytest.raises(StreamInterrupted, match="input_tokens"):
            await client.count_tokens(HI)
        await client.aclose()


def files(request: Request) -> Reply:
    if request.method == "DELETE":
        return Reply.error(404, WIRE.error_body(404, "file not found"))
    return answers({"id": "file_01", "type": "file", "filename": "a.txt", "size_bytes": 1})


async def test_a_file_is_uploaded_named_in_a_request_and_deleted() -> None:
    async with WireServer(files) as server:
        client = AnthropicClient(api_key=KEY, base_url=server.url)
        uri = await client.upload(b"the bytes", "text/plain", "a.txt")
        await client.delete_upload(uri)
        await client.aclose()
    upload, delete = server.requests
    assert uri == "file_01"
    assert (upload.method, upload.path) == ("POST", "/v1/files")
    assert b"the bytes" in upload.body
    assert b'filename="a.txt"' in upload.body
    assert (delete.method, delete.path) == ("DELETE", "/v1/files/file_01")
    part = FileRefPart(uri=uri, mime_type="text/plain")
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Read", parts=(part,))]))
    source = sent.json["messages"][0]["content"][0]["source"]
    assert source == {"type": "file", "file_id": "file_01"}


async def test_an_upload_that_fails_is_not_tried_again() -> None:
    async with WireServer(Reply.error(529, WIRE.error_body(529, "Overloaded"))) as server:
        client = AnthropicClient(api_key=KEY, base_url=server.url)
        with pytest.raises(ProviderError) as caught:
            await client.upload(b"x", "text/plain", "a.txt")
        await client.aclose()
    assert caught.value.kind == "Overloaded"
    assert len(server.requests) == 1
