"""Chat Completions: what imitators and gateways make of texts, endings, errors and usage."""

from typing import Any

from tests.wire.hostile.stream import DONE, Call, Counts, Hostile, events

API = "openai_chat"
USAGE = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
COUNTS = Counts(20, 7)


def chunk(delta: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    """One chunk; `choice` holds further fields of its choice."""
    more = fields.pop("choice", {})
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish, **more}
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": [choice], **fields}


def said(text: str, finish: Any = None, **fields: Any) -> dict[str, Any]:
    return chunk({"content": text}, finish, **fields)


def bare(**fields: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [], **fields}


def chat(name: str, *payloads: Any, **truth: Any) -> Hostile:
    return Hostile(API, name, events(*payloads), **truth)


_FILTER = {"hate": {"filtered": False, "severity": "safe"}}
_FLAGGED = {"violence": {"filtered": True, "severity": "high"}}

CHAT: tuple[Hostile, ...] = (
    chat("azure, prompt filter first", {"id": "", "model": "", "object": "", "created": 0,
         "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
         chunk({"role": "assistant", "content": "", "refusal": None}),
         said("Hi", choice={"content_filter_results": _FILTER}), said(" you"),
         {"id": "", "model": "", "choices": [{"index": 0, "finish_reason": None,
          "content_filter_results": _FILTER, "content_filter_offsets": {"end_offset": 5}}]},
         chunk({}, "stop"), bare(usage=USAGE), DONE, text="Hi you", usage=COUNTS, marked=False),
    chat("azure, filtered in mid-answer", said("I will"),
         chunk({}, "content_filter", choice={"content_filter_results": _FLAGGED}), DONE,
         text="I will", finish="content_filter", marked=False),
    chat("openrouter, comments and an empty delta with the usage", b": OPENROUTER PROCESSING\n\n",
         b": OPENROUTER PROCESSING\n\n", chunk({"role": "assistant", "content": "A"}),
         chunk({"role": "assistant", "content": "B"}, choice={"native_finish_reason": None}),
         chunk({"role": "assistant", "content": ""}, "stop",
               choice={"native_finish_reason": "completed"}),
         chunk({"role": "assistant", "content": ""}, usage={**USAGE, "cost": 0.0001}), DONE,
         text="AB", usage=COUNTS, marked=False),
    chat("openrouter, error chunk", said("Once"),
         {**chunk({"content": ""}, "error"), "error": {"code": 502, "message": "Provider broke",
          "metadata": {"provider_name": "x"}}}, text="Once", error="ServerFailed",
         says="Provider broke"),
    chat("openrouter, error in the choice", said("Once"),
         said(" upon", "error", choice={"error": {"code": 429, "message": "slow down"}}), DONE,
         text="Once upon", error="RateLimited", says="slow down"),
    chat("groq, usage of its own", chunk({"role": "assistant"}, x_groq={"id": "req_1"}),
         said("ok"), chunk({}, "stop", x_groq={"id": "req_1", "usage": {**USAGE,
         "queue_time": 0.1}}), DONE, text="ok", usage=COUNTS, marked=False),
    chat("groq, error of its own", said("half"),
         chunk({}, x_groq={"id": "req_1", "error": "over_capacity"}), DONE, text="half",
         error="ServerFailed", says="over_capacity"),
    chat("deepseek, thoughts and cache hits", b": keep-alive\n\n",
         chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
         chunk({"content": None, "reasoning_content": "hm"}),
         chunk({"content": "42", "reasoning_content": None}), chunk({"content": ""}, "stop",
         usage={**USAGE, "prompt_cache_hit_tokens": 12, "prompt_cache_miss_tokens": 8,
                "completion_tokens_details": {"reasoning_tokens": 4}}), DONE, text="42",
         reasoning="hm", usage=Counts(20, 7, cached=12, reasoning=4), marked=False),
    chat("deepseek, out of resources", said("4"), chunk({}, "insufficient_system_resource"), DONE,
         text="4", error="Overloaded"),
    chat("mistral, content in parts", chunk({"role": "assistant", "content": ""}),
         chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
         chunk({"content": [{"type": "text", "text": "Par"}, {"type": "reference",
         "reference_ids": [1]}]}), said("is", "stop", usage=USAGE), DONE, text="Paris",
         reasoning="hm", usage=COUNTS, marked=False),
    chat("vllm, one thought under two names, usage in each chunk",
         chunk({"reasoning": "h", "reasoning_content": "h"}, usage={**USAGE,
         "completion_tokens": 1, "total_tokens": 21}), said("a", usage={**USAGE,
         "completion_tokens": 2, "total_tokens": 22}), chunk({"content": ""}, "stop",
         choice={"stop_reason": None}), bare(usage=USAGE), DONE, text="a", reasoning="h",
         usage=COUNTS, marked=False),
    chat("vllm, error with status 200", {"error": {"object": "error", "message": "bad prompt",
         "type": "BadRequestError", "param": None, "code": 400}}, DONE, error="InvalidRequest",
         retryable=False),
    chat("vllm, aborted and marked as done", said("Half an ans"), chunk({"content": "w"}, "abort"),
         bare(usage=USAGE), DONE, text="Half an answ", error="StreamInterrupted", says="abort"),
    chat("ollama, empty finish reasons", said("a", ""), said("b", ""), said("", "stop"), DONE,
         text="ab", marked=False),
    chat("ollama, error as a string", said("a"), {"error": "model runner has stopped"}, text="a",
         error="ServerFailed", says="model runner"),
    chat("litellm, words for nulls", said("a"), {"error": {"message": "litellm.RateLimitError",
         "type": "None", "param": "None", "code": "429"}}, text="a", error="RateLimited"),
    chat("gateway, name of an exception", {"error": {"message": "x", "type": "NotFoundError"}},
         error="ModelNotFound", retryable=False),
    chat("gateway, spent money in the stream", said("a"), {"error": {"message":
         "Your credit balance is too low", "type": "invalid_request_error"}}, text="a",
         error="RateLimited", retryable=False),
    chat("google, a call that was filtered", said("Let me see."),
         chunk({}, "function_call_filter: MALFORMED_FUNCTION_CALL"), DONE, text="Let me see.",
         error="ServerFailed"),
    chat("google, reason with its detail", said("Four score"),
         chunk({}, "content_filter: RECITATION"), DONE, text="Four score",
         finish="content_filter", marked=False),
    chat("stop on the first chunk already", chunk({"role": "assistant", "content": ""}, "stop"),
         said("all"), said(" of it"), chunk({}, "stop"), DONE, text="all of it",
         early=True, marked=False),
    chat("text after a finish, then the end", said("Once", "stop"), said(" upon a"),
         text="Once upon a", error="StreamInterrupted"),
    chat("[DONE] and no reason", said("natural end"), DONE, text="natural end"),
    chat("null as a word", said("a", "null"), said("b", "None"), text="ab",
         error="StreamInterrupted"),
    chat("capitals", said("a"), chunk({}, "COMPLETE"), text="a", marked=False),
    chat("an error in capitals", said("a"), chunk({}, "ERROR"), DONE, text="a",
         error="ServerFailed"),
    chat("cancelled by the server", said("a"), chunk({}, "cancelled"), DONE, text="a",
         error="StreamInterrupted"),
    chat("two choices, interleaved", said("y"), said("n", choice={"index": 1}), said("es"),
         said("o", "length", choice={"index": 1}), chunk({}, "stop"), bare(usage=USAGE), DONE,
         text="yes", usage=COUNTS, marked=False),
    chat("log probabilities that are no JSON", b'data: {"choices":[{"index":0,"delta":{"content":'
         b'"hi"},"logprobs":{"content":[{"token":"hi","logprob":-Infinity,"top_logprobs":'
         b'[{"logprob":NaN}]}]},"finish_reason":"stop"}],"created":123456789012345678901234}\n\n',
         DONE, text="hi", marked=False),
    chat("usage with nulls", said("a"), chunk({}, "stop", usage={"prompt_tokens": 9,
         "completion_tokens": None, "total_tokens": None, "prompt_tokens_details": None}), DONE,
         text="a", usage=Counts(9, 0, estimated=True), marked=False),
    chat("usage of zeros", said("a"), chunk({}, "stop"), bare(usage={"prompt_tokens": 0,
         "completion_tokens": 0, "total_tokens": 0}), DONE, text="a",
         usage=Counts(0, 0, estimated=True), marked=False),
    chat("usage twice, the later one whole", said("a", usage={**USAGE, "completion_tokens": 1,
         "prompt_tokens_details": {"cached_tokens": 5}}), chunk({}, "stop"), bare(usage=USAGE),
         DONE, text="a", usage=COUNTS, marked=False),
    chat("usage in the choice", said("a"), chunk({}, "stop", choice={"usage": USAGE}), DONE,
         text="a", usage=COUNTS, marked=False),
    chat("marker twice, text after it", said("a"), chunk({}, "stop"), DONE, said(" lie"), DONE,
         text="a", marked=False),
    chat("refusal in pieces", chunk({"role": "assistant", "content": None, "refusal": ""}),
         chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, "stop"), DONE,
         finish="refusal", state={"vendor": "openai", "refusal": "I cannot."}, marked=False),
    chat("a whole answer in one event", {"id": "c1", "object": "chat.completion", "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": "all at once",
         "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f",
         "arguments": '{"x": 1}'}}]}, "finish_reason": "tool_calls"}], "usage": USAGE}, DONE,
         text="all at once", calls=(Call("f", {"x": 1}, "t1"),), finish="tool_calls",
         usage=COUNTS, marked=False),
    chat("the whole message again at the end", said("no "), said("echo"), {"object":
         "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message":
         {"role": "assistant", "content": "no echo"}}]}, DONE, text="no echo", marked=False),
    chat("delta and message side by side", said("no ", choice={"message": {"content": "no "}}),
         said("echo", "stop", choice={"message": {"content": "no echo"}}), DONE, text="no echo",
         marked=False),
    chat("a character in two halves", b'data: {"choices":[{"delta":{"content":"a \\ud83d"}}]}\n\n',
         b'data: {"choices":[{"delta":{"content":"\\udc4b b"}}]}\n\n',
         b'data: {"choices":[{"delta":{"content":"\\ud83d"},"finish_reason":"stop"}]}\n\n', DONE,
         text="a 👋 b\ufffd", marked=False),
    chat("half a character in a thought and in a call",
         b'data: {"choices":[{"delta":{"reasoning":"\\ud83d"}}]}\n\n',
         b'data: {"choices":[{"delta":{"reasoning":"\\udc4b"}}]}\n\n',
         b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f",'
         b'"arguments":"{\\"x\\":\\"\\ud83d"}}]}}]}\n\n',
         b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":'
         b'"\\udc4b\\"}"}}]},"finish_reason":"tool_calls"}]}\n\n', DONE, reasoning="👋",
         calls=(Call("f", {"x": "👋"}, "t"),), finish="tool_calls", marked=False),
)  # fmt: skip
