"""What a request becomes on Anthropic's wire."""

from typing import Any

import pytest

from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition
from contracts.parts import TextPart
from providers.anthropic_profile import Profile, profile
from providers.anthropic_request import messages_body
from providers.exceptions import InvalidRequest
from tests.providers.anthropic_requests import OWN, WEATHER, body, said, turn, written

pytestmark = pytest.mark.unit


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


def test_names_that_only_a_dot_tells_apart_are_refused_unsent() -> None:
    with pytest.raises(InvalidRequest, match="fs_read") as caught:
        body(tools=[ToolDefinition("fs.read"), ToolDefinition("fs_read")])
    assert not caught.value.sent


def test_dots_in_names_are_replaced_and_mapped_back() -> None:
    found = written(tools=[ToolDefinition("fs.read")], tool_choice="fs.read")
    assert found.json["tools"][0]["name"] == "fs_read"
    assert found.json["tool_choice"]["name"] == "fs_read"
    assert found.tool_names == {"fs_read": "fs.read"}


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


def test_a_context_before_the_question_is_marked_where_it_ends() -> None:
    context = Message("user", "", parts=(TextPart(text="The book"), TextPart(text="Notes")))
    sent = body(cache_key="team", messages=[context, Message("user", "Sum up")])
    (turn,) = sent["messages"]
    assert ["cache_control" in block for block in turn["content"]] == [False, True, False]


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
