"""What imitators of OpenAI's APIs send, beyond the conformance suite."""

from typing import Any

import orjson
import pytest

from contracts.messages import ChatChunk
from providers.exceptions import ProviderError
from providers.http_errors import Origin
from providers.openai_chat import ChatParser
from providers.openai_responses import ResponsesParser
from providers.reading import EventParser
from providers.sse import ServerSentEvent

pytestmark = pytest.mark.unit

ORIGIN = Origin("vendor", "m")


def read(parser: EventParser, *payloads: Any) -> list[ChatChunk]:
    chunks: list[ChatChunk] = []
    for payload in payloads:
        data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        chunks += parser.feed(ServerSentEvent(data))
    return chunks + parser.close()


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(arguments: Any, index: int | None = 0, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **{k: v for k, v in fields.items() if k == "name"}}
    fragment = {"index": index, "function": function}
    if "id" in fields:
        fragment["id"] = fields["id"]
    return delta(tool_calls=[{k: v for k, v in fragment.items() if v is not None}])


def calls(chunks: list[ChatChunk]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (c.tool_call.id, c.tool_call.name, c.tool_call.arguments) for c in chunks if c.tool_call
    ]


DONE = b"[DONE]"
A, B = ("c1", "f", {"x": 1}), ("c2", "g", {"y": 2})


@pytest.mark.parametrize(
    ("fragments", "wanted"),
    [
        (
            [
                call('{"x"', id="c1", name="f"),
                call(": 1", id="c1", name="f"),
                call("}", id="c1", name="f"),
            ],
            [A],
        ),
        (
            [
                call('{"x":', id="c1", name="f"),
                call('{"y":', 1, id="c2", name="g"),
                call("1}"),
                call("2}", 1),
            ],
            [A, B],
        ),
        ([call('{"x":1}', id="c1", name="f"), call('{"y":2}', id="c2", name="g")], [A, B]),
        (
            [call('{"x":1}', None, id="c1", name="f"), call('{"y":2}', None, id="c2", name="g")],
            [A, B],
        ),
        (
            [call('{"x":1}', name="f"), call('{"y":2}', name="g")],
            [("call_0", "f", {"x": 1}), ("call_1", "g", {"y": 2})],
        ),
        ([call({"x": 1}, id="c1", name="f")], [A]),
        ([call(None, id="c1", name="f")], [("c1", "f", {})]),
        ([call("", id="", name="f"), call('{"x":1}', id="c1")], [A]),
    ],
    ids=[
        "id and name repeated",
        "interleaved",
        "all numbered 0",
        "no numbers",
        "no ids",
        "object for text",
        "null arguments",
        "id comes late",
    ],
)
def test_fragments_of_calls(fragments: list[Any], wanted: list[Any]) -> None:
    chunks = read(ChatParser(ORIGIN), *fragments, delta("tool_calls"), DONE)
    assert calls(chunks) == wanted


def test_the_function_call_of_old() -> None:
    parts = [{"name": "f", "arguments": ""}, {"arguments": '{"x":'}, {"arguments": "1}"}]
    fragments = [delta(function_call=part) for part in parts]
    chunks = read(ChatParser(ORIGIN), *fragments, delta("function_call"), DONE)
    assert calls(chunks) == [("call_0", "f", {"x": 1})]
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("raw", "ours"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("something_new", "something_new"),
    ],
)
def test_finish(raw: str, ours: str) -> None:
    chunks = read(ChatParser(ORIGIN), delta(content="a"), delta(raw), DONE)
    assert chunks[-1].finish_reason == ours


def test_stop_with_calls_means_calls() -> None:
    chunks = read(ChatParser(ORIGIN), call("{}", id="c", name="f"), delta("stop"), DONE)
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource"])
def test_finish_reasons_that_are_errors(reason: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(ChatParser(ORIGIN), delta(content="a"), delta(reason))
    assert caught.value.retryable


def test_done_without_a_reason_is_an_end_but_not_without_an_answer() -> None:
    chunks = read(ChatParser(ORIGIN), delta(content="a"), DONE)
    assert [c.delta_text for c in chunks if c.delta_text] == ["a"]
    assert chunks[-1].finish_reason == "stop"
    with pytest.raises(ProviderError) as caught:
        read(ChatParser(ORIGIN), DONE)
    assert caught.value.kind == "StreamInterrupted"


def test_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    content = [thinking, {"type": "text", "text": "ok"}]
    chunks = read(ChatParser(ORIGIN), delta(content=content), delta("stop"), DONE)
    assert [(c.delta_text, c.delta_reasoning) for c in chunks[:2]] == [(None, "hm"), ("ok", None)]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_no_text(field: str) -> None:
    chunks = read(ChatParser(ORIGIN), delta(**{field: "hm"}), delta("stop"), DONE)
    assert chunks[0].delta_reasoning == "hm"
    assert not any(c.delta_text for c in chunks)


@pytest.mark.parametrize(
    "last",
    [
        {"id": "1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {"id": "1", "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
        {"choices": [{"delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]},
    ],
)
def test_usage_wherever_it_stands(last: Any) -> None:
    early = {**delta(content="a"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    parser = ChatParser(ORIGIN)
    usage = read(parser, early, delta("stop"), last, DONE)[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 2, 5)
    assert parser.usage_final


def test_only_the_first_choice_is_the_answer() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    chunks = read(ChatParser(ORIGIN), other, delta(content="yes"), delta("stop"), other, DONE)
    assert "".join(c.delta_text or "" for c in chunks) == "yes"
    assert chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"error": {"message": "m", "code": 502}, "choices": []}, "ServerFailed"),
        ({"object": "error", "message": "m", "code": 400}, "InvalidRequest"),
        ({"error": "overloaded"}, "Overloaded"),
    ],
)
def test_errors_in_the_stream(payload: Any, kind: str) -> None:
    with pytest.raises(ProviderError) as caught:
        read(ChatParser(ORIGIN), delta(content="a"), payload)
    assert caught.value.kind == kind


@pytest.mark.parametrize("make", [ChatParser, ResponsesParser])
def test_an_error_event_need_not_be_json(make: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        make(ORIGIN).feed(ServerSentEvent(b"upstream is gone", "error"))
    assert "upstream is gone" in str(caught.value)
    assert caught.value.kind == "ServerFailed"


def done(**fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"id": "r", "status": "completed", **fields}}


ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f"}


def test_responses_text_and_calls_that_only_the_final_output_holds() -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
    output = [message, {**ITEM, "arguments": '{"x":1}'}]
    chunks = read(ResponsesParser(ORIGIN), done(output=output))
    assert "".join(c.delta_text or "" for c in chunks) == "a"
    assert calls(chunks) == [A]
    assert chunks[-1].finish_reason == "tool_calls"


def test_responses_calls_that_are_never_closed() -> None:
    added = {"type": "response.output_item.added", "item": ITEM}
    parts = [
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": part}
        for part in ('{"x"', ":1}")
    ]
    chunks = read(ResponsesParser(ORIGIN), added, *parts, done(output=[]))
    assert calls(chunks) == [A]


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")],
)
def test_responses_incomplete(reason: str | None, ours: str) -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    event = {"type": "response.incomplete", "response": response}
    assert read(ResponsesParser(ORIGIN), event)[-1].finish_reason == ours


@pytest.mark.parametrize(
    ("event", "kind", "retryable"),
    [
        (
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}},
            "RateLimited",
            True,
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "invalid_prompt"}}},
            "ContentRefused",
            False,
        ),
        ({"type": "response.failed", "response": {"status": "failed"}}, "ServerFailed", True),
        (
            {"type": "response.completed", "response": {"status": "cancelled"}},
            "StreamInterrupted",
            True,
        ),
        ({"type": "error", "code": "server_error", "message": "m"}, "ServerFailed", True),
        ({"type": "error", "error": {"code": "insufficient_quota"}}, "RateLimited", False),
    ],
)
def test_responses_errors(event: Any, kind: str, retryable: bool) -> None:
    with pytest.raises(ProviderError) as caught:
        read(ResponsesParser(ORIGIN), event)
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)


def test_responses_failed_keeps_its_final_usage() -> None:
    parser = ResponsesParser(ORIGIN)
    usage = {"input_tokens": 3, "output_tokens": 2}
    event = {"type": "response.failed", "response": {"error": {"code": "x"}, "usage": usage}}
    with pytest.raises(ProviderError):
        parser.feed(ServerSentEvent(orjson.dumps(event)))
    assert parser.usage is not None
    assert parser.usage.completion_tokens == 2
    assert parser.usage_final


def test_responses_items_with_signed_thoughts_are_kept_for_the_next_turn() -> None:
    thought = {"type": "reasoning", "id": "rs", "encrypted_content": "x"}
    items = [thought, {**ITEM, "arguments": "{}"}]
    events = [{"type": "response.output_item.done", "item": item} for item in items]
    chunks = read(ResponsesParser(ORIGIN), *events, done())
    assert chunks[-1].vendor_state == {"vendor": "openai", "items": items}
