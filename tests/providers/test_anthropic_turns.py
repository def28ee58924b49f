"""What a conversation becomes on Anthropic's wire: turns, calls and results, files."""

import base64
from typing import Any

import pytest

from contracts.messages import Message, ToolCall
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from providers.exceptions import InvalidRequest
from tests.providers.anthropic_requests import OWN, WEATHER, body, said, turn

pytestmark = pytest.mark.unit


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
