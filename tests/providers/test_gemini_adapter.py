"""GeminiClient over a socket: what it sends, and what it is beside a stream of text."""

import json
import subprocess
import sys
from typing import Any

import pytest

from contracts.parts import FileRefPart
from providers.exceptions import (
    AuthenticationFailed,
    InvalidRequest,
    ServerFailed,
    StreamInterrupted,
)
from providers.gemini_adapter import GeminiClient
from providers.spi import (
    Caching,
    ChatReply,
    ChatRequest,
    Generation,
    Message,
    TokenCounting,
    ToolCall,
    ToolDefinition,
    Uploads,
)
from tests.wire.server import Reply, Request, WireServer
from tests.wire.streams import DIALECTS, Call, sse

pytestmark = pytest.mark.integration

KEY = "AIza-test-0123456789"
WIRE = DIALECTS["gemini"]
ANSWER = Reply.stream([WIRE.answer().data])
HI = ChatRequest([Message("user", "Hi")])


def answers(body: Any, **headers: str) -> Reply:
    return Reply((json.dumps(body).encode(),), 200, {"content-type": "application/json", **headers})


async def ask(reply: Reply, req: ChatRequest, **options: Any) -> tuple[ChatReply, Request]:
    """The reply, and the one request that was made for it."""
    options.setdefault("api_key", KEY)
    async with WireServer(reply) as server:
        client = GeminiClient(base_url=server.url, **options)
        try:
            got = await client.chat(req)
        finally:
            await client.aclose()
    (sent,) = server.requests
    return got, sent


async def test_what_is_sent() -> None:
    request = ChatRequest(
        [Message("system", "S1"), Message("user", "Grüße")],
        system="S0",
        max_tokens=9,
        temperature=2.0,
    )
    got, sent = await ask(ANSWER, request, model="gemini-2.5-flash")
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert (sent.method, sent.path) == ("POST", path)
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.json == {
        "systemInstruction": {"parts": [{"text": "S0"}, {"text": "S1"}]},
        "contents": [{"role": "user", "parts": [{"text": "Grüße"}]}],
        "generationConfig": {"maxOutputTokens": 9, "temperature": 2.0},
    }
    assert got.finish_reason == "stop"


async def test_the_requests_model_outranks_the_clients() -> None:
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Hi")], model="gemini-3-flash"))
    assert "/models/gemini-3-flash:" in sent.path


async def test_arguments_reach_the_wire_with_their_own_keys() -> None:
    """The SDK renames what looks like its own fields; a tool's arguments are not its own."""
    arguments = {"text": "t", "max_output_tokens": 1, "parts": [{"role": "x", "Text": 2}]}
    schema = {"type": "object", "properties": {"file_data": {"type": "string"}}}
    call = ToolCall("c", "f", arguments)
    turns = [
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", '{"function_call": 1}', tool_call_id="c"),
    ]
    _, sent = await ask(ANSWER, ChatRequest(turns, tools=[ToolDefinition("f", "", schema=schema)]))
    first, second = sent.json["contents"]
    assert first["parts"][0]["functionCall"]["args"] == arguments
    assert second["parts"][0]["functionResponse"]["response"] == {"result": '{"function_call": 1}'}
    (tool,) = sent.json["tools"][0]["functionDeclarations"]
    assert tool["parametersJsonSchema"] == schema


async def test_what_was_left_out_is_told_with_the_answer() -> None:
    request = ChatRequest([Message("user", "Hi")], reasoning_effort="high")
    got, _ = await ask(ANSWER, request, model="gemini-2.0-flash")
    assert got.notes == ("reasoning settings were left out: the model does not think",)


async def test_A16_a_call_and_its_result_go_round() -> None:
    fragments = ('{"loc', 'ation": "Ro', 'me"}')
    reply = Reply.stream([WIRE.calls([Call("fs.read", fragments, "c1")]).data])
    tools = [ToolDefinition("fs.read")]
    got, _ = await ask(reply, ChatRequest([Message("user", "Go")], tools=tools))
    assert [(c.name, c.arguments) for c in got.tool_calls] == [("fs.read", {"location": "Rome"})]
    assert got.finish_reason == "tool_calls"
    result = Message("tool", "ok", tool_call_id="c1")
    turns = [Message("user", "Go"), got.message, result]
    _, again = await ask(ANSWER, ChatRequest(turns, tools=tools))
    call, answer = (turn["parts"][0] for turn in again.json["contents"][1:])
    assert call["functionCall"] == {"id": "c1", "name": "fs.read", "args": {"location": "Rome"}}
    assert (answer["functionResponse"]["id"], answer["functionResponse"]["name"]) == (
        "c1",
        "fs.read",
    )


async def test_no_continuation_and_no_function_is_called_behind_our_back() -> None:
    ending = {
        "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "CONTINUATION"}],
        "continuationToken": "abc",
    }
    got, _ = await ask(Reply.stream([sse(ending)]), HI)
    assert (got.text, got.finish_reason) == ("a", "pause")


async def test_a_call_that_the_model_made_wrongly_keeps_its_usage() -> None:
    ending = {
        "candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}],
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 9, "candidatesTokenCount": 5},
    }
    with pytest.raises(ServerFailed) as caught:
        await ask(Reply.stream([sse(ending)]), HI)
    assert caught.value.retryable
    assert caught.value.usage_final
    assert caught.value.usage is not None
    assert caught.value.usage.total_tokens == 9


@pytest.mark.parametrize("model", ["../admin", "models/a?b=c"])
async def test_a_model_name_that_is_none_is_refused_unsent(model: str) -> None:
    async with WireServer(ANSWER) as server:
        client = GeminiClient(model, api_key=KEY, base_url=server.url)
        with pytest.raises(InvalidRequest) as caught:
            await client.chat(HI)
        await client.aclose()
    assert not caught.value.sent
    assert server.requests == []


# Keys and addresses

VARIABLES = ("EP_GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


def test_A10_without_a_key_the_error_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationFailed) as caught:
        GeminiClient()
    assert all(name in str(caught.value) for name in VARIABLES)
    assert not caught.value.sent


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_A10_the_order_of_keys_and_addresses(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in VARIABLES[first:]:
        monkeypatch.setenv(name, f"key-of-{name}")
    async with WireServer(ANSWER) as server:
        monkeypatch.setenv("EP_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
        client = GeminiClient()
        await client.chat(HI)
        await client.aclose()
    assert server.requests[0].headers["x-goog-api-key"] == f"key-of-{VARIABLES[first]}"


async def test_the_environment_of_the_sdk_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_API_VERSION": "v9",
        "GOOGLE_CLOUD_PROJECT": "p",
        "GOOGLE_CLOUD_LOCATION": "l",
        "GOOGLE_API_KEY": "another-key",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    _, sent = await ask(ANSWER, HI)
    assert sent.path.startswith("/v1beta/models/")
    assert sent.headers["x-goog-api-key"] == KEY


def test_the_sdk_is_imported_with_the_first_client_only() -> None:
    code = (
        "import sys, providers.gemini_adapter as a;"
        "assert 'google.genai' not in sys.modules;"
        "a.GeminiClient(api_key='k');"
        "assert 'google.genai' in sys.modules;"
        "assert not {'openai', 'anthropic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Beside generation


def test_capabilities() -> None:
    client = GeminiClient(api_key=KEY)
    assert isinstance(client, Generation)
    assert isinstance(client, TokenCounting)
    assert isinstance(client, Uploads)
    assert isinstance(client, Caching)


async def test_tokens_are_counted_of_the_whole_prompt() -> None:
    async with WireServer(answers({"totalTokens": 14})) as server:
        client = GeminiClient("gemini-2.5-flash", api_key=KEY, base_url=server.url)
        assert await client.count_tokens(ChatRequest([Message("user", "Hi")], system="S")) == 14
        await client.aclose()
    (sent,) = server.requests
    assert sent.path == "/v1beta/models/gemini-2.5-flash:countTokens"
    assert sent.json["generateContentRequest"] == {
        "model": "models/gemini-2.5-flash",
        "systemInstruction": {"parts": [{"text": "S"}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    assert sent.json["contents"] == []


@pytest.mark.parametrize("body", [{}, [], "text"])
async def test_a_count_that_is_none_is_an_error(body: Any) -> None:
    async with WireServer(answers(body)) as server:
        client = GeminiClient(api_key=KEY, base_url=server.url)
        with pytest.raises(StreamInterrupted):
            await client.count_tokens(HI)
        await client.aclose()


class Files:
    """Google's resumable upload, with a file that takes a moment to be ready."""

    def __init__(self) -> None:
        self.url = ""
        self.polls = 0

    def __call__(self, request: Request) -> Reply:
        file = {"name": "files/abc", "uri": "https://g.test/v1beta/files/abc"}
        if request.method == "DELETE":
            return Reply.error(403, WIRE.error_body(403, "it may not exist"))
        if request.method == "GET":
            self.polls += 1
            return answers({**file, "state": "ACTIVE"})
        if request.headers["x-goog-upload-command"] == "start":
            return answers({}, **{"x-goog-upload-url": f"{self.url}/the-upload"})
        final = {"x-goog-upload-status": "final"}
        return answers({"file": {**file, "state": "PROCESSING"}}, **final)


async def test_a_file_is_uploaded_named_in_a_request_and_deleted() -> None:
    files = Files()
    async with WireServer(files) as server:
        files.url = server.url
        client = GeminiClient(api_key=KEY, base_url=server.url)
        uri = await client.upload(b"the bytes", "text/plain", "a.txt")
        await client.delete_upload(uri)
        await client.aclose()
    assert uri == "https://g.test/v1beta/files/abc"
    assert files.polls == 1
    begin, upload, _, delete = server.requests
    assert begin.path == "/upload/v1beta/files"
    assert upload.body == b"the bytes"
    assert (delete.method, delete.path) == ("DELETE", "/v1beta/files/abc")
    part = FileRefPart(uri=uri, mime_type="text/plain")
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Read", parts=(part,))]))
    data = {"mimeType": "text/plain", "fileUri": uri}
    assert sent.json["contents"][0]["parts"][0] == {"fileData": data}


async def test_a_cache_is_made_used_and_deleted() -> None:
    async with WireServer(answers({"name": "cachedContents/abc"})) as server:
        client = GeminiClient("gemini-2.5-flash", api_key=KEY, base_url=server.url)
        request = ChatRequest([Message("user", "The book")], system="S")
        name = await client.create_cache(request, ttl_s=300)
        await client.delete_cache(name)
        await client.aclose()
    create, delete = server.requests
    assert name == "cachedContents/abc"
    assert create.path == "/v1beta/cachedContents"
    assert create.json == {
        "model": "models/gemini-2.5-flash",
        "ttl": "300s",
        "systemInstruction": {"parts": [{"text": "S"}]},
        "contents": [{"role": "user", "parts": [{"text": "The book"}]}],
    }
    assert (delete.method, delete.path) == ("DELETE", "/v1beta/cachedContents/abc")
    _, sent = await ask(ANSWER, ChatRequest([Message("user", "Sum up")], cache_key=name))
    assert sent.json["cachedContent"] == name


async def test_what_is_no_cache_is_not_deleted() -> None:
    client = GeminiClient(api_key=KEY)
    with pytest.raises(InvalidRequest) as caught:
        await client.delete_cache("files/abc")
    assert not caught.value.sent
