"""A `ChatRequest` as OpenAI's two APIs want it."""

from typing import Any

import pytest

from providers.exceptions import InvalidRequest
from providers.openai_profile import Endpoint, endpoint, family
from providers.openai_requests import chat_body, fits_strict, responses_body
from providers.spi import ChatRequest, Message, ToolCall
from tests.providers.openai_bodies import (
    OTHER,
    OWN,
    STRICT,
    WEATHER,
    WEATHER_SCHEMA,
    chat,
    responses,
)

pytestmark = pytest.mark.unit


def test_what_is_none_is_absent_on_the_wire() -> None:
    assert chat(OTHER) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert responses() == {
        "model": "gpt-4o",
        "input": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "store": False,
    }


TALK = [
    Message("system", "S1"),
    Message("user", "U1"),
    Message("assistant", "A1"),
    Message("user", "U2"),
]


def test_A12_system_texts_first_then_the_turns_in_order() -> None:
    turns = [
        {"role": "user", "content": "U1"},
        {"role": "assistant", "content": "A1"},
        {"role": "user", "content": "U2"},
    ]
    body = chat(messages=TALK, system="S0")
    assert body["messages"] == [{"role": "system", "content": "S0\n\nS1"}, *turns]
    body = responses(messages=TALK, system="S0")
    assert body["instructions"] == "S0\n\nS1"
    assert body["input"] == turns


@pytest.mark.parametrize(
    ("where", "model", "role"),
    [
        (OWN, "gpt-4o", "system"),
        (OWN, "gpt-5", "developer"),
        (OWN, "o3", "developer"),
        (OWN, "o1-mini", "user"),
        (OTHER, "gpt-5", "system"),
    ],
)
def test_role_of_the_system_text(where: Endpoint, model: str, role: str) -> None:
    assert chat(where, model, system="S")["messages"][0]["role"] == role


def test_max_tokens_by_address() -> None:
    assert chat(OWN, max_tokens=9)["max_completion_tokens"] == 9
    assert (
        chat(endpoint("https://x.openai.azure.com/v1"), max_tokens=9)["max_completion_tokens"] == 9
    )
    assert chat(OTHER, max_tokens=9)["max_tokens"] == 9
    assert responses(max_tokens=9)["max_output_tokens"] == 9


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("gpt-4", None, True),
        ("gpt-4o-mini", None, True),
        ("gpt-5-chat-latest", None, True),
        ("o3-mini", None, False),
        ("openai/o4-mini", None, False),
        ("ft:gpt-4o:acme", None, True),
        ("gpt-5", None, False),
        ("gpt-5-mini", None, False),
        ("gpt-5.1", None, True),
        ("gpt-5.1", "none", True),
        ("gpt-5.1", "high", False),
        ("gpt-5.1-codex", None, False),
        ("gpt-5.2-pro", None, False),
        ("gpt-5.3-chat", None, False),
        ("gpt-5.6", None, False),
        ("gpt-5.6", "none", True),
        ("gpt-5-pro", None, False),
        ("gpt-oss-120b", None, True),
        ("llama-3", None, True),
    ],
)
def test_sampling_goes_only_where_it_is_accepted(model: str, effort: Any, sent: bool) -> None:
    req = ChatRequest([Message("user", "Hi")], temperature=0.5, top_p=0.9, reasoning_effort=effort)
    for written in (chat_body(req, model, OWN), responses_body(req, model, OWN)):
        assert ("temperature" in written.body) is sent
        assert ("top_p" in written.body) is sent
        left_out = f"temperature and top_p left out: {model} is a reasoning model"
        assert written.notes == ([] if sent else [left_out])


def test_A18_stop_sequences_are_cut_here_wherever_the_vendor_may_not() -> None:
    def written(model: str, stop: list[str]) -> Any:
        return chat_body(ChatRequest([Message("user", "Hi")], stop=stop), model, OWN)

    assert written("gpt-4", ["END"]).body["stop"] == ["END"]
    assert "stop" not in written("o3", ["END"]).body
    assert "stop" not in written("gpt-4", list("abcde")).body
    for case in (written("gpt-4", ["END"]), written("o3", ["END"])):
        assert case.cut == ["END"]
    body = responses_body(ChatRequest([Message("user", "Hi")], stop=["END"]), "gpt-4", OWN)
    assert "stop" not in body.body
    assert body.cut == ["END"]


def test_A15_tools() -> None:
    assert chat(tools=[WEATHER])["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Get current weather",
                "parameters": WEATHER_SCHEMA,
            },
        }
    ]
    assert responses(tools=[WEATHER])["tools"] == [
        {
            "type": "function",
            "name": "get_weather",
            "description": "Get current weather",
            "parameters": WEATHER_SCHEMA,
            "strict": False,
        }
    ]


@pytest.mark.parametrize(
    ("choice", "word"),
    [("auto", "auto"), ("none", "none"), ("required", "required"), ("any", "required")],
)
def test_tool_choice(choice: str, word: str) -> None:
    assert chat(tools=[WEATHER], tool_choice=choice)["tool_choice"] == word
    assert responses(tools=[WEATHER], tool_choice=choice)["tool_choice"] == word


def test_tool_choice_by_name() -> None:
    assert chat(tools=[WEATHER], tool_choice="get_weather")["tool_choice"] == {
        "type": "function",
        "function": {"name": "get_weather"},
    }
    assert responses(tools=[WEATHER], tool_choice="get_weather")["tool_choice"] == {
        "type": "function",
        "name": "get_weather",
    }


CALLS = [
    Message("user", "Weather?"),
    Message(
        "assistant",
        "",
        tool_calls=(
            ToolCall("c1", "get_weather", {"location": "Oslo"}, '{"location": "Oslo"}'),
            ToolCall("c2", "now"),
        ),
    ),
    Message("tool", "4 °C", tool_call_id="c1"),
    Message("tool", "noon", tool_call_id="c2"),
]


def test_tool_calls_and_their_results() -> None:
    assert chat(messages=CALLS)["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"location": "Oslo"}'},
                },
                {"id": "c2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4 °C"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    ]
    assert responses(messages=CALLS)["input"][1:] == [
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "get_weather",
            "arguments": '{"location": "Oslo"}',
        },
        {"type": "function_call", "call_id": "c2", "name": "now", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4 °C"},
        {"type": "function_call_output", "call_id": "c2", "output": "noon"},
    ]


@pytest.mark.parametrize("write", [chat, responses])
def test_a_tool_result_without_id_is_refused_before_the_call(write: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        write(messages=[Message("user", "Hi"), Message("tool", "4")])
    assert not caught.value.sent


def test_json_schema_and_json_mode() -> None:
    schema = {"name": "answer", "schema": STRICT, "strict": True}
    assert chat(response_schema=STRICT)["response_format"] == {
        "type": "json_schema",
        "json_schema": schema,
    }
    assert responses(response_schema=STRICT)["text"] == {
        "format": {"type": "json_schema", **schema}
    }
    assert chat(json_mode=True)["response_format"] == {"type": "json_object"}
    assert responses(json_mode=True)["text"] == {"format": {"type": "json_object"}}


def test_json_mode_says_json_where_the_conversation_does_not() -> None:
    assert "JSON" in chat(json_mode=True)["messages"][0]["content"]
    assert "JSON" in responses(json_mode=True)["instructions"]
    said = [Message("user", "Give me json")]
    assert len(chat(json_mode=True, messages=said)["messages"]) == 1


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (STRICT, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, False),
        ({**STRICT, "required": []}, False),
        ({**STRICT, "properties": {"a": {"type": "object"}}}, False),
        ({**STRICT, "properties": {"a": {"type": "array", "items": STRICT}}}, True),
        ({**STRICT, "properties": {"a": {"anyOf": [STRICT, {"type": "null"}]}}}, True),
        ({**STRICT, "properties": {"a": {"oneOf": [STRICT]}}}, False),
        ({**STRICT, "$defs": {"x": {"type": "object"}}}, False),
    ],
)
def test_strict_only_where_the_schema_allows_it(schema: dict[str, Any], strict: bool) -> None:
    assert fits_strict(schema) is strict


def test_seed_effort_and_cache_key() -> None:
    body = chat(model="gpt-5", seed=7, reasoning_effort="low", cache_key="k")
    assert (body["seed"], body["reasoning_effort"], body["prompt_cache_key"]) == (7, "low", "k")
    body = responses(model="gpt-5", reasoning_effort="low", cache_key="k")
    assert (body["reasoning"], body["prompt_cache_key"]) == ({"effort": "low"}, "k")
    assert "prompt_cache_key" not in chat(OTHER, cache_key="k")
    written = responses_body(ChatRequest([Message("user", "Hi")], seed=7), "gpt-4", OWN)
    assert "seed" not in written.body
    assert written.notes == ["seed left out: the Responses API has none"]


def test_a_reasoning_models_own_items_are_sent_back_to_it_only() -> None:
    items = [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": []},
    ]
    own = Message("assistant", "A", vendor_state={"vendor": "openai", "items": items})
    foreign = Message("assistant", "A", vendor_state={"vendor": "anthropic", "items": items})
    user = Message("user", "Hi")
    assert responses("gpt-5", messages=[user, own])["input"][1:] == items
    assert responses("gpt-5", messages=[user, foreign])["input"][1:] == [
        {"role": "assistant", "content": "A"}
    ]
    assert responses("gpt-5")["include"] == ["reasoning.encrypted_content"]
    assert "include" not in responses("gpt-4o")


def test_background_answers_are_kept_by_the_vendor() -> None:
    written = responses_body(ChatRequest([Message("user", "Hi")]), "gpt-5", OWN, background=True)
    assert written.body["background"] is True
    assert written.body["store"] is True


@pytest.mark.parametrize(
    ("url", "api", "field"),
    [
        (None, "responses", "max_completion_tokens"),
        ("https://api.openai.com/v1", "responses", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "responses", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1", "chat", "max_completion_tokens"),
        ("https://api.groq.com/openai/v1", "chat", "max_tokens"),
        ("https://api.openai.com.evil.example/v1", "chat", "max_tokens"),
    ],
)
def test_endpoint(url: str | None, api: str, field: str) -> None:
    known = endpoint(url)
    assert (known.api, known.max_tokens_field) == (api, field)


def test_unknown_models_are_plain_ones() -> None:
    assert family("qwen3-coder").samples("high")
    assert family("qwen3-coder").stops
