"""The body of a chat completion: what is done, ignored, refused; and levels of capabilities."""

import base64
from typing import Any

import orjson
import pytest

from client.planning import Planner
from contracts.agents import AgentModel
from contracts.parts import FileInlinePart, TextPart
from contracts.plans import Candidate
from contracts.teams import ModelParams
from providers.router import PersonaRouter
from serving.asking import IGNORED, Wishes, parse
from serving.catalogue import Catalogue, check, of_persona
from serving.errors import ApiError
from tests.serving.stage import of
from tests.support.talks import agent

pytestmark = pytest.mark.unit

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
TEXTLESS = {"type": "text"}
PNG = b"\x89PNG\r\n\x1a\nand so on"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}


def body(**more: Any) -> bytes:
    return orjson.dumps({"model": "m", "messages": HELLO, **more})


def refused(raw: bytes) -> ApiError:
    with pytest.raises(ApiError) as error:
        parse(raw)
    assert error.value.status == 400
    return error.value


def test_the_least() -> None:
    asked = parse(body())
    assert (asked.model, asked.stream, asked.wishes) == ("m", False, Wishes())
    assert not asked.wishes.any


def test_what_changes_no_answer_is_ignored() -> None:
    more = dict.fromkeys(IGNORED, "x")
    neutral = {"n": 1, "logprobs": False, "parallel_tool_calls": True, "frequency_penalty": 0}
    assert parse(body(**more, **neutral)).wishes == Wishes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("logit_bias", {"1": 2}),
        ("presence_penalty", 0.5),
        ("parallel_tool_calls", False),
        ("functions", []),
        ("audio", {"voice": "x"}),
        ("web_search_options", {}),
        ("surprise", 1),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(field: str, value: Any) -> None:
    error = refused(body(**{field: value}))
    assert (error.param, error.code) == (field, "unsupported_parameter")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 2.01}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"stop": ""}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, "messages[1]"),
        ({"messages": [*HELLO, {"role": "assistant"}, *HELLO]}, "messages[1]"),
        (
            {"messages": [*HELLO, {"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "messages[1]",
        ),
        (
            {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALL]}, *HELLO]},
            "messages[1]",
        ),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
        ),
        ({"response_format": {"type": "xml"}}, "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "robot"}},
                }
            },
            "response_format.json_schema.schema",
        ),
        ({"requires": {"tool_calling": "perfect"}}, "requires"),
    ],
)
def test_A14_wrong_values_name_their_field(more: dict[str, Any], param: str) -> None:
    error = refused(orjson.dumps({"model": "m", "messages": HELLO, **more}))
    assert error.param is not None
    assert error.param.startswith(param), error.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [TEXTLESS]}]}, "messages[0].content[0].text"),
        ({"requires": {"tool_calling": "perfect"}}, "requires.tool_calling"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop"),
        ({"tools": [TOOL], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"messages": [*HELLO, {"role": "robot"}]}, "messages[1]"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_as_the_body_has_it(more: dict[str, Any], param: str) -> None:
    error = refused(orjson.dumps({"model": "m", "messages": HELLO, **more}))
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"nothing", b'"x"', b"\xff", b"[" * 5000])
def test_no_json_object(raw: bytes) -> None:
    refused(raw)


def test_what_is_neither_text_nor_picture_is_refused_by_name() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    error = refused(body(messages=[{"role": "user", "content": [part]}]))
    assert error.param == "messages[0].content[0]"
    assert "input_audio" in error.message
    seen = {"type": "image_url", "image_url": {"url": PNG_URL}}
    told = refused(body(messages=[{"role": "system", "content": [seen]}, *HELLO]))
    assert told.param == "messages[0].content[0].type"


def shown(*parts: str) -> bytes:
    """Return a body with texts, and pictures, which are those that begin with data:."""
    content = [
        {"type": "image_url", "image_url": {"url": part}}
        if ":" in part
        else {"type": "text", "text": part}
        for part in parts
    ]
    return body(messages=[{"role": "user", "content": content}])


def test_pictures_stand_where_they_stood() -> None:
    asked = parse(shown("Look ", "here", PNG_URL))
    (message,) = asked.messages
    assert message.content == "Look here"
    assert message.parts == (FileInlinePart(data=PNG, mime_type="image/png"),)
    between = parse(shown(PNG_URL, "and", PNG_URL)).messages[0]
    assert [type(part) for part in between.parts] == [FileInlinePart, TextPart, FileInlinePart]
    assert between.content == ""
    big = f"data:image/png;base64,{base64.b64encode(PNG + bytes(90_000)).decode()}"
    many = parse(shown("Look", big, "more"))
    assert len(many.pictures) == 1
    assert many.prompt_bytes < 1_000, "a picture is no text"
    assert many.text_bytes == len("Lookmore")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://example.org/a.png", "fetches nothing"),
        ("file:///etc/passwd", "fetches nothing"),
        ("data:image/png,AAAA", "no data URL in base64"),
        ("data:image/png;base64", "no data URL in base64"),
        ("data:image/svg+xml;base64,AAAA", "only image/png"),
        ("data:application/pdf;base64,AAAA", "only image/png"),
        ("data:image/png;base64,A", "base64 is broken"),
        ("data:image/png;base64,iVBÖ", "base64 is broken"),
        ("data:image/png;base64,", "is no PNG picture"),
        (PNG_URL.replace("png", "webp"), "is no WEBP picture"),
    ],
)
def test_pictures_that_are_none_are_refused(url: str, why: str) -> None:
    error = refused(shown("Look", url))
    assert error.param == "messages[0].content[1].image_url.url"
    assert why in error.message
    assert "AAAA" not in error.message


def test_how_a_picture_is_looked_at_is_the_vendors_choice() -> None:
    part = {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}
    error = refused(body(messages=[{"role": "user", "content": [part]}]))
    assert error.param == "messages[0].content[0].image_url.detail"


def test_who_takes_no_pictures_is_left_out() -> None:
    pictures = parse(shown("Look", PNG_URL)).pictures
    served = catalogue(None)
    reviewer = served.find("reviewer")
    without = served.ready(reviewer, Wishes(), 10, tools=False)
    seeing = served.ready(reviewer, Wishes(), 10, tools=False, pictures=pictures)
    names = [one.provider for one in seeing.planned.plan.candidates]
    assert "anthropic" in names
    assert seeing.picture_tokens >= 5_000
    assert seeing.least > without.least
    blind = AgentModel(provider="openai", params=ModelParams(model="gpt-3.5-turbo"))
    planner = Planner(PersonaRouter(env=KEYS))
    alone = Catalogue([of(agent(name="blind", model=blind))], planner)
    with pytest.raises(ApiError, match="takes no image files") as error:
        alone.ready(alone.find("blind"), Wishes(), 10, tools=False, pictures=pictures)
    assert (error.value.status, error.value.param) == (400, "messages")


# A29


def catalogue(provider: str | None, **env: str) -> Catalogue:
    """Serve a persona, and agents of single vendors."""
    planner = Planner(PersonaRouter(env={**KEYS, **env}), provider=provider)
    openai = agent(name="gpt", model=AgentModel(provider="openai"))
    return Catalogue([of_persona("reviewer"), of(openai)], planner)


def required(found: Catalogue, model: str, **levels: str) -> list[str]:
    ready = found.ready(found.find(model), Wishes(requires=levels), 100, tools=False)
    return [one.provider for one in ready.planned.plan.candidates]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def test_A29_native_on_the_simulator_is_412() -> None:
    found = catalogue("simulated")
    with pytest.raises(ApiError) as error:
        required(found, "gpt", tool_calling="native")
    assert (error.value.status, error.value.code) == (412, "capability_unmet")
    assert "tool_calling simulated (required: native)" in error.value.message
    assert required(found, "gpt", tool_calling="simulated")[0] == "simulated"


def test_A29_limited_or_simulated_on_a_native_provider_will_do(keys: None) -> None:
    found = catalogue(None)
    for level in ("simulated", "limited", "native"):
        assert set(required(found, "gpt", tool_calling=level)) == {"openai"}


def test_A29_who_has_not_what_is_required_is_passed_over(keys: None) -> None:
    found = catalogue(None)
    everybody = required(found, "reviewer")
    with_tools = required(found, "reviewer", tool_calling="native")
    assert "claude_agent" not in with_tools
    assert with_tools
    assert set(with_tools) <= set(everybody)


def test_A29_what_an_adapter_makes_up_for_is_limited() -> None:
    found = catalogue("simulated")

    def level(provider: str, model: str, name: str) -> str | None:
        return found.level(Candidate.model_construct(provider=provider, model=model), name)

    assert level("openai", "gpt-5.4-mini", "stop_sequences") == "limited"
    assert level("openai", "gpt-4o-mini", "stop_sequences") == "native"
    assert level("claude_agent", "claude-sonnet-5-5", "tool_calling") is None
    assert level("simulated", "gpt-4o-mini", "json_mode") == "simulated"


def test_A29_an_unknown_capability_is_named() -> None:
    with pytest.raises(ApiError, match="telepathy is no capability") as error:
        required(catalogue("simulated"), "gpt", telepathy="native")
    assert error.value.status == 400


def test_a_list_means_any_level() -> None:
    assert parse(body(requires=["tool_calling"])).wishes.requires == {"tool_calling": "simulated"}


def test_who_cannot_answer_is_not_served() -> None:
    planner = Planner(PersonaRouter(env={}), provider=None)
    able, notes = check(Catalogue([of(agent(model=AgentModel(provider="nobody")))], planner))
    assert able == ()
    assert notes[0].startswith("tested is not served: ")


def test_who_is_not_served_for_want_of_a_key_is_told_which() -> None:
    planner = Planner(PersonaRouter(env={}), provider=None)
    _, (note,) = check(Catalogue([of_persona("qa_engineer")], planner))
    assert note.startswith("qa_engineer is not served: ")
    assert "EP_OPENAI_API_KEY is not set" in note
