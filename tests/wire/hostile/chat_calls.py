"""Chat Completions: tool calls as imitators stream them."""

from typing import Any

from tests.wire.hostile.chat import chat, chunk
from tests.wire.hostile.stream import DONE, Call, Hostile

END = (chunk({"content": ""}, "tool_calls"), DONE)
A, B = Call("get_weather", {"city": "Oslo"}, "a"), Call("add", {"n": 2}, "b")


def part(arguments: Any = None, name: Any = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one fragment of a call; fields that are not given are absent."""
    function = {"arguments": arguments, "name": name}
    function = {key: value for key, value in function.items() if value is not None}
    return chunk({"tool_calls": [{"type": "function", "function": function, **fields}]})


def calls(name: str, *payloads: Any, **truth: Any) -> Hostile:
    truth.setdefault("calls", (A,))
    return chat(name, *payloads, **{"finish": "tool_calls", "marked": False, **truth})


_RAW = '{"city": "Oslo"}'

CHAT_CALLS: tuple[Hostile, ...] = (
    calls("arguments by the character", part("", "get_weather", index=0, id="a"),
          *(part(letter, index=0) for letter in _RAW), *END),
    calls("name in pieces", part(name="get_", index=0, id="a"), part(name="weather", index=0),
          part(_RAW, index=0), *END),
    calls("name in pieces under a repeated id", part("", "get_", index=0, id="a"),
          part("", "weather", index=0, id="a"), part(_RAW, index=0, id="a"), *END),
    calls("name and id in every fragment", *(part(piece, "get_weather", index=0, id="a")
          for piece in ('{"city"', ": ", '"Oslo"}')), *END),
    calls("name after the arguments", part(_RAW, index=0, id="a"),
          part("", "get_weather", index=0), *END),
    calls("null name, null arguments", chunk({"tool_calls": [{"index": 0, "id": "a", "function":
          {"name": "get_weather", "arguments": None}}]}), chunk({"tool_calls": [{"index": 0,
          "id": None, "function": {"name": None, "arguments": _RAW}}]}), *END),
    calls("in parallel, interleaved", part('{"city"', "get_weather", index=0, id="a"),
          part('{"n"', "add", index=1, id="b"), part(': "Oslo"}', index=0), part(": 2}", index=1),
          *END, calls=(A, B)),
    calls("no index, told apart by id", part('{"city"', "get_weather", id="a"),
          part('{"n"', "add", id="b"), part(': "Oslo"}', id="a"), part(": 2}", id="b"), *END,
          calls=(A, B)),
    calls("one index for all, told apart by id", part('{"city"', "get_weather", index=0, id="a"),
          part(': "Oslo"}', index=0, id="a"), part('{"n"', "add", index=0, id="b"),
          part(": 2}", index=0, id="b"), *END, calls=(A, B)),
    calls("no index, no ids, no arguments", part(name="now"), part(name="today"), *END,
          calls=(Call("now", {}), Call("today", {}))),
    calls("two calls in one fragment list, without index", chunk({"tool_calls": [
          {"id": "a", "function": {"name": "get_weather", "arguments": _RAW}},
          {"id": "b", "function": {"name": "add", "arguments": {"n": 2}}}]}), *END, calls=(A, B)),
    calls("one id for two calls", part(_RAW, "get_weather", index=0, id="a"),
          part('{"n": 2}', "add", index=1, id="a"), *END, calls=(A, Call("add", {"n": 2}, "a_1"))),
    calls("text, then calls, finish says stop", chunk({"content": "Let me look. "}),
          part(_RAW, "get_weather", index=0, id="a"), chunk({}, "stop"), DONE,
          text="Let me look. "),
    calls("null among the fragments", chunk({"tool_calls": [None]}),
          part(_RAW, "get_weather", index=0, id="a"), chunk({"tool_calls": None}), *END),
    calls("cut before its arguments", part("", "get_weather", index=0, id="a"),
          chunk({}, "length"), DONE, finish="length",
          calls=(Call("get_weather", {}, "a", "the answer ended before"),)),
    calls("cut within its arguments", part('{"city": "Os', "get_weather", index=0, id="a"),
          chunk({}, "length"), DONE, finish="length",
          calls=(Call("get_weather", {}, "a", "no valid JSON"),)),
    calls("an integer that would lose digits", part('{"id": 123456789012345678901234567890}',
          "get", index=0, id="a"), *END, calls=(Call("get", {}, "a", "beyond 64 bits"),)),
    calls("long integers that fit", part('{"id": 18446744073709551615, "s": "12345678901234567'
          '89012", "f": 1.2345678901234567890123}', "get", index=0, id="a"), *END,
          calls=(Call("get", {"id": 18446744073709551615, "s": "1234567890123456789012",
                              "f": 1.2345678901234567}, "a"),)),
)  # fmt: skip
