"""Anthropic's events, one oddity at a time."""

from typing import Any

import pytest

from providers.anthropic_messages import usage_of
from providers.exceptions import Overloaded, ProviderError, ServerFailed, StreamInterrupted
from providers.sse import ServerSentEvent, SSEDecoder
from providers.stops import StopCutter
from tests.providers.anthropic_events import (
    STOP,
    answer,
    block,
    calls_of,
    delta,
    end,
    parser,
    read,
    start,
    stop,
    text_of,
)
from tests.wire.streams import sse

pytestmark = pytest.mark.unit


def test_the_last_chunk_has_finish_usage_and_ids() -> None:
    usage = {"input_tokens": 7, "output_tokens": 1}
    chunks = read([start(usage), *answer("Hi"), end("end_turn", {"output_tokens": 3}), STOP])
    last = chunks[-1]
    assert text_of(chunks) == "Hi"
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 3)
    assert (last.model, last.response_id) == ("claude-x", "msg_1")
    assert last.vendor_state is None


def test_usage_is_known_from_the_first_event_on() -> None:
    reader = parser()
    chunks = reader.feed(ServerSentEvent(sse(start({"input_tokens": 7}))[6:-2]))
    assert chunks[0].usage is not None
    assert chunks[0].usage.prompt_tokens == 7
    assert reader.usage == chunks[0].usage
    assert not reader.usage_final


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("a_new_reason", "a_new_reason"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    assert read([start(), *answer("x"), end(reason), STOP])[-1].finish_reason == finish


def test_a_refusal_says_why_in_vendor_state() -> None:
    details = {"type": "refusal", "category": "cyber"}
    last = read([start(), end("refusal", stop_details=details), STOP])[-1]
    assert last.vendor_state == {"vendor": "anthropic", "stop_details": details}


def test_A16_fragments_make_one_call() -> None:
    chunks = read(
        [
            start(),
            block(0, type="tool_use", id="toolu_1", name="get_weather", input={}),
            delta(0, "input_json_delta", partial_json=""),
            delta(0, "input_json_delta", partial_json='{"loc'),
            delta(0, "input_json_delta", partial_json='ation":"Rome"}'),
            stop(0),
            end("tool_use"),
            STOP,
        ]
    )
    (call,) = calls_of(chunks)
    assert (call.id, call.name, call.arguments) == ("toolu_1", "get_weather", {"location": "Rome"})
    assert chunks[-1].finish_reason == "tool_calls"


def test_a_call_without_arguments_has_none() -> None:
    tool = block(0, type="tool_use", id="t", name="now", input={})
    (call,) = calls_of(read([start(), tool, stop(0), end("tool_use"), STOP]))
    assert call.arguments == {}
    assert call.arguments_error is None


def test_arguments_may_stand_in_the_block_itself() -> None:
    tool = block(0, type="tool_use", id="t", name="f", input={"a": 1})
    (call,) = calls_of(read([start(), tool, stop(0), end("tool_use"), STOP]))
    assert call.arguments == {"a": 1}


@pytest.mark.parametrize("partial", ["", '{"a": [1,'])
def test_a_call_that_the_limit_cut_off_is_not_usable(partial: str) -> None:
    tool = block(0, type="tool_use", id="t", name="f", input={})
    piece = delta(0, "input_json_delta", partial_json=partial)
    (call,) = calls_of(read([start(), tool, piece, end("max_tokens"), STOP]))
    assert call.arguments == {}
    assert call.arguments_error


def test_a_call_that_was_never_closed_still_comes_once() -> None:
    tool = block(0, type="tool_use", id="t", name="f", input={})
    piece = delta(0, "input_json_delta", partial_json='{"a": 1}')
    (call,) = calls_of(read([start(), tool, piece, end("tool_use"), STOP]))
    assert call.arguments == {"a": 1}
    assert call.arguments_error is None


def test_a_block_that_takes_anothers_index_closes_it() -> None:
    first = block(0, type="tool_use", id="t1", name="f", input={})
    second = block(0, type="tool_use", id="t2", name="g", input={})
    found = calls_of(read([start(), first, second, stop(0), end("tool_use"), STOP]))
    assert [call.id for call in found] == ["t1", "t2"]


def test_names_on_the_wire_are_mapped_back() -> None:
    tool = block(0, type="tool_use", id="t", name="fs_read", input={})
    events = [start(), tool, stop(0), end("tool_use"), STOP]
    (call,) = calls_of(read(events, parser(tool_names={"fs_read": "fs.read"})))
    assert call.name == "fs.read"


def test_a_message_may_come_filled_and_finished() -> None:
    content = [
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "1"}},
        {"type": "text", "text": "Look: "},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"id": "c"}},
    ]
    chunks = read([start(content=content, stop_reason="tool_use"), STOP])
    assert text_of(chunks) == "Look: "
    assert [call.arguments for call in calls_of(chunks)] == [{"id": "c"}]
    assert chunks[-1].finish_reason == "tool_calls"


def test_two_message_starts_are_one_message() -> None:
    content = [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]
    first = start({"input_tokens": 10, "output_tokens": 1}, content=content)
    second = start({"input_tokens": 17, "output_tokens": 1}, content=content)
    chunks = read([first, second, *answer("ok"), end("end_turn", {"output_tokens": 2}), STOP])
    assert text_of(chunks) == "ok"
    assert len(calls_of(chunks)) == 1
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (17, 2)


def test_text_that_stands_in_the_block_itself_is_shown() -> None:
    events = [start(), block(0, type="text", text="A"), delta(0, "text_delta", text="B"), stop(0)]
    assert text_of(read([*events, end("end_turn"), STOP])) == "AB"


def test_text_without_a_block_is_shown() -> None:
    events = [start(), delta(3, "text_delta", text="B"), end("end_turn"), STOP]
    assert text_of(read(events)) == "B"


def test_unknown_events_deltas_and_blocks_are_left_out() -> None:
    chunks = read(
        [
            start(),
            {"type": "ping"},
            {"type": "from_the_future", "text": "no"},
            block(0, type="hologram", text=""),
            delta(0, "hologram_delta", text="no"),
            stop(0),
            stop(9),
            *answer("yes"),
            end("end_turn"),
            STOP,
        ]
    )
    assert text_of(chunks) == "yes"


def test_an_event_line_stands_in_for_a_missing_type() -> None:
    reader = parser()
    reader.feed(ServerSentEvent(b'{"message": {"id": "msg_9"}}', "message_start"))
    assert reader.response_id == "msg_9"


# Thoughts and other state that goes back to the vendor


def test_signed_thoughts_are_kept_for_the_next_turn() -> None:
    chunks = read(
        [
            start(),
            block(0, type="thinking", thinking="", signature=""),
            delta(0, "thinking_delta", thinking="Hm"),
            delta(0, "thinking_delta", thinking="m."),
            delta(0, "signature_delta", signature="SIG"),
            stop(0),
            block(1, type="redacted_thinking", data="XYZ"),
            stop(1),
            block(2, type="text", text=""),
            delta(2, "text_delta", text="Yes"),
            stop(2),
            end("end_turn"),
            STOP,
        ]
    )
    assert "".join(c.delta_reasoning or "" for c in chunks) == "Hmm."
    assert text_of(chunks) == "Yes"
    assert chunks[-1].vendor_state == {
        "vendor": "anthropic",
        "content": [
            {"type": "thinking", "thinking": "Hmm.", "signature": "SIG"},
            {"type": "redacted_thinking", "data": "XYZ"},
            {"type": "text", "text": "Yes"},
        ],
    }


def test_server_tools_and_citations_are_kept_for_the_next_turn() -> None:
    citation = {"type": "web_search_result_location", "encrypted_index": "E"}
    last = read(
        [
            start(),
            block(0, type="server_tool_use", id="s", name="web_search", input={}),
            delta(0, "input_json_delta", partial_json='{"query": "x"}'),
            stop(0),
            block(1, type="web_search_tool_result", tool_use_id="s", content=[{"url": "u"}]),
            stop(1),
            block(2, type="text", text="", citations=[]),
            delta(2, "citations_delta", citation=citation),
            delta(2, "text_delta", text="So."),
            stop(2),
            end("pause_turn"),
            STOP,
        ]
    )[-1]
    assert last.finish_reason == "pause"
    assert last.vendor_state is not None
    search, result, text = last.vendor_state["content"]
    assert search["input"] == {"query": "x"}
    assert result["content"] == [{"url": "u"}]
    assert text == {"type": "text", "text": "So.", "citations": [citation]}


def test_a_fallback_names_the_model_that_answered() -> None:
    step = block(0, type="fallback", **{"from": {"model": "a"}, "to": {"model": "claude-y"}})
    events = [start(), step, stop(0), *answer("x"), end("end_turn"), STOP]
    assert read(events)[-1].model == "claude-y"


# Usage


def test_cached_tokens_are_part_of_the_prompt() -> None:
    usage = usage_of(
        {
            "input_tokens": 6,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 60,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
        }
    )
    assert usage.prompt_tokens == 96
    assert (usage.cached_tokens, usage.cache_write_tokens) == (60, 30)
    assert (usage.completion_tokens, usage.reasoning_tokens, usage.total_tokens) == (9, 4, 105)


def test_later_counts_overwrite_and_absent_ones_stay() -> None:
    first = {"input_tokens": 100, "cache_read_input_tokens": 5, "output_tokens": 1}
    later = {"output_tokens": 40, "input_tokens": None, "cache_creation_input_tokens": 2}
    last = read([start(first), *answer("x"), end("end_turn", later), STOP])[-1]
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (107, 40)


def test_rounds_that_the_top_level_leaves_out_are_billed() -> None:
    rounds = [
        {"type": "compaction", "input_tokens": 600, "output_tokens": 50},
        {"type": "message", "input_tokens": 6, "output_tokens": 28, "cache_read_input_tokens": 1},
    ]
    usage = usage_of({"input_tokens": 6, "output_tokens": 28, "iterations": rounds})
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (607, 78, 1)
    assert usage.raw is not None
    assert usage.raw["iterations"] == rounds


def test_a_top_level_that_is_larger_than_its_rounds_counts() -> None:
    usage = usage_of({"input_tokens": 10, "output_tokens": 9, "iterations": [{"output_tokens": 4}]})
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 9)


def test_a_stream_without_usage_has_none() -> None:
    assert read([start(), *answer("x"), end("end_turn"), STOP])[-1].usage is None


# Endings


def test_without_message_stop_the_stream_was_interrupted() -> None:
    reader = parser()
    with pytest.raises(StreamInterrupted, match="message_stop") as caught:
        read([start({"input_tokens": 1}), *answer("x"), end("end_turn", {})], reader)
    assert caught.value.retryable


def test_usage_is_final_once_the_vendor_has_summed_up() -> None:
    reader = parser()
    with pytest.raises(StreamInterrupted):
        read([start({"input_tokens": 1}), end("end_turn", {"output_tokens": 4})], reader)
    assert reader.usage_final


def test_without_a_stop_reason_the_stream_was_interrupted() -> None:
    with pytest.raises(StreamInterrupted, match="stop reason"):
        read([start(), *answer("x"), STOP])


def test_DONE_of_another_api_ends_nothing() -> None:
    reader = parser()
    assert reader.feed(ServerSentEvent(b"[DONE]")) == []
    assert not reader.done


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Overloaded),
        ({"type": "api_error", "message": "oops"}, ServerFailed),
        ({"type": "error", "message": "oops"}, ServerFailed),
    ],
)
def test_an_error_event_raises(error: dict[str, Any], kind: type[ProviderError]) -> None:
    with pytest.raises(kind) as caught:
        read([start(), *answer("x"), {"type": "error", "error": error}])
    assert caught.value.retryable


def test_an_error_line_outside_any_event_raises() -> None:
    (event,) = SSEDecoder().feed(b'error: {"type": "overloaded_error", "message": "busy"}\n\n')
    with pytest.raises(Overloaded):
        parser().feed(event)


def test_stop_sequences_of_ours_end_the_answer() -> None:
    reader = parser(stops=StopCutter(["\n\n"]))
    events = [start(), block(0, type="text", text=""), delta(0, "text_delta", text="one\n")]
    chunks = [c for e in events for c in reader.feed(ServerSentEvent(sse(e)[6:-2]))]
    chunks += reader.feed(ServerSentEvent(sse(delta(0, "text_delta", text="\ntwo"))[6:-2]))
    assert reader.done
    chunks += reader.close()
    assert text_of(chunks) == "one"
    assert chunks[-1].finish_reason == "stop"


def test_what_might_have_been_a_stop_sequence_is_shown_in_the_end() -> None:
    reader = parser(stops=StopCutter(["\n\n"]))
    assert text_of(read([start(), *answer("one\n"), end("end_turn"), STOP], reader)) == "one\n"
