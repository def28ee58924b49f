"""Gemini's chunks, one oddity at a time."""

from itertools import count
from typing import Any

import pytest

from contracts.messages import ChatChunk, ToolCall
from providers.exceptions import (
    InvalidRequest,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerFailed,
    StreamInterrupted,
)
from providers.gemini_arguments import steps
from providers.gemini_content import ContentParser, usage_of
from providers.http_errors import Origin
from providers.sse import SSEDecoder
from providers.stops import StopCutter
from tests.wire.streams import sse

pytestmark = pytest.mark.unit


def parser(**options: Any) -> ContentParser:
    numbers = count(1)
    return ContentParser(Origin("gemini", "m"), new_id=lambda: f"new_{next(numbers)}", **options)


def read(chunks: list[dict[str, Any]], reader: ContentParser | None = None) -> list[ChatChunk]:
    """All chunks of a whole stream."""
    reader = reader or parser()
    decoder = SSEDecoder()
    found: list[ChatChunk] = []
    for chunk in chunks:
        for event in decoder.feed(sse(chunk)):
            found += reader.feed(event)
    return found + reader.close()


def part(*parts: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **fields}


def text(value: str, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return part({"text": value}, finish=finish, **fields)


def call(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return part({"functionCall": fields}, finish=finish)


def text_of(chunks: list[ChatChunk]) -> str:
    return "".join(c.delta_text or "" for c in chunks)


def calls_of(chunks: list[ChatChunk]) -> list[ToolCall]:
    return [c.tool_call for c in chunks if c.tool_call]


def finish_of(chunks: list[ChatChunk]) -> str | None:
    (reason,) = [c.finish_reason for c in chunks if c.finish_reason]
    return reason


def test_text_thoughts_finish_and_ids() -> None:
    head = {"modelVersion": "gemini-x", "responseId": "r1"}
    thought = part({"text": "Hm.", "thought": True}, **head)
    chunks = read([thought, text("Yes", **head), text("!", "STOP", **head)])
    assert text_of(chunks) == "Yes!"
    assert "".join(c.delta_reasoning or "" for c in chunks) == "Hm."
    assert finish_of(chunks) == "stop"
    assert (chunks[-1].model, chunks[-1].response_id) == ("gemini-x", "r1")


def test_STOP_on_every_chunk_ends_nothing() -> None:
    chunks = read([text("a", "STOP"), text("b", "STOP"), text("c", "STOP")])
    assert text_of(chunks) == "abc"
    assert finish_of(chunks) == "stop"


def test_an_error_after_STOP_is_an_error() -> None:
    error = {"error": {"code": 499, "status": "CANCELLED", "message": "cancelled"}}
    with pytest.raises(ServerFailed) as caught:
        read([text("a", "STOP"), error])
    assert caught.value.retryable


def test_text_after_a_finish_needs_another_finish() -> None:
    with pytest.raises(StreamInterrupted):
        read([text("a", "STOP"), text("b")])


def test_what_follows_the_finish_without_text_leaves_it() -> None:
    tail = {"candidates": [{"groundingMetadata": {}}]}
    usage = {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}}
    assert finish_of(read([text("a", "STOP"), tail, usage])) == "stop"


@pytest.mark.parametrize(
    "chunk",
    [
        {},
        {"candidates": []},
        {"candidates": None},
        {"candidates": [{"content": {}}]},
        {"candidates": [{"content": None}]},
        {"candidates": [{"content": {"parts": None}}]},
        {"candidates": [{"content": {"parts": [{}]}}]},
        {"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED"}]},
        {"usageMetadata": None, "promptFeedback": {"safetyRatings": []}},
        {"this": [{"is": {"not": [{"a": "valid"}]}}]},
    ],
)
def test_chunks_without_content(chunk: dict[str, Any]) -> None:
    assert text_of(read([chunk, text("a", "STOP")])) == "a"
    with pytest.raises(StreamInterrupted):
        read([chunk])


def test_only_the_first_candidate_is_read() -> None:
    two = {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"},
            {"index": 1, "content": {"parts": [{"text": "b"}]}, "finishReason": "SAFETY"},
        ]
    }
    chunks = read([two])
    assert text_of(chunks) == "a"
    assert finish_of(chunks) == "stop"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("A_NEW_REASON", "a_new_reason"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    assert finish_of(read([text("a", reason)])) == finish


def test_a_blocked_answer_may_have_no_content() -> None:
    chunks = read([{"candidates": [{"finishReason": "SAFETY", "content": None}]}])
    assert finish_of(chunks) == "content_filter"
    assert text_of(chunks) == ""


def test_a_blocked_prompt_is_an_ending() -> None:
    usage = {"promptTokenCount": 4, "totalTokenCount": 4}
    chunks = read([{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}])
    assert finish_of(chunks) == "content_filter"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 4


@pytest.mark.parametrize(
    "reason", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "OTHER"]
)
def test_an_answer_that_the_vendor_gave_up_can_be_asked_for_again(reason: str) -> None:
    reader = parser()
    usage = {"usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 9}}
    ending = {"candidates": [{"finishReason": reason, "finishMessage": "print(x)"}], **usage}
    with pytest.raises(ServerFailed, match=reason) as caught:
        read([ending], reader)
    assert caught.value.retryable
    assert caught.value.code == reason.lower()
    assert reader.usage_final


def test_a_missing_signature_is_the_requests_fault() -> None:
    with pytest.raises(InvalidRequest):
        read([{"candidates": [{"finishReason": "MISSING_THOUGHT_SIGNATURE"}]}])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 503, "status": "UNAVAILABLE", "message": "busy"}, Overloaded),
        ({"code": 500, "status": "INTERNAL", "message": "x"}, ServerFailed),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}, RateLimited),
        ({"message": "no number, no status"}, ServerFailed),
    ],
)
def test_an_error_chunk_raises(error: dict[str, Any], kind: type[ProviderError]) -> None:
    with pytest.raises(kind):
        read([text("a"), {"error": error}])


def test_the_wait_stands_in_the_errors_details() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x", "details": [info]}
    with pytest.raises(RateLimited) as caught:
        read([{"error": error}])
    assert caught.value.retry_after == 34.5


# Function calls


def test_A16_a_call_comes_once_and_finishes_with_tool_calls() -> None:
    chunks = read([call(name="add", args={"a": 2}), text("", "STOP")])
    (found,) = calls_of(chunks)
    assert (found.id, found.name, found.arguments) == ("new_1", "add", {"a": 2})
    assert finish_of(chunks) == "tool_calls"


def test_calls_keep_the_vendors_ids_and_get_different_new_ones() -> None:
    calls = (
        {"functionCall": {"name": "f", "args": {}, "id": "89nz05jy"}},
        {"functionCall": {"name": "f"}},
        {"functionCall": {"name": "f", "args": None}},
    )
    found = calls_of(read([part(*calls, finish="STOP")]))
    assert [c.id for c in found] == ["89nz05jy", "new_1", "new_2"]
    assert all(c.arguments == {} and c.arguments_error is None for c in found)


def test_a_signature_stays_with_its_call() -> None:
    signed = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "SIG"}
    chunks = read([part(signed, {"functionCall": {"name": "g"}}, finish="STOP")])
    assert [c.signature for c in calls_of(chunks)] == ["SIG", None]
    assert chunks[-1].vendor_state == {
        "vendor": "gemini",
        "parts": [
            {
                "functionCall": {"id": "new_1", "name": "f", "args": {"a": 1}},
                "thoughtSignature": "SIG",
            },
            {"functionCall": {"id": "new_2", "name": "g", "args": {}}},
        ],
    }


def piece(path: str, more: bool = True, **value: Any) -> dict[str, Any]:
    return call(partialArgs=[{"jsonPath": path, **value}], willContinue=more)


def test_streamed_arguments_make_one_call_each() -> None:
    chunks = read(
        [
            call(name="weather", willContinue=True),
            piece("$.where", stringValue="Bos", willContinue=True),
            piece("$.where", stringValue="ton", willContinue=True),
            piece("$.where", stringValue=""),
            call(),
            call(name="weather", willContinue=True),
            piece("$.where", stringValue="Rome"),
            call("STOP"),
        ]
    )
    assert [c.arguments for c in calls_of(chunks)] == [{"where": "Boston"}, {"where": "Rome"}]


def test_streamed_arguments_build_lists_objects_and_all_kinds_of_values() -> None:
    (found,) = calls_of(
        read(
            [
                call(name="f", willContinue=True),
                piece("$.items[0].name", stringValue="apple"),
                piece("$.items[0].price", numberValue=0.5),
                piece("$.items[1].name", stringValue=""),
                piece("$.items[1]['in stock']", boolValue=True),
                piece("$.rest", more=False, nullValue="NULL_VALUE"),
                text("", "STOP"),
            ]
        )
    )
    assert found.arguments == {
        "items": [{"name": "apple", "price": 0.5}, {"name": "", "in stock": True}],
        "rest": None,
    }


def test_a_streamed_call_that_nobody_closed_ends_with_the_answer() -> None:
    chunks = read(
        [call(name="f", willContinue=True), piece("$.a", numberValue=1), text("", "STOP")]
    )
    assert [c.arguments for c in calls_of(chunks)] == [{"a": 1}]
    assert finish_of(chunks) == "tool_calls"


def test_a_new_name_ends_the_call_before_it() -> None:
    chunks = read([call(name="f", willContinue=True), call(name="g", args={}), text("", "STOP")])
    assert [c.name for c in calls_of(chunks)] == ["f", "g"]


def test_steps_of_a_path() -> None:
    assert steps("$.a[0].b_c[12]['d.e'][\"f\"]") == ["a", 0, "b_c", 12, "d.e", "f"]


# State that goes back to the vendor


def test_signed_parts_are_kept_as_they_came_and_texts_are_joined() -> None:
    chunks = read(
        [
            text("Hel"),
            text("lo"),
            part({"text": "Hm", "thought": True}),
            part({"executableCode": {"code": "1+1"}}),
            part({"text": " you", "thoughtSignature": "SIG"}),
            part({"text": "", "thoughtSignature": "SIG2"}, finish="STOP"),
        ]
    )
    assert text_of(chunks) == "Hello you"
    assert chunks[-1].vendor_state == {
        "vendor": "gemini",
        "parts": [
            {"text": "Hello"},
            {"executableCode": {"code": "1+1"}},
            {"text": " you", "thoughtSignature": "SIG"},
            {"text": "", "thoughtSignature": "SIG2"},
        ],
    }


def test_plain_answers_have_no_state() -> None:
    assert read([text("a"), call("STOP", name="f", args={})])[-1].vendor_state is None


# Usage


def test_thoughts_count_as_completion_and_tools_input_as_prompt() -> None:
    usage = usage_of(
        {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 40,
            "toolUsePromptTokenCount": 20,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 7,
            "totalTokenCount": 132,
        }
    )
    assert (usage.prompt_tokens, usage.cached_tokens) == (120, 40)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (12, 7)
    assert usage.total_tokens == 132


def test_the_last_usage_that_counts_tokens_holds_as_a_whole() -> None:
    chunks = read(
        [
            text("a", usageMetadata={"promptTokenCount": 5, "thoughtsTokenCount": 9}),
            text("b", usageMetadata={"promptTokenCount": 6, "candidatesTokenCount": 2}),
            text("c", "STOP", usageMetadata={"trafficType": "ON_DEMAND"}),
        ]
    )
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens) == (6, 2, 0)


def test_usage_is_told_while_the_answer_is_written() -> None:
    reader = parser()
    (event,) = SSEDecoder().feed(sse(text("a", usageMetadata={"promptTokenCount": 5})))
    assert any(c.usage and c.usage.prompt_tokens == 5 for c in reader.feed(event))
    assert not reader.usage_final


def test_stop_sequences_beyond_the_vendors_limit_end_the_answer() -> None:
    reader = parser(stops=StopCutter(["END"]))
    (event,) = SSEDecoder().feed(sse(text("one END two")))
    chunks = reader.feed(event)
    assert reader.done
    chunks += reader.close()
    assert text_of(chunks) == "one "
    assert finish_of(chunks) == "stop"
