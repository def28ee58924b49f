"""A chat request as the JSON of Gemini's generateContent.

Promise: what the caller asked for stands in the body, or `notes` say what was left out and why
(the model does not take it), or `InvalidRequest` names it before anything is sent. Nothing is
dropped in silence. Pure; the SDK is not needed.

`cache_key` of the form `cachedContents/…` (from `create_cache`) stands for what was cached: system
text and tools are then not repeated, and `messages` are those that follow the cached ones. Other
cache keys have no meaning here: Gemini caches shared prefixes by itself.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from contracts.messages import ChatRequest, ToolDefinition
from providers.exceptions import InvalidRequest
from providers.gemini_profile import STOPS_LIMIT, Profile
from providers.gemini_turns import contents
from providers.toolspecs import parameters_schema

Json = dict[str, Any]

CACHE_PREFIX = "cachedContents/"

_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium"}
_JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."


@dataclass
class ContentBody:
    """What to send. `stops` are the stop sequences beyond what the API takes: the reader cuts."""

    json: Json
    notes: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)


def content_body(req: ChatRequest, profile: Profile) -> ContentBody:
    """Return the body of streamGenerateContent."""
    body = prompt_body(req, profile)
    config: Json = {}
    _sampling(body, req, config)
    _thinking(body, req, profile, config)
    _format(body, req, profile, config)
    if config:
        body.json["generationConfig"] = config
    if req.cache_key and req.cache_key.startswith(CACHE_PREFIX):
        body.json["cachedContent"] = req.cache_key
        for cached in ("systemInstruction", "tools", "toolConfig"):
            body.json.pop(cached, None)
    return body


def prompt_body(req: ChatRequest, profile: Profile) -> ContentBody:
    """Return the prompt's part of the body: what can be counted and cached."""
    found = contents(req.messages, profile.signed_calls)
    texts = [req.system or "", *(m.content for m in req.messages if m.role == "system")]
    system = [{"text": text} for text in texts if text.strip()]
    if not found and system:
        # Some callers put their whole prompt into system text; the API needs a user turn.
        found = [{"role": "user", "parts": system}]
        system = []
    if not found:
        raise _invalid("the request holds no text and no file")
    body = ContentBody({"contents": found})
    if system:
        body.json["systemInstruction"] = {"parts": system}
    if req.tools:
        body.json["tools"] = [{"functionDeclarations": [_declaration(t) for t in req.tools]}]
        choice = _tool_choice(req)
        if choice:
            body.json["toolConfig"] = {"functionCallingConfig": choice}
    return body


def _declaration(tool: ToolDefinition) -> Json:
    found: Json = {"name": tool.name, "description": tool.description or tool.name}
    schema = {k: v for k, v in parameters_schema(tool).items() if k != "$schema"}
    if schema.get("properties") or schema.keys() - {"type", "properties", "required"}:
        found["parametersJsonSchema"] = schema
    return found


def _tool_choice(req: ChatRequest) -> Json | None:
    wanted = req.tool_choice
    if wanted is None:
        return None
    if wanted in ("auto", "none"):
        return {"mode": wanted.upper()}
    if wanted in ("required", "any"):
        return {"mode": "ANY"}
    if wanted not in {tool.name for tool in req.tools or ()}:
        raise _invalid(f"tool_choice {wanted!r} is none of the request's tools")
    return {"mode": "ANY", "allowedFunctionNames": [wanted]}


def _sampling(body: ContentBody, req: ChatRequest, config: Json) -> None:
    given = {
        "maxOutputTokens": req.max_tokens,
        "temperature": req.temperature,
        "topP": req.top_p,
        "seed": req.seed,
    }
    config |= {key: value for key, value in given.items() if value is not None}
    if req.stop:
        config["stopSequences"] = list(req.stop[:STOPS_LIMIT])
        body.stops = list(req.stop[STOPS_LIMIT:])


def _thinking(body: ContentBody, req: ChatRequest, profile: Profile, config: Json) -> None:
    effort, budget = req.reasoning_effort, req.thinking_budget
    if effort is None and budget is None:
        return
    off = effort == "none" or budget == 0
    if profile.thinking == "none":
        if not off:
            body.notes.append("reasoning settings were left out: the model does not think")
        return
    if off and profile.always_thinks:
        body.notes.append("thinking cannot be turned off in this model: set to its least")
    if profile.thinking == "level" and budget is None:
        level = _level(body, effort or "medium", profile)
        config["thinkingConfig"] = {"thinkingLevel": level, "includeThoughts": not off}
        return
    if profile.thinking == "level" and off:
        level = "low" if profile.always_thinks else "minimal"
        config["thinkingConfig"] = {"thinkingLevel": level, "includeThoughts": False}
        return
    tokens = _budget(body, budget, effort, profile)
    config["thinkingConfig"] = {"thinkingBudget": tokens, "includeThoughts": not off}


def _level(body: ContentBody, effort: str, profile: Profile) -> str:
    """Levels are minimal, low, medium and high; models that always think have no minimal."""
    if effort in ("none", "minimal"):
        return "low" if profile.always_thinks else "minimal"
    if effort in ("xhigh", "max"):
        body.notes.append(f"reasoning_effort {effort!r} became 'high': the most there is")
    return _LEVELS.get(effort, "high")


def _budget(body: ContentBody, budget: int | None, effort: str | None, profile: Profile) -> int:
    wanted = budget if budget is not None else 0
    if budget is None and effort not in (None, "none"):
        wanted = _BUDGETS.get(effort or "", profile.most_budget)
    if wanted == 0 and not profile.always_thinks:
        return 0
    fitting = min(max(wanted, profile.least_budget), profile.most_budget)
    if budget and fitting != budget:
        body.notes.append(f"thinking_budget {budget} became {fitting}: the nearest there is")
    return fitting


def _format(body: ContentBody, req: ChatRequest, profile: Profile, config: Json) -> None:
    if req.response_schema is None and not req.json_mode:
        return
    if req.tools and not profile.schema_with_tools:
        body.notes.append("the JSON format was asked for in words: the model takes it or tools")
        _ask_in_words(body, req)
        return
    config["responseMimeType"] = "application/json"
    if req.response_schema is not None:
        schema = {k: v for k, v in req.response_schema.items() if k != "$schema"}
        config["responseJsonSchema"] = schema


def _ask_in_words(body: ContentBody, req: ChatRequest) -> None:
    text = _JSON_ONLY
    if req.response_schema is not None:
        schema = orjson.dumps(req.response_schema).decode()
        text += f" It must fit this JSON Schema:\n{schema}"
    system = body.json.setdefault("systemInstruction", {"parts": []})
    system["parts"].append({"text": text})


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(f"gemini: {why}", provider="gemini", sent=False)
