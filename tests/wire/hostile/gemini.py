"""streamGenerateContent: parts, candidates, endings and counts."""

from typing import Any

from tests.wire.hostile.stream import Call, Counts, Hostile, events

API = "gemini"
USAGE = {"promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 3,
         "cachedContentTokenCount": 8, "totalTokenCount": 27}  # fmt: skip
COUNTS = Counts(20, 7, cached=8, reasoning=3)


def chunk(*parts: Any, finish: Any = None, usage: Any = None, **fields: Any) -> dict[str, Any]:
    """One chunk; texts are parts of text. `candidate` holds further fields of the candidate."""
    made = [{"text": p} if isinstance(p, str) else p for p in parts]
    candidate: dict[str, Any] = {"index": 0, **fields.pop("candidate", {})}
    if made:
        candidate["content"] = {"parts": made, "role": "model"}
    if finish:
        candidate["finishReason"] = finish
    told = {"usageMetadata": usage} if usage else {}
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **told, **fields}


def end(*parts: Any, finish: str = "STOP", **fields: Any) -> dict[str, Any]:
    return chunk(*parts, finish=finish, usage=USAGE, **fields)


def called(name: Any = "f", args: Any = None, signature: str = "", **fields: Any) -> dict[str, Any]:
    body = {"name": name, "args": args, **fields}
    part = {"functionCall": {key: value for key, value in body.items() if value is not None}}
    return {**part, "thoughtSignature": signature} if signature else part


def gemini(name: str, *payloads: Any, **truth: Any) -> Hostile:
    truth.setdefault("usage", COUNTS)
    return Hostile(API, name, events(*payloads), **truth)


def refused(reason: str, kind: str, *parts: Any, retryable: bool = True, **truth: Any) -> Hostile:
    last = chunk(finish=reason, usage=USAGE, candidate={"finishMessage": "says why"})
    return gemini(f"ended by {reason}", *(chunk(part) for part in parts), last, error=kind,
                  retryable=retryable, says="says why", text="".join(parts), **truth)  # fmt: skip


_SEEN = {"promptTokenCount": 20, "totalTokenCount": 20}
_CODE = {"executableCode": {"language": "PYTHON", "code": "print(6*7)"}}
_RAN = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}}
_PICTURE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
_F = Call("f", {"x": 1})
_CUT = "the answer ended before"

GEMINI: tuple[Hostile, ...] = (
    gemini("STOP on every chunk", chunk("a", finish="STOP", usage=_SEEN), chunk("b",
         finish="STOP"), end("c"), text="abc", early=True, marked=False),
    gemini("STOP, and then an error", chunk("a", finish="STOP"), {"error": {"code": 503,
         "message": "busy", "status": "UNAVAILABLE"}}, text="a", error="Overloaded", usage=None),
    gemini("an error as a list", chunk("a"), [{"error": {"code": 429, "message": "slow",
         "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "google.rpc.RetryInfo",
         "retryDelay": "3s"}]}}], text="a", error="RateLimited", usage=None),
    gemini("an error without a number", {"error": {"message": "boom", "status": "INTERNAL"}},
         error="ServerFailed", usage=None),
    gemini("text after STOP, then nothing", chunk("Once", finish="STOP"), chunk(" upon"),
         text="Once upon", error="StreamInterrupted", usage=None),
    refused("MALFORMED_FUNCTION_CALL", "ServerFailed"),
    refused("UNEXPECTED_TOOL_CALL", "ServerFailed", "Let me. "),
    refused("TOO_MANY_TOOL_CALLS", "ServerFailed"),
    refused("MALFORMED_RESPONSE", "ServerFailed", "Once"),
    refused("OTHER", "ServerFailed", "Once"),
    refused("A_REASON_OF_TOMORROW", "ServerFailed"),
    refused("MISSING_THOUGHT_SIGNATURE", "InvalidRequest", retryable=False),
    refused("PUP_LIMITED_DISABLED", "AuthenticationFailed", "Once", retryable=False),
    gemini("a blocked prompt", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
         "usageMetadata": _SEEN, "modelVersion": "m"}, finish="content_filter",
         usage=Counts(20, 0)),
    gemini("blocked in mid-answer, without content", chunk("First, "), chunk(finish="SAFETY",
         usage=USAGE, candidate={"safetyRatings": [{"blocked": True}]}), text="First, ",
         finish="content_filter"),
    gemini("escalated", chunk("First, "), end(finish="ESCALATION"), text="First, ",
         finish="content_filter"),
    gemini("only thoughts, then the end of the tokens", chunk({"text": "hm", "thought": True}),
         end(finish="MAX_TOKENS"), reasoning="hm", finish="length"),
    gemini("finish without content, unspecified before", chunk("a",
         finish="FINISH_REASON_UNSPECIFIED"), {"candidates": [{"finishReason": "stop"}],
         "usageMetadata": USAGE}, text="a"),
    gemini("content without parts", chunk("a"), {"candidates": [{"content": {"role": "model"},
         "finishReason": "STOP"}], "usageMetadata": USAGE}, text="a"),
    gemini("null for everything", {"candidates": None, "usageMetadata": None, "promptFeedback":
         None}, {"candidates": [{"content": None, "finishReason": None}]}, end("a"), text="a"),
    gemini("several candidates", {"candidates": [{"index": 1, "content": {"parts": [{"text":
         "no"}]}}, {"index": 0, "content": {"parts": [{"text": "y"}]}}]}, {"candidates": [
         {"index": 1, "finishReason": "MAX_TOKENS"}]}, end("es"), text="yes"),
    gemini("signed call, signed empty text", chunk(called(args={"x": 1}, signature="c2ln",
         id="id1")), end({"text": "", "thoughtSignature": "ZW5k"}), finish="tool_calls",
         calls=(Call("f", {"x": 1}, "id1"),), state={"vendor": API, "parts": [{"functionCall":
         {"id": "id1", "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
         {"text": "", "thoughtSignature": "ZW5k"}]}),
    gemini("calls of one name, without ids", chunk(called(args={"x": 1}), called(args={"x": 2})),
         end(""), finish="tool_calls", calls=(_F, Call("f", {"x": 2}))),
    gemini("calls without arguments", chunk(called()), chunk(called("g", {})), end(),
         finish="tool_calls", calls=(Call("f", {}), Call("g", {}))),
    gemini("a call in pieces", chunk(called(willContinue=True)), chunk(called(None, partialArgs=[
         {"jsonPath": "$.s", "stringValue": "Os", "willContinue": True}], willContinue=True)),
         chunk(called(None, partialArgs=[{"jsonPath": "$.s", "stringValue": "lo"}],
         willContinue=True)), chunk(called(None)), end(), finish="tool_calls",
         calls=(Call("f", {"s": "Oslo"}),)),
    gemini("a call in pieces, cut off", chunk(called(willContinue=True)), chunk(called(None,
         partialArgs=[{"jsonPath": "$.s", "stringValue": "Os", "willContinue": True}],
         willContinue=True)), end(finish="MAX_TOKENS"), finish="length",
         calls=(Call("f", {}, error=_CUT),)),
    gemini("code, its result and a picture", chunk("Look: ", _CODE, _RAN), chunk(_PICTURE),
         end("42"), text="Look: 42", state={"vendor": API, "parts": [{"text": "Look: "}, _CODE,
         _RAN, _PICTURE, {"text": "42"}]}),
    gemini("grounding after the end", chunk("Oslo", finish="STOP"), {"candidates": [{"index": 0,
         "groundingMetadata": {"webSearchQueries": ["q"]}, "citationMetadata": {}}],
         "usageMetadata": USAGE}, text="Oslo", marked=False),
    gemini("tokens of a tool", end("a", **{"createTime": "now"}), chunk(finish="STOP", usage={
         "promptTokenCount": 20, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 4,
         "thoughtsTokenCount": 3, "totalTokenCount": 57}), text="a",
         usage=Counts(50, 7, reasoning=3), marked=False),
    gemini("counts only at first", chunk("a", usage=USAGE), chunk("b", finish="STOP", usage={
         "trafficType": "ON_DEMAND"}), text="ab"),
    gemini("nothing counted of the answer", chunk("a long answer", finish="STOP", usage=_SEEN),
         text="a long answer", usage=Counts(20, 0, estimated=True)),
    gemini("no counts", chunk("a", finish="STOP"), text="a", usage=None),
    gemini("a thought between texts", chunk("a"), chunk({"text": "hm", "thought": True},
         "b"), end({"text": "!", "thought": False}), text="ab!", reasoning="hm"),
    gemini("halves of characters", b'data: {"candidates":[{"content":{"parts":[{"text":"\\ud83d"}'
         b']}}]}\n\n', b'data: {"candidates":[{"content":{"parts":[{"text":"\\udc4b"},'
         b'{"functionCall":{"name":"f","args":{"x":"\\ud83d"}}}]}}]}\n\n', end(), text="👋",
         finish="tool_calls", calls=(Call("f", {"x": "\ufffd"}),)),
)  # fmt: skip
