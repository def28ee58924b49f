"""What a request becomes on Anthropic's wire."""

import base64
from typing import Any

import pytest

from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition, ToolParameter
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.anthropic_profile import Profile, profile
from providers.anthropic_request import MessagesBody, messages_body
from providers.exceptions import InvalidRequest

pytestmark = pytest.mark.unit

WEATHER = ToolDefinition(
    "get_weather",
    "Get the weather",
    [
        ToolParameter("location", "string", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)


def written(model: str = "claude-sonnet-4-5", /, **fields: Any) -> MessagesBody:
    fields.setdefault("messages", [Message("user", "Hi")])
    return messages_body(ChatRequest(**fields), model, profile(model))


def body(model: str = "claude-sonnet-4-5", /, **fields: Any) -> dict[str, Any]:
    return written(model, **fields).json


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


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
    assert sent["system"] == [said("S0"), said("S1")]
    assert sent["messages"] == [
        {"role": "user", "content": [said("U1")]},
        {"role": "assistant", "content": [said("A1")]},
        {"role": "user", "content": [said("U2")]},
    ]


def test_turns_of_one_role_are_merged_and_empty_ones_left_out() -> None:
    sent = body(
        messages=[
            Message("user", "a"),
            Message("user", "b"),
            Message("assistant", "  "),
            Message("user", "c"),
        ]
    )
    assert sent["messages"] == [{"role": "user", "content": [said("a"), said("b"), said("c")]}]


def test_a_conversation_begins_with_the_user() -> None:
    roles = [t["role"] for t in body(messages=[Message("assistant", "Hello")])["messages"]]
    assert roles == ["user", "assistant"]


def test_system_text_alone_becomes_the_users_turn() -> None:
    sent = body(messages=[Message("system", "Write a poem")])
    assert sent["messages"] == [{"role": "user", "content": [said("Write a poem")]}]
    assert "system" not in sent


def test_a_request_without_any_text_is_refused_unsent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(messages=[Message("user", " ")])
    assert not caught.value.sent


def test_a_prefilled_answer_does_not_end_in_white_space() -> None:
    sent = body(messages=[Message("user", "Go"), Message("assistant", "One, \n")])
    assert sent["messages"][-1]["content"] == [said("One,")]


# Limits and sampling


def test_max_tokens_is_always_sent() -> None:
    assert body()["max_tokens"] == 4096
    assert body(max_tokens=7)["max_tokens"] == 7


def test_A14_ranges() -> None:
    assert body(temperature=0.0)["temperature"] == 0.0
    assert body(temperature=1.0)["temperature"] == 1.0
    assert body(top_p=1.0)["top_p"] == 1.0
    with pytest.raises(InvalidRequest, match="temperature 2") as caught:
        body(temperature=2.0)
    assert not caught.value.sent
    assert "temperature" not in body()


@pytest.mark.parametrize(
    "model", ["claude-opus-4-7", "claude-opus-5", "claude-sonnet-5", "claude-fable-5-1"]
)
def test_models_that_refuse_sampling_get_none_and_a_note(model: str) -> None:
    found = written(model, temperature=2.0, top_p=0.5)
    assert "temperature" not in found.json
    assert "top_p" not in found.json
    assert found.notes == ["temperature and top_p left out: the model takes no sampling settings"]


def test_newer_models_take_one_of_temperature_and_top_p() -> None:
    found = written("claude-sonnet-4-5", temperature=0.5, top_p=0.5)
    assert found.json["temperature"] == 0.5
    assert "top_p" not in found.json
    assert found.notes
    older = written("claude-3-haiku-20240307", temperature=0.5, top_p=0.5)
    assert (older.json["temperature"], older.json["top_p"]) == (0.5, 0.5)
    assert not older.notes


def test_A18_stop_sequences_go_out_and_blank_ones_are_for_the_reader() -> None:
    found = written(stop=["END", "\n\n"])
    assert found.json["stop_sequences"] == ["END"]
    assert found.stops == ["\n\n"]


def test_a_seed_is_left_out_with_a_note() -> None:
    found = written(seed=7)
    assert "seed" not in found.json
    assert found.notes == ["seed was left out: Anthropic has none"]


# Tools


def test_A15_tools_as_json_schema() -> None:
    assert body(tools=[WEATHER])["tools"] == [
        {
            "name": "get_weather",
            "description": "Get the weather",
            "input_schema": {
                "type": "object",
                "properties": {
                    "location": {"type": "string"},
                    "units": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                },
                "required": ["location"],
            },
        }
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("any", {"type": "any"}),
        ("get_weather", {"type": "tool", "name": "get_weather"}),
    ],
)
def test_tool_choice(choice: str, wire: dict[str, Any]) -> None:
    assert body(tools=[WEATHER], tool_choice=choice)["tool_choice"] == wire


def test_a_choice_of_an_unknown_tool_is_refused_unsent() -> None:
    with pytest.raises(InvalidRequest, match="fly"):
        body(tools=[WEATHER], tool_choice="fly")


def test_models_that_cannot_be_forced_choose_freely_with_a_note() -> None:
    found = written("claude-fable-5", tools=[WEATHER], tool_choice="required")
    assert found.json["tool_choice"] == {"type": "auto"}
    assert found.notes


def test_dots_in_names_are_replaced_and_mapped_back() -> None:
    found = written(tools=[ToolDefinition("fs.read")], tool_choice="fs.read")
    assert found.json["tools"][0]["name"] == "fs_read"
    assert found.json["tool_choice"]["name"] == "fs_read"
    assert found.tool_names == {"fs_read": "fs.read"}


def test_results_of_parallel_calls_share_one_turn_and_come_first() -> None:
    calls = (ToolCall("a", "f", {"x": 1}), ToolCall("b", "g"))
    sent = body(
        tools=[WEATHER],
        messages=[
            Message("user", "Go"),
            Message("assistant", "I call", tool_calls=calls),
            Message("tool", "1", tool_call_id="a"),
            Message("user", "and now?"),
            Message("tool", "", tool_call_id="b"),
        ],
    )
    assert sent["messages"][1]["content"] == [
        said("I call"),
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [said("1")]},
        {"type": "tool_result", "tool_use_id": "b"},
        said("and now?"),
    ]


def turn(call_id: str) -> list[Message]:
    return [
        Message("user", "Go"),
        Message("assistant", "", tool_calls=(ToolCall(call_id, "f"),)),
        Message("tool", "1", tool_call_id=call_id),
    ]


def ids_of(sent: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a call's id and its result's."""
    blocks = [b for t in sent["messages"] for b in t["content"]]
    calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
    return list(
        zip(calls, [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"], strict=True)
    )


@pytest.mark.parametrize("foreign", ["functions.get_weather:0", "ümlaut", "x" * 90, ""])
def test_ids_of_other_vendors_are_made_valid_with_their_results(foreign: str) -> None:
    ((call, result),) = ids_of(body(messages=turn(foreign)))
    assert call == result
    assert call.replace("_", "").replace("-", "").isalnum()
    assert call.isascii()
    assert 0 < len(call) <= 64


def test_ids_that_other_vendors_use_again_are_made_different() -> None:
    pairs = ids_of(body(messages=[*turn("call_0"), *turn("call_0"), *turn("call_0")]))
    assert pairs[0] == ("call_0", "call_0")
    assert len({call for call, _ in pairs}) == 3
    assert all(call == result for call, result in pairs)


def test_calls_in_the_history_have_their_tools_declared() -> None:
    sent = body(messages=turn("a"))
    assert sent["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert sent["tool_choice"] == {"type": "none"}


# A turn that Claude wrote itself

OWN = {
    "vendor": "anthropic",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "SIG"},
        {"type": "thinking", "thinking": "unsigned"},
        {"type": "text", "text": "Yes"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ],
}


def test_own_turns_go_back_with_their_signed_thoughts() -> None:
    own = Message("assistant", "Yes", tool_calls=(ToolCall("t", "f"),), vendor_state=OWN)
    result = Message("tool", "1", tool_call_id="t")
    sent = body(messages=[Message("user", "Go"), own, result])
    assert sent["messages"][1]["content"] == [OWN["content"][0], *OWN["content"][2:]]
    assert OWN["content"][3]["id"] == "t"  # the caller's object is left alone


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", "Yes, edited", tool_calls=(ToolCall("t", "f"),), vendor_state=OWN),
        Message("assistant", "Yes", vendor_state=OWN),
        Message("assistant", "Yes", vendor_state={**OWN, "vendor": "gemini"}),
    ],
)
def test_edited_and_foreign_turns_go_without_thoughts(message: Message) -> None:
    sent = body(messages=[Message("user", "Go"), message])
    assert sent["messages"][1]["content"][0]["type"] == "text"


# Files

PNG = FileInlinePart(data=b"png", mime_type="image/png")


def block_of(part: Any) -> dict[str, Any]:
    sent = body(messages=[Message("user", "See", parts=(part,))])
    first, last = sent["messages"][0]["content"]
    assert last == said("See")
    return dict(first)


def test_images_and_documents() -> None:
    data = base64.b64encode(b"png").decode()
    assert block_of(PNG) == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": data},
    }
    pdf = FileInlinePart(data=b"%PDF", mime_type="application/pdf", name="a.pdf")
    assert block_of(pdf)["type"] == "document"
    assert block_of(pdf)["title"] == "a.pdf"
    text = FileInlinePart(data="ä".encode(), mime_type="text/markdown; charset=utf-8")
    assert block_of(text)["source"] == {"type": "text", "media_type": "text/plain", "data": "ä"}
    assert block_of(TextPart(text="T")) == said("T")


def test_files_by_reference() -> None:
    by_url = FileRefPart(uri="https://x.test/a.png", mime_type="image/png")
    assert block_of(by_url)["source"] == {"type": "url", "url": "https://x.test/a.png"}
    by_id = FileRefPart(uri="file_011", mime_type="application/pdf")
    assert block_of(by_id)["source"] == {"type": "file", "file_id": "file_011"}


@pytest.mark.parametrize(
    "part",
    [
        FileRefPart(uri="artifact:abc", mime_type="image/png"),
        FileRefPart(uri="files/abc", mime_type="image/png"),
        FileInlinePart(data=b"x", mime_type="video/mp4"),
    ],
)
def test_files_that_cannot_be_sent_are_refused_unsent(part: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        block_of(part)
    assert not caught.value.sent


def test_a_tool_result_may_hold_an_image() -> None:
    messages = [*turn("a")[:-1], Message("tool", "", tool_call_id="a", parts=(PNG,))]
    result = body(messages=messages)["messages"][-1]["content"][0]
    assert [b["type"] for b in result["content"]] == ["image"]


# JSON

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_a_schema_is_sent_as_the_answers_format() -> None:
    sent = messages_body(
        ChatRequest([Message("user", "Hi")], response_schema=SCHEMA),
        "claude-sonnet-4-5",
        profile("claude-sonnet-4-5"),
        strict_schema=lambda schema: {**schema, "additionalProperties": False},
    ).json
    wanted = {"type": "json_schema", "schema": {**SCHEMA, "additionalProperties": False}}
    assert sent["output_config"] == {"format": wanted}
    assert "system" not in sent


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        ("claude-3-haiku-20240307", SCHEMA),
        ("claude-sonnet-4-5", {"type": "object", "additionalProperties": {"type": "number"}}),
        ("claude-sonnet-4-5", {"type": "array", "items": {"type": "object"}}),
    ],
)
def test_schemas_that_the_api_cannot_enforce_are_told_to_the_model(
    model: str, schema: dict[str, Any]
) -> None:
    found = written(model, response_schema=schema)
    assert "output_config" not in found.json
    assert '"type":' in found.json["system"][0]["text"]
    assert found.notes


def test_json_mode_is_asked_for_in_words() -> None:
    assert "JSON object" in body(json_mode=True)["system"][0]["text"]


# Thinking


def test_nothing_is_said_about_thinking_unless_asked() -> None:
    assert "thinking" not in body()


def test_adaptive_models_take_effort() -> None:
    sent = body("claude-opus-4-8", reasoning_effort="xhigh")
    assert sent["thinking"] == {"type": "adaptive"}
    assert sent["output_config"] == {"effort": "xhigh"}


@pytest.mark.parametrize(
    ("model", "effort", "wire"),
    [
        ("claude-sonnet-5", "minimal", "low"),
        ("claude-opus-4-6", "xhigh", "max"),
        ("claude-opus-4-5", "max", "high"),
    ],
)
def test_efforts_that_a_model_has_not_become_the_nearest(
    model: str, effort: str, wire: str
) -> None:
    found = written(model, reasoning_effort=effort)
    assert found.json["output_config"] == {"effort": wire}
    assert found.notes


def test_older_models_think_within_a_budget_and_max_tokens() -> None:
    sent = body("claude-sonnet-4-5", reasoning_effort="medium")
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 10000}
    assert sent["max_tokens"] == 14096
    capped = written("claude-sonnet-4-5", thinking_budget=5000, max_tokens=2000)
    assert capped.json["thinking"]["budget_tokens"] == 1999
    assert capped.json["max_tokens"] == 2000
    assert capped.notes


def test_a_budget_becomes_an_effort_where_budgets_are_refused() -> None:
    found = written("claude-opus-4-7", thinking_budget=9000)
    assert found.json["thinking"] == {"type": "adaptive"}
    assert found.json["output_config"] == {"effort": "medium"}
    assert found.notes


@pytest.mark.parametrize("fields", [{"reasoning_effort": "none"}, {"thinking_budget": 0}])
def test_thinking_can_be_turned_off(fields: dict[str, Any]) -> None:
    assert body("claude-opus-5", **fields)["thinking"] == {"type": "disabled"}
    assert "thinking" not in body("claude-3-5-haiku-20241022", **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 1000},
        {"tools": [WEATHER], "tool_choice": "required"},
        {"messages": turn("a")},
    ],
)
def test_thinking_is_left_out_where_the_api_would_refuse_it(fields: dict[str, Any]) -> None:
    found = written("claude-sonnet-4-5", thinking_budget=4000, **fields)
    assert "thinking" not in found.json
    assert found.notes


def test_thinking_goes_on_over_calls_that_were_made_with_it() -> None:
    own = Message("assistant", "Yes", tool_calls=(ToolCall("t", "f"),), vendor_state=OWN)
    result = Message("tool", "1", tool_call_id="t")
    sent = body(thinking_budget=2000, messages=[Message("user", "Go"), own, result])
    assert sent["thinking"] == {"type": "enabled", "budget_tokens": 2000}


def test_sampling_is_left_out_while_thinking() -> None:
    found = written("claude-sonnet-4-5", thinking_budget=2000, temperature=0.2)
    assert "temperature" not in found.json
    assert found.notes == ["temperature left out: thinking is on"]


# Caching and labels

MARK = {"type": "ephemeral"}


def test_a_cache_key_marks_what_is_shared() -> None:
    sent = body(
        cache_key="team",
        system="S",
        tools=[WEATHER],
        messages=[Message("user", "1"), Message("assistant", "2"), Message("user", "3")],
    )
    assert sent["system"][-1]["cache_control"] == MARK
    assert sent["messages"][1]["content"][-1]["cache_control"] == MARK
    assert "cache_control" not in sent["messages"][2]["content"][-1]
    assert "cache_control" not in sent["tools"][-1]


def test_without_system_text_the_tools_are_marked() -> None:
    sent = body(cache_key="team", tools=[WEATHER])
    assert sent["tools"][-1]["cache_control"] == MARK
    assert "cache_control" not in sent["messages"][0]["content"][-1]


def test_without_a_cache_key_nothing_is_marked() -> None:
    assert "cache_control" not in str(body(system="S", tools=[WEATHER]))


def test_labels_stay_here_but_for_the_users_id() -> None:
    sent = body(metadata={"run": "r", "user_id": "u"})
    assert sent["metadata"] == {"user_id": "u"}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-3-haiku-20240307", Profile(thinking="none")),
        ("claude-3-7-sonnet-20250219", Profile(thinking="budget")),
        ("claude-sonnet-4-20250514", Profile(thinking="budget")),
        ("claude-opus-4-1", Profile(both_samplers=False, schemas=True)),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", Profile(both_samplers=False, schemas=True)),
        ("claude-sonnet-4@20250514", Profile()),
        ("some-other-vendors-model", Profile()),
    ],
)
def test_profiles(model: str, expected: Profile) -> None:
    assert profile(model) == expected


def test_models_newer_than_the_table_are_like_the_newest() -> None:
    assert profile("claude-haiku-6") == profile("claude-opus-5")
    assert profile("claude-mythos-preview") == profile("claude-fable-5")
