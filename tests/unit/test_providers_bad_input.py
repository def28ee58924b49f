"""Bad input is refused before any connection, by an error that names the field and its value."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from contracts.messages import ChatChunk
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers import registry
from providers.exceptions import InvalidRequest, RouterError, Unavailable
from providers.spi import (
    ChatRequest,
    LLMClient,
    Message,
    Timeouts,
    ToolCall,
    ToolDefinition,
    ToolParameter,
)

pytestmark = pytest.mark.unit

HELLO = Message("user", "Hello")
SECRET = "The launch code is 0000, tell nobody."


class Recorder(LLMClient):
    """Counts the requests that would have gone out."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    async def stream(self, req: ChatRequest):
        self.requests.append(req)
        yield ChatChunk(delta_text="fine", finish_reason="stop")


def request(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"messages": [HELLO], **fields})


def refused(make: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as caught:
        make()
    assert SECRET not in str(caught.value)
    return str(caught.value)


FIELDS: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: request(temperature=2.01), "temperature", "2.01"),
    (lambda: request(temperature=-0.1), "temperature", "-0.1"),
    (lambda: request(temperature=float("nan")), "temperature", "nan"),
    (lambda: ChatRequest([HELLO], 10, 3.0), "temperature", "3.0"),
    (lambda: request(top_p=1.01), "top_p", "1.01"),
    (lambda: request(top_p=-1), "top_p", "-1"),
    (lambda: request(max_tokens=0), "max_tokens", "0"),
    (lambda: ChatRequest([HELLO], 0), "max_tokens", "0"),
    (lambda: request(max_tokens=1.5), "max_tokens", "1.5"),
    (lambda: request(thinking_budget=-1), "thinking_budget", "-1"),
    (lambda: request(reasoning_effort="huge"), "reasoning_effort", "'huge'"),
    (lambda: request(messages=[]), "messages", "0"),
    (lambda: ChatRequest([]), "messages", "0"),
    (lambda: ChatRequest(None), "messages", "None"),  # type: ignore[arg-type]
    (lambda: ChatRequest(SECRET), "messages", "str"),  # type: ignore[arg-type]
    (lambda: request(stop=[""]), "stop", "empty"),
    (lambda: request(max_token=5), "max_token", "max_tokens"),
    (lambda: Message("robot", SECRET), "role", "'robot'"),  # type: ignore[arg-type]
    (lambda: Message(SECRET, "user"), "role", "str"),  # type: ignore[arg-type]
    (lambda: Message("user", None), "content", "None"),  # type: ignore[arg-type]
    (lambda: Message("user", [SECRET]), "content", "list"),  # type: ignore[arg-type]
    (lambda: Message(role="user"), "content", "required"),  # type: ignore[call-arg]
    (lambda: Message("user", SECRET, role="user"), "role", "multiple"),  # type: ignore[misc]
    (lambda: ChatRequest([{"role": "robot", "content": SECRET}]), "messages.0.role", "'robot'"),  # type: ignore[list-item]
    (lambda: ToolDefinition(""), "name", "''"),
    (lambda: ToolDefinition("no/slashes"), "name", "'no/slashes'"),
    (lambda: ToolParameter("x", "text"), "type", "'text'"),  # type: ignore[arg-type]
    (lambda: ToolParameter("", "string"), "name", "at least 1"),
    (lambda: request(temperature="hot"), "temperature", "'hot'"),
    (lambda: request(temperature=SECRET), "temperature", "str"),
    (
        lambda: ToolDefinition("f", "", [{"name": "x", "type": "strin"}]),
        "parameters.0.type",
        "'strin'",
    ),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("make", "field", "value"), FIELDS)
def test_A14_a_wrong_value_is_told_with_its_field(
    make: Callable[[], Any], field: str, value: str
) -> None:
    text = refused(make)
    assert field in text.split("\n")[1]
    assert value in text


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 0}, {"temperature": 2.0}, {"top_p": 0}, {"top_p": 1.0}, {"max_tokens": 1}],
)
def test_A14_the_ends_of_the_ranges_are_fine(fields: dict[str, float]) -> None:
    request(**fields)


HALF, NAN = "\ud83d", float("nan")
CALL = Message("assistant", "", tool_calls=(ToolCall("c1", "clock"),))
CLOCK = ToolDefinition("clock")
NESTED = {"type": "object", "properties": {"a": {"type": "strng"}}}

WHOLE: list[tuple[ChatRequest, str, str]] = [
    (request(messages=[Message("user", " \n")]), "messages", "nothing to send"),
    (request(messages=[HELLO, Message("user", "a\ud83d")]), "messages.1.content", "position 1"),
    (request(system="\udc4b"), "system", "U+DC4B"),
    (request(stop=["ok", "\ud83d"]), "stop.1", "U+D83D"),
    (
        request(messages=[Message("user", "", parts=(TextPart(text="\ud83d"),))]),
        "messages.0.parts.0.text",
        "U+D83D",
    ),
    (
        request(
            messages=[Message("assistant", "", tool_calls=(ToolCall("c1", "f", {"a": HALF}),))]
        ),
        "messages.0.tool_calls.0",
        "UnicodeEncodeError",
    ),
    (
        request(messages=[Message("assistant", "", tool_calls=(ToolCall("c1", "f", {"a": NAN}),))]),
        "messages.0.tool_calls.0",
        "not JSON",
    ),
    (request(response_schema={"const": NAN}), "response_schema", "not JSON"),
    (request(model="gpt 5"), "model", "white space"),
    (request(model=""), "model", "empty"),
    (request(response_schema={"type": "objekt"}), "response_schema", "'objekt'"),
    (request(response_schema=NESTED), "response_schema", "properties.a.type must not be 'strng'"),
    (request(response_schema={"required": "a"}), "response_schema", "required must not be 'a'"),
    (request(response_schema={"enum": {1, 2}}), "response_schema", "not JSON"),
    (request(tools=[ToolDefinition("f", schema=NESTED)]), "tools.0 (f)", "'strng'"),
    (request(tools=[ToolDefinition("f", schema={"type": "array"})]), "tools.0 (f)", "'array'"),
    (request(tools=[CLOCK, CLOCK]), "tools.1 (clock)", "same name"),
    (
        request(tools=[ToolDefinition("f", "", [ToolParameter("a", "string")] * 2)]),
        "tools.0 (f)",
        "'a'",
    ),
    (request(tool_choice="required"), "tool_choice", "'required'"),
    (request(tools=[CLOCK], tool_choice="watch"), "tool_choice", "'watch'"),
    (request(messages=[HELLO, Message("tool", SECRET)]), "messages.1", "tool_call_id"),
    (
        request(messages=[HELLO, Message("tool", SECRET, tool_call_id="c1")]),
        "messages.1",
        "Pass all previous messages",
    ),
    (
        request(messages=[Message("tool", SECRET, tool_call_id="c1"), CALL]),
        "messages.0",
        "'c1'",
    ),
]


@pytest.mark.parametrize(("req", "field", "value"), WHOLE)
async def test_what_nobody_can_serve_is_refused_before_the_connection(
    req: ChatRequest, field: str, value: str
) -> None:
    client = Recorder()
    with pytest.raises(ValueError) as caught:
        await client.chat(req)
    error = caught.value
    assert isinstance(error, InvalidRequest)
    assert (error.kind, error.sent, error.retryable) == ("InvalidRequest", False, False)
    assert str(error).startswith(field)
    assert value in str(error)
    assert SECRET not in str(error)
    assert client.requests == []


@pytest.mark.parametrize(
    "req",
    [
        request(messages=[HELLO, CALL, Message("tool", "noon", tool_call_id="c1")]),
        request(
            messages=[Message("tool", "noon", tool_call_id="c0")], cache_key="cachedContents/1"
        ),
        request(messages=[Message("user", "")], system="Say hello."),
        request(messages=[Message("user", "", parts=(TextPart(text="Hello"),))]),
        request(tools=[CLOCK], tool_choice="clock"),
        request(tools=[CLOCK], tool_choice="required"),
        request(tool_choice="auto"),
        request(response_schema={"$schema": "https://example.org/own", "type": "object"}),
        request(response_schema={"type": "array", "items": {"$ref": "#/$defs/x"}}),
        request(model="my-server/unknown-model-7"),
    ],
)
async def test_what_somebody_can_serve_is_sent(req: ChatRequest) -> None:
    client = Recorder()
    assert (await client.chat(req)).text == "fine"
    assert client.requests == [req]


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "soon"])
def test_a_timeout_is_a_positive_number(value: Any) -> None:
    text = refused(lambda: Recorder().chat(request(), timeout=value))
    assert text.startswith("timeout must be")
    assert str(value) in text


@pytest.mark.parametrize("value", ["0", "-3", "five", "nan"])
def test_EP_TIMEOUT_is_named_when_it_is_no_number(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EP_TIMEOUT", value)
    text = refused(lambda: Timeouts.of(None))
    assert "EP_TIMEOUT" in text
    assert value in text


def test_the_clocks_of_a_call_default_to_300_120_and_60_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EP_TIMEOUT", raising=False)
    assert Timeouts.of(None) == Timeouts(first_token=120, idle=60, total=300)
    monkeypatch.setenv("EP_TIMEOUT", "30")
    assert Timeouts.of(None) == Timeouts(first_token=30, idle=30, total=30)


BAD_KEYS = [("", "empty"), ("sk- 123456", "white space"), ("sk-123456\n", "white space")]
ADAPTERS = [
    ("openai", "providers.openai_adapter", "OpenAIClient"),
    ("anthropic", "providers.anthropic_adapter", "AnthropicClient"),
    ("gemini", "providers.gemini_adapter", "GeminiClient"),
]


@pytest.mark.parametrize(("key", "problem"), BAD_KEYS)
@pytest.mark.parametrize(("provider", "module", "name"), ADAPTERS)
def test_a_key_that_cannot_be_one_is_refused_unshown(
    provider: str, module: str, name: str, key: str, problem: str
) -> None:
    adapter = getattr(__import__(module, fromlist=[name]), name)
    text = refused(lambda: adapter("some-model", api_key=key))
    assert provider in text
    assert "api_key" in text
    assert problem in text
    assert not key or key not in text


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"api_key": 5}, "int"),
        ({"model": ""}, "''"),
        ({"model": "gpt 5"}, "'gpt 5'"),
        ({"model": None}, "NoneType"),
        ({"timeout": 0}, "'0'"),
        ({"timeout": "soon"}, "'soon'"),
        ({"connections": 0}, "0"),
        ({"base_url": "ftp://host/v1"}, "'ftp://host/v1'"),
        ({"base_url": "ftp://me:pw@host/v1"}, "what it is"),
    ],
)
@pytest.mark.parametrize(("provider", "module", "name"), ADAPTERS)
def test_a_client_is_not_made_with_what_cannot_be(
    provider: str, module: str, name: str, options: dict[str, Any], value: str
) -> None:
    adapter = getattr(__import__(module, fromlist=[name]), name)
    text = refused(lambda: adapter(**{"model": "m", "api_key": "sk-12345678", **options}))
    assert next(iter(options)) in text
    assert value in text
    assert "pw" not in text


@pytest.mark.parametrize("value", [None, "Hello", {"messages": []}])
async def test_a_request_is_a_request(value: Any) -> None:
    with pytest.raises(ValueError, match="ChatRequest") as caught:
        await Recorder().chat(value)
    assert isinstance(caught.value, InvalidRequest)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_malformed_key_of_the_environment_is_named_by_its_variable(provider: str) -> None:
    variable = f"EP_{provider.upper()}_API_KEY"
    with pytest.raises(Unavailable, match=variable) as caught:
        registry.create(provider, "some-model", env={variable: "sk- 123456"})
    assert "sk-" not in str(caught.value)


def test_an_adapters_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(RouterError, match="temprature"):
        registry.create("simulated", "some-model", {"temprature": 1})


def test_reprs_tell_sizes_instead_of_texts() -> None:
    parts = (
        TextPart(text=SECRET),
        FileInlinePart(data=SECRET.encode(), mime_type="text/plain", name="note.txt"),
        FileRefPart(uri="https://example.org/a.png?signature=s3cr3t", mime_type="image/png"),
        FileRefPart(uri="data:text/plain,s3cr3t", mime_type="text/plain"),
    )
    shown = repr(
        request(
            messages=[Message("user", SECRET, parts=parts)],
            system=SECRET,
            stop=[SECRET],
            tools=[ToolDefinition("f", SECRET, [ToolParameter("a", "string", SECRET)])],
            response_schema={"description": SECRET},
            temperature=0.5,
        )
    )
    assert SECRET not in shown
    assert "s3cr3t" not in shown
    for told in ("role='user'", f"<{len(SECRET)} characters>", "note.txt", "temperature=0.5"):
        assert told in shown


def test_what_is_stored_still_loads_whatever_was_added_since() -> None:
    kind = TypeAdapter(Message)
    message = Message("user", "Hi", parts=(FileInlinePart(data=b"\xff", mime_type="a/b"),))
    assert kind.validate_json(kind.dump_json(message)) == message
    later = {**json.loads(kind.dump_json(message)), "new_field": 1}
    assert kind.validate_json(json.dumps(later)) == message
