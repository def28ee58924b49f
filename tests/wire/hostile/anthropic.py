"""Messages: blocks, endings and counts, by Anthropic and by those who speak like it."""

from typing import Any

from tests.wire.hostile.stream import DONE, Call, Counts, Hostile, named
from tests.wire.streams import sse

API = "anthropic"
PROMPT = {"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 5}
COUNTS = Counts(25, 7, cached=5)


def start(usage: Any = PROMPT, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "usage": {"output_tokens": 1, **usage},
    }
    return {"type": "message_start", "message": {**message, **fields}}


def block(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    content = {"type": kind, **fields}
    return {"type": "content_block_start", "index": index, "content_block": content}


def tool(name: str = "f", index: int = 0, **fields: Any) -> dict[str, Any]:
    return block("tool_use", index, **{"id": f"toolu_{index}", "name": name, "input": {}, **fields})


def delta(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    change = {"type": f"{kind}_delta", **fields}
    return {"type": "content_block_delta", "index": index, "delta": change}


def text(words: str, index: int = 0) -> dict[str, Any]:
    return delta("text", index, text=words)


def json(piece: str, index: int = 0) -> dict[str, Any]:
    return delta("input_json", index, partial_json=piece)


def stop(index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: Any = "end_turn", usage: Any = None, **fields: Any) -> tuple[Any, ...]:
    counts = {"output_tokens": 7} if usage is None else usage
    change = {"stop_reason": reason, "stop_sequence": None, **fields}
    told = {"type": "message_delta", "delta": change, "usage": counts}
    return told, {"type": "message_stop"}


def answer(words: str, *, last: Any = None) -> tuple[Any, ...]:
    return (block("text", text=""), text(words), stop(), *(last or end()))


def anthropic(name: str, *payloads: Any, **truth: Any) -> Hostile:
    truth.setdefault("usage", COUNTS)
    begun = () if payloads and payloads[0]["type"] == "message_start" else (start(),)
    return Hostile(API, name, named(*begun, *payloads), **truth)


def error(kind: str, message: str = "boom") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


_BROKEN = Counts(25, 1, cached=5)
_F = Call("f", {"x": 1}, "toolu_0")
_G = Call("g", {"y": 2}, "toolu_1")
_CUT = "the answer ended before"
_SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2lnbg=="}
_HIDDEN = {"type": "redacted_thinking", "data": "b3BhcXVl"}
_SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}}
_FOUND = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [
          {"type": "web_search_result", "url": "u", "encrypted_content": "e"}]}  # fmt: skip
_CITED = {"type": "web_search_result_location", "url": "u", "cited_text": "c"}

ANTHROPIC: tuple[Hostile, ...] = (
    anthropic("signed and hidden thoughts", block("thinking", thinking="", signature=""),
         delta("thinking", thinking="h"), delta("thinking", thinking="m"),
         delta("signature", signature="c2lnbg=="), stop(), block("redacted_thinking", 1,
         data="b3BhcXVl"), stop(1), block("text", 2, text=""), text("42", 2), stop(2), *end(),
         text="42", reasoning="hm", state={"vendor": API, "content": [_SIGNED, _HIDDEN,
         {"type": "text", "text": "42"}]}),
    anthropic("a search of the server's, cited, paused", block("server_tool_use", id="srv_1",
         name="web_search", input={}), json(""), json('{"query"'), json(': "q"}'), stop(),
         block("web_search_tool_result", 1, tool_use_id="srv_1",
         content=_FOUND["content"]), stop(1),
         block("text", 2, text="", citations=[]), text("So ", 2),
         delta("citations", 2, citation=_CITED), text("it is", 2), stop(2), *end("pause_turn"),
         text="So it is", finish="pause", state={"vendor": API, "content": [_SEARCH, _FOUND,
         {"type": "text", "text": "So it is", "citations": [_CITED]}]}),
    anthropic("code of the server's calls a tool", tool(caller={"type": "code_execution_20260120",
         "tool_id": "srv_9"}), json('{"x": 1}'), stop(), *end("tool_use"), finish="tool_calls",
         calls=(_F,), state={"vendor": API, "content": [{"type": "tool_use", "id": "toolu_0",
         "name": "f", "input": {"x": 1}, "caller": {"type": "code_execution_20260120",
         "tool_id": "srv_9"}}]}),
    anthropic("the window is full", *answer("Once", last=end("model_context_window_exceeded")),
         text="Once", finish="length"),
    anthropic("refused in mid-answer", *answer("First, ", last=end("refusal",
         {"output_tokens": 0}, stop_details={"type": "refusal", "category": "cyber"})),
         text="First, ", finish="refusal", usage=Counts(25, 0, cached=5), state={"vendor": API,
         "stop_details": {"type": "refusal", "category": "cyber"}}),
    anthropic("a reason that nobody knows yet", *answer("a", last=end("moonrise")), text="a",
         finish="moonrise"),
    anthropic("cut before a call's arguments", tool(), json(""), stop(), *end("max_tokens"),
         finish="length", calls=(Call("f", {}, "toolu_0", _CUT),)),
    anthropic("cut within a call's arguments", tool(), json('{"x": '), stop(),
         *end("max_tokens"), finish="length", calls=(Call("f", {}, "toolu_0", "no valid JSON"),)),
    anthropic("a tool without arguments before the one that is cut", tool(), stop(),
         tool("g", 1), stop(1), *end("max_tokens"), finish="length",
         calls=(Call("f", {}, "toolu_0"), Call("g", {}, "toolu_1", _CUT))),
    anthropic("tools without arguments", tool(), json(""), stop(), tool("g", 1), stop(1),
         *end("tool_use"), finish="tool_calls",
         calls=(Call("f", {}, "toolu_0"), Call("g", {}, "toolu_1"))),
    anthropic("arguments in the block's beginning", tool(input={"x": 1}), stop(),
         *end("tool_use"), finish="tool_calls", calls=(_F,)),
    anthropic("arguments by the character", tool(), *(json(c) for c in '{"x": 1}'), stop(),
         *end("tool_use"), finish="tool_calls", calls=(_F,)),
    anthropic("blocks interleaved", block("text", text=""), tool("g", 1), text("Let "),
         json('{"y"', 1), text("me."), json(": 2}", 1), stop(1), stop(), *end("tool_use"),
         text="Let me.", finish="tool_calls", calls=(_G,)),
    anthropic("blocks that are never closed", block("text", text=""), text("Let me."), tool("f"),
         json('{"x": 1}'), *end("tool_use"), text="Let me.", finish="tool_calls", calls=(_F,)),
    anthropic("everything in the start", start(content=[{"type": "text", "text": "all"},
         {"type": "tool_use", "id": "toolu_0", "name": "f", "input": {"x": 1}}]),
         *end("tool_use"), text="all", finish="tool_calls", calls=(_F,)),
    anthropic("text in the block's beginning", block("text", text="On"), text("ce"), stop(),
         *end(), text="Once"),
    anthropic("zeros for the prompt at the end", *answer("a", last=end(usage={"input_tokens": 0,
         "cache_read_input_tokens": 0, "output_tokens": 7})), text="a"),
    anthropic("zeros for a cache of an hour at the end", start({"input_tokens": 20,
         "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 9,
         "ephemeral_5m_input_tokens": 0}}), *answer("a", last=end(usage={"output_tokens": 7,
         "cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 0,
         "ephemeral_5m_input_tokens": 0}})), text="a", usage=Counts(29, 7, written=9, hour=9)),
    anthropic("the prompt at the end only", start({"input_tokens": 0, "output_tokens": 0}),
         *answer("a", last=end(usage={**PROMPT, "output_tokens": 7})), text="a"),
    anthropic("usage twice", block("text", text=""), text("a"), stop(), end(None,
         {"output_tokens": 3})[0], *end(), text="a"),
    anthropic("no usage at the end", *answer("a long answer", last=end(usage={})),
         text="a long answer", usage=Counts(25, 1, cached=5, estimated=True)),
    anthropic("null and details in the usage", *answer("a", last=end(usage={"input_tokens": None,
         "output_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 0},
         "output_tokens_details": {"thinking_tokens": 4}, "server_tool_use": None})), text="a",
         usage=Counts(25, 7, cached=5, reasoning=4)),
    anthropic("overloaded in mid-answer", block("text", text=""), text("Once"),
         error("overloaded_error"), text="Once", error="Overloaded", usage=_BROKEN),
    anthropic("an invalid request, found late", block("text", text=""), text("Once"),
         error("invalid_request_error"), text="Once", error="InvalidRequest", retryable=False,
         usage=_BROKEN),
    anthropic("throttled in mid-answer", error("rate_limit_error"), error="RateLimited",
         usage=_BROKEN),
    anthropic("a time-out of the vendor's", error("timeout_error"), error="ServerFailed",
         usage=_BROKEN),
    Hostile(API, "error without type and name", (sse({"error": {"type": "api_error",
         "message": "boom"}}),), error="ServerFailed", says="boom"),
    anthropic("the end without a reason", *answer("Once", last=end(None)), text="Once",
         error="StreamInterrupted", usage=Counts(25, 7, cached=5)),
    anthropic("a reason without the end", *answer("Once", last=end()[:1]), text="Once",
         error="StreamInterrupted", usage=Counts(25, 7, cached=5)),
    anthropic("[DONE] in place of the end", *answer("Once", last=[DONE]), text="Once",
         error="StreamInterrupted", usage=_BROKEN),
    anthropic("blocks and an end after the end", *answer("a"), block("text", 1, text=""),
         text(" lie", 1), *end("refusal"), text="a", marked=False),
    anthropic("an event and a block of the future", {"type": "content_hint", "x": 1},
         block("hologram", 0, data="?"), delta("hologram", data="?"), stop(),
         block("text", 1, text=""), text("a", 1), stop(1), *end(), text="a",
         state={"vendor": API, "content": [{"type": "hologram", "data": "?"},
         {"type": "text", "text": "a"}]}),
    anthropic("a character in two halves", block("text", text=""),
         b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
         b'"text":"\\ud83d"}}\n\n', b'data: {"type":"content_block_delta","index":0,"delta":'
         b'{"type":"text_delta","text":"\\udc4b"}}\n\n', stop(), *end(), text="👋"),
)  # fmt: skip
