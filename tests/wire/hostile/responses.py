"""Responses: items and endings of all kinds, and servers that leave out half of the events."""

from typing import Any

from tests.wire.hostile.stream import DONE, Call, Counts, Hostile, named
from tests.wire.streams import sse

API = "openai_responses"
USAGE = {"input_tokens": 20, "output_tokens": 7, "total_tokens": 27,
         "input_tokens_details": {"cached_tokens": 8},
         "output_tokens_details": {"reasoning_tokens": 3}}  # fmt: skip
COUNTS = Counts(20, 7, cached=8, reasoning=3)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def delta(text: str, kind: str = "output_text.delta", **fields: Any) -> dict[str, Any]:
    return event(kind, **{"item_id": "m1", "output_index": 0, "delta": text, **fields})


def end(kind: str = "completed", output: Any = (), **fields: Any) -> dict[str, Any]:
    fields.setdefault("usage", USAGE)
    response = {"id": "r1", "model": "m", "status": kind, "output": list(output), **fields}
    return event(kind, response=response)


def message(*parts: Any, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": p} if isinstance(p, str) else p for p in parts]
    return {"id": "m1", "type": "message", "role": "assistant", "content": content, **fields}


def call(name: str = "f", arguments: Any = "", number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}",
            "name": name, "arguments": arguments, **fields}  # fmt: skip


def added(item: dict[str, Any], index: Any = 0) -> dict[str, Any]:
    return event("output_item.added", output_index=index, item=item)


def closed(item: dict[str, Any], index: Any = 0) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=item)


def args(text: str, item: Any = "fc_1", index: Any = 0) -> dict[str, Any]:
    return delta(text, "function_call_arguments.delta", item_id=item, output_index=index)


def responses(name: str, *payloads: Any, **truth: Any) -> Hostile:
    truth.setdefault("usage", COUNTS)
    return Hostile(API, name, named(START, *payloads), **truth)


START = event("created", response={"id": "r1", "model": "m", "status": "in_progress",
              "error": None, "incomplete_details": None, "usage": None})  # fmt: skip
_THOUGHT = {"id": "rs_1", "type": "reasoning", "encrypted_content": "c2VjcmV0",
            "summary": [{"type": "summary_text", "text": "hm"}]}  # fmt: skip
_REFUSED = {"type": "refusal", "refusal": "I cannot."}
_STATE = {"vendor": "openai", "refusal": "I cannot."}
_F = Call("f", {"x": 1}, "call_1")
_G = Call("g", {"y": 2}, "call_2")
_CALLED = {"finish": "tool_calls", "calls": (_F,)}
_TWO = {"finish": "tool_calls", "calls": (_F, _G)}

RESPONSES: tuple[Hostile, ...] = (
    responses("thoughts, summaries and signed items", added({"id": "rs_1", "type": "reasoning"}),
         event("reasoning_summary_part.added", part={"type": "summary_text", "text": ""}),
         delta("h", "reasoning_summary_text.delta", obfuscation="x7"),
         delta("m", "reasoning_summary_text.delta"), event("reasoning_summary_text.done",
         text="hm"), event("reasoning_summary_part.done", part=_THOUGHT["summary"]),
         closed(_THOUGHT), delta("42", output_index=1, logprobs=[]),
         event("output_text.done", text="42", output_index=1), closed(message("42"), 1),
         end(output=[_THOUGHT, message("42")]), text="42", reasoning="hm",
         state={"vendor": "openai", "items": [_THOUGHT, message("42")]}),
    responses("server tools, annotations, pictures", event("queued", response={"id": "r1"}),
         added({"id": "ws", "type": "web_search_call", "status": "in_progress"}),
         event("web_search_call.searching", item_id="ws"), closed({"id": "ws", "type":
         "web_search_call", "action": {"type": "search", "query": "q"}}),
         event("code_interpreter_call_code.delta", delta="print(1)", item_id="ci"),
         event("mcp_call_arguments.delta", delta='{"a":1}', item_id="mcp"),
         event("mcp_list_tools.failed", item_id="mcp"),
         event("image_generation_call.partial_image", partial_image_b64="aGk="),
         delta("See "), event("output_text.annotation.added", annotation={"type":
         "url_citation", "url": "https://example.org", "title": "T"}), delta("this."),
         closed(message("See this.")), {"type": "keepalive", "sequence_number": 9}, end(),
         text="See this."),
    responses("refusal in pieces", delta("I can", "refusal.delta"), delta("not.",
         "refusal.delta"), event("refusal.done", refusal="I cannot."), closed(message(_REFUSED)),
         end(output=[message(_REFUSED)]), finish="refusal", state=_STATE),
    responses("refusal that is only closed", event("refusal.done", refusal="I cannot."), end(),
         finish="refusal", state=_STATE),
    responses("refusal after text, in the end only", delta("Well. "),
         end(output=[message("Well. ", _REFUSED)]), text="Well. ", finish="refusal",
         state=_STATE),
    responses("refusal in an item only", closed(message(_REFUSED)), end(), finish="refusal",
         state=_STATE),
    responses("cut within the text", delta("Once upon"),
         end("incomplete", incomplete_details={"reason": "max_output_tokens"}),
         text="Once upon", finish="length"),
    responses("filtered", delta("Once"), end("incomplete", incomplete_details={"reason":
         "content_filter"}), text="Once", finish="content_filter"),
    responses("cut before a call's arguments", added(call()),
         end("incomplete", incomplete_details={"reason": "max_output_tokens"}), finish="length",
         calls=(Call("f", {}, "call_1", "the answer ended before"),)),
    responses("cut call, closed as incomplete", added(call()), closed(call(status="incomplete")),
         end("incomplete", incomplete_details={"reason": "max_output_tokens"}), finish="length",
         calls=(Call("f", {}, "call_1", "the answer ended before"),)),
    responses("completed in name, incomplete in fact", delta("Once"), event("completed", response=
         {"status": "incomplete", "incomplete_details": None, "usage": USAGE}), text="Once",
         finish="length"),
    responses("failed, with its usage", delta("Once"), end("failed", error={"code":
         "rate_limit_exceeded", "message": "slow down"}), text="Once", error="RateLimited",
         says="slow down"),
    responses("failed for a picture", end("failed", error={"code": "image_too_large",
         "message": "too large"}), error="InvalidRequest", retryable=False),
    responses("failed by policy", end("failed", error={"code": "bio_policy", "message": "no"}),
         error="ContentRefused", retryable=False),
    responses("failed without a word", end("failed", error=None, usage=None),
         error="ServerFailed", usage=None),
    responses("cancelled", delta("Once"), end("cancelled", usage=None), text="Once",
         error="StreamInterrupted", usage=None),
    responses("flat error", delta("Once"), sse({"type": "error", "code": "server_error",
         "message": "boom", "param": None, "sequence_number": 3}), text="Once",
         error="ServerFailed", says="boom", usage=None),
    responses("nested error with a status", sse({"type": "error", "status": 429, "error":
         {"type": "tokens", "code": "rate_limit_exceeded", "message": "slow"}}),
         error="RateLimited", usage=None),
    responses("error without a type", sse({"error": {"message": "gone", "code": 503}}),
         error="Overloaded", usage=None),
    responses("another id in every event", added(call(id="obf_1")),
         args('{"x":', "obf_2"), args("1}", "obf_3"), closed(call(arguments='{"x":1}',
         id="obf_4")), end(output=[call(arguments='{"x":1}', id="obf_5")]), **_CALLED),
    responses("in parallel, interleaved", added(call()), added(call("g", number=2), 1),
         args('{"x":'), args('{"y":', "fc_2", 1), args("1}"), args("2}", "fc_2", 1),
         closed(call("g", '{"y":2}', 2), 1), closed(call(arguments='{"x":1}')), end(),
         finish="tool_calls", calls=(_G, _F)),
    responses("one index for all items", added(call()), added(call("g", number=2)),
         args('{"x":'), args('{"y":', "fc_2"), args("1}"), args("2}", "fc_2"),
         closed(call("g", number=2)), closed(call()), end(), finish="tool_calls",
         calls=(_G, _F)),
    responses("arguments that are only closed", added(call()), event(
         "function_call_arguments.done", item_id="fc_1", output_index=0, arguments='{"x":1}'),
         end(), **_CALLED),
    responses("arguments in the closed item only", closed(call(arguments='{"x":1}')), end(),
         **_CALLED),
    responses("arguments as an object", closed(call(arguments={"x": 1})), end(), **_CALLED),
    responses("calls in the end only", end(output=[call(arguments='{"x":1}'),
         call("g", '{"y":2}', 2)]), **_TWO),
    responses("calls without ids", added({"type": "function_call", "name": "f"}),
         args('{"x":1}', None, 0), closed({"type": "function_call", "name": "f"}), end(),
         finish="tool_calls", calls=(Call("f", {"x": 1}, "call_0"),)),
    responses("a tool of free text", added(call("sh", type="custom_tool_call")), delta("ls",
         "custom_tool_call_input.delta", item_id="fc_1"), closed(call("sh", None,
         type="custom_tool_call", input="ls")), end(), finish="tool_calls",
         calls=(Call("sh", {}, "call_1", "no valid JSON"),)),
    responses("text that is only closed", event("output_text.done", text="one, "),
         event("output_text.done", text="two"), closed(message("one, ", "two")),
         end(output=[message("one, ", "two")]), text="one, two"),
    responses("text in an item only", closed(message("all")), end(), text="all"),
    responses("text in the end only", end(output=[message("one, "), message("two")]),
         text="one, two"),
    responses("text in pieces and in every close", delta("al"), delta("l"),
         event("output_text.done", text="all"), event("content_part.done", part={"type":
         "output_text", "text": "all"}), closed(message("all")), end(output=[message("all")]),
         text="all"),
    responses("done in place of completed", delta("ok"), event("done", response={"status":
         "completed", "usage": USAGE}), text="ok"),
    responses("two ends, text after them", delta("ok"), end(), delta(" lie"), end("failed"),
         text="ok", marked=False),
    responses("[DONE] in place of the end", delta("Once"), DONE, text="Once",
         error="StreamInterrupted", usage=None),
    responses("usage of zeros", delta("ok"), end(usage={"input_tokens": 0, "output_tokens": 0,
         "total_tokens": 0}), text="ok", usage=Counts(0, 0, estimated=True)),
    responses("usage null", delta("ok"), end(usage=None), text="ok", usage=None),
    responses("a character in two halves", b'data: {"type":"response.output_text.delta",'
         b'"delta":"\\ud83d"}\n\n', b'data: {"type":"response.output_text.delta",'
         b'"delta":"\\udc4b"}\n\n', end(), text="👋"),
)  # fmt: skip
