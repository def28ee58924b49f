"""A chat request as the JSON of Anthropic's Messages API.

Promise: what the caller asked for stands in the body, or `notes` say what was left out and why
(the model does not take it), or `InvalidRequest` names it before anything is sent. Nothing is
dropped in silence. Pure; the SDK is not needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from contracts.messages import ChatRequest, Message
from providers.anthropic_profile import (
    DEFAULT_MAX_TOKENS,
    MIN_THINKING_TOKENS,
    Profile,
)
from providers.anthropic_turns import (
    Turn,
    called_tools,
    is_mid_loop_without_thought,
    turns,
    wire_name,
)
from providers.exceptions import InvalidRequest
from providers.prefixes import SHORT_LIFE_S
from providers.toolspecs import parameters_schema

Json = dict[str, Any]

_CACHE = {"type": "ephemeral"}
_CACHE_1H = {"type": "ephemeral", "ttl": "1h"}
_JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."
_BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 10000,
    "high": 16384,
    "xhigh": 32768,
    "max": 32768,
}


@dataclass
class MessagesBody:
    """What to send. `tool_names` maps names on the wire to the caller's, where they differ.

    `stops` are the stop sequences that the API does not take: to be cut by the reader.
    """

    json: Json
    notes: list[str] = field(default_factory=list)
    tool_names: dict[str, str] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)


def messages_body(
    req: ChatRequest,
    model: str,
    profile: Profile,
    strict_schema: Callable[[Json], Json] = lambda schema: schema,
) -> MessagesBody:
    """Return the body for `model`. `strict_schema` fits a JSON Schema to what the API accepts."""
    found = turns(req.messages)
    body = MessagesBody({"model": model})
    system = _system(req, profile)
    if not found and system:
        # Some callers put their whole prompt into system text; the API needs a user turn.
        found = [{"role": "user", "content": system}]
        system = []
    if not found:
        raise _invalid("the request holds no text and no file")
    if system:
        body.json["system"] = system
    body.json["messages"] = found
    _tools(body, req, profile, found)
    _limits(body, req, profile)
    _thinking(body, req, profile, found)
    _sampling(body, req, profile)
    _format(body, req, profile, strict_schema)
    if req.cache_key:
        lasting = _CACHE_1H if (req.cache_lasts_s or 0) > SHORT_LIFE_S else _CACHE
        _breakpoints(body.json, req.messages, lasting)
    if req.seed is not None:
        body.notes.append("seed was left out: Anthropic has none")
    if "user_id" in req.metadata:
        body.json["metadata"] = {"user_id": req.metadata["user_id"]}
    return body


def _system(req: ChatRequest, profile: Profile) -> list[Json]:
    texts = [req.system or "", *(m.content for m in req.messages if m.role == "system")]
    if _is_asked_in_words(req, profile) and req.response_schema:
        schema = orjson.dumps(req.response_schema).decode()
        texts.append(f"{_JSON_ONLY} It must fit this JSON Schema:\n{schema}")
    elif req.json_mode and not req.response_schema:
        texts.append(_JSON_ONLY)
    return [{"type": "text", "text": text} for text in texts if text.strip()]


def _tools(body: MessagesBody, req: ChatRequest, profile: Profile, found: list[Turn]) -> None:
    tools: list[Json] = []
    for tool in req.tools or ():
        name = wire_name(tool.name)
        if any(name == other["name"] for other in tools):
            raise _invalid(f"two tools have the name {name!r} here, where dots become underscores")
        if name != tool.name:
            body.tool_names[name] = tool.name
        entry: Json = {"name": name, "input_schema": parameters_schema(tool)}
        if tool.description:
            entry["description"] = tool.description
        tools.append(entry)
    if tools:
        body.json["tools"] = tools
        choice = _tool_choice(body, req, profile)
        if choice:
            body.json["tool_choice"] = choice
        return
    # Calls in the history need their tools declared, though none may be called now.
    past = called_tools(found)
    if past:
        body.json["tools"] = [{"name": n, "input_schema": {"type": "object"}} for n in past]
        body.json["tool_choice"] = {"type": "none"}


def _tool_choice(body: MessagesBody, req: ChatRequest, profile: Profile) -> Json | None:
    wanted = req.tool_choice
    if wanted is None:
        return None
    if wanted in ("auto", "none"):
        return {"type": wanted}
    if not profile.forced_tools:
        body.notes.append(f"tool_choice {wanted!r} became auto: the model cannot be forced")
        return {"type": "auto"}
    if wanted in ("required", "any"):
        return {"type": "any"}
    if wanted not in {tool.name for tool in req.tools or ()}:
        raise _invalid(f"tool_choice {wanted!r} is none of the request's tools")
    return {"type": "tool", "name": wire_name(wanted)}


def _limits(body: MessagesBody, req: ChatRequest, profile: Profile) -> None:
    body.json["max_tokens"] = req.max_tokens or DEFAULT_MAX_TOKENS
    stops = [stop for stop in req.stop or () if stop.strip()]
    if stops:
        body.json["stop_sequences"] = stops
    body.stops = [stop for stop in req.stop or () if not stop.strip()]


def _thinking(body: MessagesBody, req: ChatRequest, profile: Profile, found: list[Turn]) -> None:
    effort: str | None = req.reasoning_effort
    budget = req.thinking_budget
    if effort is None and budget is None:
        return
    if profile.thinking == "none":
        if effort != "none" and budget != 0:
            body.notes.append("reasoning settings were left out: the model does not think")
        return
    if effort == "none" or budget == 0:
        body.json["thinking"] = {"type": "disabled"}
        return
    by_budget = profile.thinking == "budget" or (profile.thinking == "both" and budget is not None)
    if by_budget:
        _budget_thinking(body, req, found)
    else:
        body.json["thinking"] = {"type": "adaptive"}
        if budget is not None and effort is None:
            effort = _effort_of(budget)
            body.notes.append(
                f"thinking_budget became effort {effort!r}: the model takes no budget"
            )
    if effort is not None and profile.efforts:
        level = _nearest(effort, profile.efforts)
        body.json["output_config"] = {"effort": level}
        if level != effort:
            body.notes.append(f"reasoning_effort {effort!r} became {level!r}: the nearest there is")


def _budget_thinking(body: MessagesBody, req: ChatRequest, found: list[Turn]) -> None:
    """Thinking within max_tokens, which it is part of; left out where the API would refuse it."""
    wanted = req.thinking_budget
    if wanted is None:
        wanted = _BUDGETS[req.reasoning_effort or "medium"]
    wanted = max(wanted, MIN_THINKING_TOKENS)
    if req.max_tokens is None:
        body.json["max_tokens"] = DEFAULT_MAX_TOKENS + wanted
    budget = min(wanted, body.json["max_tokens"] - 1)
    why = ""
    if budget < MIN_THINKING_TOKENS:
        why = f"max_tokens leaves less than {MIN_THINKING_TOKENS} tokens for it"
    elif body.json.get("tool_choice", {}).get("type") in ("any", "tool"):
        why = "a tool call is forced"
    elif is_mid_loop_without_thought(found):
        why = "the tool calls being answered were made without it"
    if why:
        body.notes.append(f"thinking was left out: {why}")
        return
    if budget < wanted:
        body.notes.append(f"the thinking budget was lowered to {budget} by max_tokens")
    body.json["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _effort_of(budget: int) -> str:
    for effort in ("low", "medium", "high"):
        if budget <= _BUDGETS[effort]:
            return effort
    return "xhigh"


def _nearest(effort: str, efforts: tuple[str, ...]) -> str:
    if effort in efforts:
        return effort
    if effort == "minimal":
        return efforts[0]
    return efforts[-1]


def _sampling(body: MessagesBody, req: ChatRequest, profile: Profile) -> None:
    temperature, top_p = req.temperature, req.top_p
    thinks = body.json.get("thinking", {}).get("type") == "enabled"
    if temperature is None and top_p is None:
        return
    if not profile.sampling or thinks:
        given = [n for n, v in (("temperature", temperature), ("top_p", top_p)) if v is not None]
        why = "thinking is on" if profile.sampling else "the model takes no sampling settings"
        body.notes.append(f"{' and '.join(given)} left out: {why}")
        return
    if temperature is not None and temperature > 1:
        raise _invalid(f"temperature {temperature:g} is out of range: Claude takes 0 to 1")
    if temperature is not None:
        body.json["temperature"] = temperature
    if top_p is not None and (temperature is None or profile.both_samplers):
        body.json["top_p"] = top_p
    elif top_p is not None:
        body.notes.append("top_p was left out: the model takes it or temperature, not both")


def _format(
    body: MessagesBody,
    req: ChatRequest,
    profile: Profile,
    strict_schema: Callable[[Json], Json],
) -> None:
    if req.response_schema is None:
        return
    if _is_asked_in_words(req, profile):
        body.notes.append("the JSON schema was given in words: the API has no such format for it")
        return
    schema = strict_schema(req.response_schema)
    config = body.json.setdefault("output_config", {})
    config["format"] = {"type": "json_schema", "schema": schema}


def _is_asked_in_words(req: ChatRequest, profile: Profile) -> bool:
    """The API has schemas for objects whose keys are all named; others are told to the model."""
    return not profile.schemas or _has_free_keys(req.response_schema)


def _has_free_keys(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(_has_free_keys(entry) for entry in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("additionalProperties") not in (None, False):
        return True
    if schema.get("type") == "object" and "properties" not in schema:
        return True
    nested = {k: v for k, v in schema.items() if k not in ("enum", "const", "default", "examples")}
    return any(_has_free_keys(entry) for entry in nested.values())


def _shared_blocks(messages: Sequence[Message], end: int) -> int:
    """Return how many blocks of a user's turn come from messages before the one that ends it.

    They are merged on the wire where all are the user's: a shared context, and the question.
    """
    if not 0 < end < len(messages) or {m.role for m in messages[end - 1 : end + 1]} != {"user"}:
        return 0
    before = turns(messages[:end])
    return len(before[-1]["content"]) if before and before[-1]["role"] == "user" else 0


def _breakpoints(body: Json, messages: Sequence[Message], lasting: Json) -> None:
    """Mark what later requests share: tools and system text, the shared context that the first
    or the last turn begins with, and the turns before the last.

    What the talk itself adds is there for five minutes; longer lives have to come first.
    """
    shared = body.get("system") or body.get("tools")
    if shared:
        shared[-1] = {**shared[-1], "cache_control": lasting}
    sent = body["messages"]
    if len(sent) > 1 and (blocks := _shared_blocks(messages, 1)):
        _mark(sent[0]["content"], blocks - 1, lasting)
    if blocks := _shared_blocks(messages, len(messages) - 1):
        _mark(sent[-1]["content"], blocks - 1, lasting if len(sent) == 1 else _CACHE)
    elif len(sent) > 1:
        _mark(sent[-2]["content"], -1, _CACHE)
    elif not shared:
        _mark(sent[-1]["content"], -1, lasting)


def _mark(blocks: list[Json], at: int, cache: Json) -> None:
    if blocks[at]["type"] not in ("thinking", "redacted_thinking"):
        blocks[at] = {**blocks[at], "cache_control": cache}


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(f"anthropic: {why}", provider="anthropic", sent=False)
