"""What a request becomes on Gemini's wire."""

import base64
from typing import Any

import pytest

from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition, ToolParameter
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.exceptions import InvalidRequest
from providers.gemini_profile import profile
from providers.gemini_request import ContentBody, content_body
from providers.gemini_turns import UNSIGNED

pytestmark = pytest.mark.unit

WEATHER = ToolDefinition(
    "get_weather",
    "Get the weather",
    [
        ToolParameter("location", "string", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)


def written(model: str = "gemini-2.5-flash", /, **fields: Any) -> ContentBody:
    fields.setdefault("messages", [Message("user", "Hi")])
    return content_body(ChatRequest(**fields), profile(model))


def body(model: str = "gemini-2.5-flash", /, **fields: Any) -> dict[str, Any]:
    return written(model, **fields).json


def config(model: str = "gemini-2.5-flash", /, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = body(model, **fields)["generationConfig"]
    return found


def test_A12_system_texts_and_turns_in_order() -> None:
    sent = body(
        system="S0",
        messages=[
            Message("system", "S1"),
            Message("user", "U1"),
            Message("assistant", "A1"),
            Message("user", "U2"),
        ],
    )
    assert sent == {
        "systemInstruction": {"parts": [{"text": "S0"}, {"text": "S1"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "U1"}]},
            {"role": "model", "parts": [{"text": "A1"}]},
            {"role": "user", "parts": [{"text": "U2"}]},
        ],
    }


def test_turns_of_one_role_are_merged_and_empty_ones_left_out() -> None:
    messages = [Message("user", "a"), Message("assistant", ""), Message("user", "b")]
    parts = [{"text": "a"}, {"text": "b"}]
    assert body(messages=messages)["contents"] == [{"role": "user", "parts": parts}]


def test_system_text_alone_becomes_the_users_turn() -> None:
    sent = body(messages=[Message("system", "Write a poem")])
    assert sent == {"contents": [{"role": "user", "parts": [{"text": "Write a poem"}]}]}


def test_a_request_without_any_text_is_refused_unsent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(messages=[Message("user", "")])
    assert not caught.value.sent


def test_A14_sampling_and_limits() -> None:
    sent = config(temperature=2.0, top_p=1.0, max_tokens=9, seed=4)
    assert sent == {"temperature": 2.0, "topP": 1.0, "maxOutputTokens": 9, "seed": 4}
    assert "generationConfig" not in body()


def test_A18_five_stop_sequences_go_out_and_more_are_for_the_reader() -> None:
    found = written(stop=list("abcdefg"))
    assert found.json["generationConfig"] == {"stopSequences": list("abcde")}
    assert found.stops == ["f", "g"]


# Tools


def test_A15_tools_as_json_schema() -> None:
    assert body(tools=[WEATHER])["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "Get the weather",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {
                            "location": {"type": "string"},
                            "units": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                        },
                        "required": ["location"],
                    },
                }
            ]
        }
    ]


def test_a_tool_without_parameters_has_no_schema() -> None:
    (tool,) = body(tools=[ToolDefinition("now")])["tools"][0]["functionDeclarations"]
    assert tool == {"name": "now", "description": "now"}


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("get_weather", {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    ],
)
def test_tool_choice(choice: str, wire: dict[str, Any]) -> None:
    sent = body(tools=[WEATHER], tool_choice=choice)
    assert sent["toolConfig"] == {"functionCallingConfig": wire}


def test_a_choice_of_an_unknown_tool_is_refused_unsent() -> None:
    with pytest.raises(InvalidRequest, match="fly"):
        body(tools=[WEATHER], tool_choice="fly")


CALLS = (ToolCall("toolu_1", "f", {"x": 1}), ToolCall("toolu_2", "g"))
RESULTS = [
    Message("tool", "1", tool_call_id="toolu_1"),
    Message("tool", "2", name="g", tool_call_id="toolu_2"),
]


def loop(call: Message) -> list[Message]:
    return [Message("user", "Go"), call, *RESULTS]


def test_calls_and_results_of_another_vendor() -> None:
    sent = body(messages=loop(Message("assistant", "I call", tool_calls=CALLS)))
    assert sent["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "I call"},
                {"functionCall": {"id": "toolu_1", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "toolu_2", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": i, "name": n, "response": {"result": r}}}
                for i, n, r in [("toolu_1", "f", "1"), ("toolu_2", "g", "2")]
            ],
        },
    ]


def test_models_that_insist_on_signatures_get_the_placeholder_once_a_turn() -> None:
    sent = body("gemini-3-pro-preview", messages=loop(Message("assistant", "", tool_calls=CALLS)))
    first, second = sent["contents"][1]["parts"]
    assert first["thoughtSignature"] == UNSIGNED
    assert "thoughtSignature" not in second


def test_a_result_that_names_no_tool_is_refused_unsent() -> None:
    with pytest.raises(InvalidRequest, match="name") as caught:
        body(messages=[Message("tool", "1", tool_call_id="unknown")])
    assert not caught.value.sent


OWN = {
    "vendor": "gemini",
    "parts": [
        {"text": "Yes", "thoughtSignature": "A"},
        {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "B"},
    ],
}
SIGNED = (ToolCall("c", "f", signature="B"),)


def model_parts(message: Message, model: str = "gemini-2.5-pro") -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = body(model, messages=[Message("user", "Go"), message])[
        "contents"
    ][1]["parts"]
    return parts


def test_own_turns_go_back_as_they_came() -> None:
    own = Message("assistant", "Yes", tool_calls=SIGNED, vendor_state=OWN)
    assert model_parts(own) == OWN["parts"]


def test_edited_turns_keep_the_signatures_of_their_calls() -> None:
    edited = Message("assistant", "Yes!", tool_calls=SIGNED, vendor_state=OWN)
    assert model_parts(edited) == [{"text": "Yes!"}, OWN["parts"][1]]


def test_another_vendors_signatures_are_not_sent() -> None:
    foreign = Message("assistant", "", tool_calls=SIGNED, vendor_state={"vendor": "other"})
    assert "thoughtSignature" not in model_parts(foreign)[0]


# Files


def part_of(part: Any) -> dict[str, Any]:
    parts = body(messages=[Message("user", "See", parts=(part,))])["contents"][0]["parts"]
    assert parts[1] == {"text": "See"}
    return dict(parts[0])


def test_files() -> None:
    inline = FileInlinePart(data=b"png", mime_type="image/png")
    data = base64.b64encode(b"png").decode()
    assert part_of(inline) == {"inlineData": {"mimeType": "image/png", "data": data}}
    uri = "https://x.test/v1beta/files/abc"
    by_url = FileRefPart(uri=uri, mime_type="video/mp4")
    assert part_of(by_url) == {"fileData": {"mimeType": "video/mp4", "fileUri": uri}}
    assert part_of(TextPart(text="T")) == {"text": "T"}


@pytest.mark.parametrize("uri", ["artifact:abc", "file_011"])
def test_references_that_are_no_address_are_refused_unsent(uri: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        part_of(FileRefPart(uri=uri, mime_type="image/png"))
    assert not caught.value.sent


# JSON

SCHEMA = {"$schema": "x", "type": "object", "properties": {"n": {"type": "integer"}}}


def test_a_schema_is_sent_as_the_answers_format() -> None:
    assert config(response_schema=SCHEMA) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
    assert config(json_mode=True) == {"responseMimeType": "application/json"}


def test_models_that_take_tools_or_a_schema_are_told_the_schema() -> None:
    found = written(tools=[WEATHER], response_schema=SCHEMA)
    assert "generationConfig" not in found.json
    assert '"integer"' in found.json["systemInstruction"]["parts"][-1]["text"]
    assert found.notes
    assert "responseJsonSchema" in config("gemini-3-flash", tools=[WEATHER], response_schema=SCHEMA)


# Thinking


@pytest.mark.parametrize(
    ("model", "fields", "wire"),
    [
        ("gemini-3-flash", {"reasoning_effort": "minimal"}, ("thinkingLevel", "minimal")),
        ("gemini-3-flash", {"reasoning_effort": "medium"}, ("thinkingLevel", "medium")),
        ("gemini-3.1-pro", {"reasoning_effort": "high"}, ("thinkingLevel", "high")),
        ("gemini-3.1-pro", {"reasoning_effort": "minimal"}, ("thinkingLevel", "low")),
        ("gemini-3.1-pro", {"reasoning_effort": "max"}, ("thinkingLevel", "high")),
        ("gemini-3.1-pro", {"thinking_budget": 2000}, ("thinkingBudget", 2000)),
        ("gemini-flash-latest", {"reasoning_effort": "low"}, ("thinkingLevel", "low")),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, ("thinkingBudget", 1024)),
        ("gemini-2.5-flash", {"reasoning_effort": "max"}, ("thinkingBudget", 24576)),
        ("gemini-2.5-pro", {"reasoning_effort": "max"}, ("thinkingBudget", 32768)),
        ("gemini-2.5-flash-lite", {"thinking_budget": 3}, ("thinkingBudget", 512)),
        ("gemini-2.5-pro", {"thinking_budget": 99999}, ("thinkingBudget", 32768)),
    ],
)
def test_thinking(model: str, fields: dict[str, Any], wire: tuple[str, Any]) -> None:
    assert config(model, **fields)["thinkingConfig"] == {wire[0]: wire[1], "includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "wire", "noted"),
    [
        ("gemini-2.5-flash", ("thinkingBudget", 0), False),
        ("gemini-2.5-pro", ("thinkingBudget", 128), True),
        ("gemini-3-flash", ("thinkingLevel", "minimal"), False),
        ("gemini-3-pro", ("thinkingLevel", "low"), True),
    ],
)
@pytest.mark.parametrize("fields", [{"reasoning_effort": "none"}, {"thinking_budget": 0}])
def test_thinking_is_turned_off_as_far_as_it_can_be(
    model: str, wire: tuple[str, Any], noted: bool, fields: dict[str, Any]
) -> None:
    found = written(model, **fields)
    thinking = found.json["generationConfig"]["thinkingConfig"]
    assert thinking == {wire[0]: wire[1], "includeThoughts": False}
    assert bool(found.notes) is noted


def test_models_that_do_not_think_get_a_note() -> None:
    found = written("gemini-2.0-flash", reasoning_effort="high")
    assert "generationConfig" not in found.json
    assert found.notes
    assert not written("gemini-2.0-flash", reasoning_effort="none").notes


# Caching


def test_a_cache_stands_for_system_text_and_tools() -> None:
    sent = body(cache_key="cachedContents/abc", system="S", tools=[WEATHER], tool_choice="auto")
    assert sent == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "cachedContent": "cachedContents/abc",
    }


def test_other_cache_keys_mean_nothing_here() -> None:
    assert body(cache_key="team", system="S").keys() == {"contents", "systemInstruction"}
