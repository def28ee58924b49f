"""Writes a `ChatRequest` as the body of OpenAI's two APIs. Pure.

What a model or an address does not take is left out with a note, except where that would change
what the caller asked for by name: then the vendor's own refusal is the better answer. Stop
sequences are never lost: `Written.cut` says which ones the reader has to cut at.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from contracts.messages import ChatRequest, Message, ToolCall
from providers.exceptions import InvalidRequest
from providers.openai_content import Json, chat_content, responses_content
from providers.openai_profile import Endpoint, Family, family
from providers.toolspecs import parameters_schema

STOPS_LIMIT = 4
"""How many stop sequences Chat Completions takes."""

_JSON_HINT = "Answer with one JSON object."


@dataclass
class Written:
    """A body ready to be sent, the stop sequences to cut at, and what was left out."""

    body: Json
    cut: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def chat_body(req: ChatRequest, model: str, endpoint: Endpoint) -> Written:
    """Return the body for POST /chat/completions."""
    known = family(model)
    written = Written({"model": model, "messages": _chat_messages(req, known, endpoint)})
    body = written.body
    options: Json = {"include_usage": True}
    if endpoint.extras:
        options["include_obfuscation"] = False
    body |= {"stream": True, "stream_options": options}
    if req.max_tokens is not None:
        body[endpoint.max_tokens_field] = req.max_tokens
    _sampling(req, known, written)
    if req.stop:
        written.cut = list(req.stop)
        if known.stops and len(req.stop) <= STOPS_LIMIT:
            body["stop"] = list(req.stop)
    if req.seed is not None:
        body["seed"] = req.seed
    if req.reasoning_effort is not None:
        body["reasoning_effort"] = req.reasoning_effort
    if req.tools:
        body["tools"] = [{"type": "function", "function": _function(tool)} for tool in req.tools]
        if req.tool_choice:
            body["tool_choice"] = _choice(
                req.tool_choice, lambda name: {"type": "function", "function": {"name": name}}
            )
    if req.response_schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": _schema(req)}
    elif req.json_mode:
        body["response_format"] = {"type": "json_object"}
    _extras(req, endpoint, written)
    return written


def responses_body(
    req: ChatRequest, model: str, endpoint: Endpoint, background: bool = False
) -> Written:
    """Return the body for POST /responses. `background`: the answer can be resumed, and is kept."""
    known = family(model)
    body: Json = {
        "model": model,
        "input": [item for message in req.messages for item in _items(message)],
        "stream": True,
        "store": background,
    }
    written = Written(body, cut=list(req.stop or ()))
    if endpoint.extras:
        body["stream_options"] = {"include_obfuscation": False}
    if background:
        body["background"] = True
    elif known.reasons != "never":
        body["include"] = ["reasoning.encrypted_content"]
    if instructions := _system_text(req):
        body["instructions"] = instructions
    if req.max_tokens is not None:
        body["max_output_tokens"] = req.max_tokens
    _sampling(req, known, written)
    if req.seed is not None:
        written.notes.append("seed left out: the Responses API has none")
    if req.reasoning_effort is not None:
        body["reasoning"] = {"effort": req.reasoning_effort}
    if req.tools:
        body["tools"] = [{"type": "function", **_function(t), "strict": False} for t in req.tools]
        if req.tool_choice:
            body["tool_choice"] = _choice(
                req.tool_choice, lambda name: {"type": "function", "name": name}
            )
    if req.response_schema is not None:
        body["text"] = {"format": {"type": "json_schema", **_schema(req)}}
    elif req.json_mode:
        body["text"] = {"format": {"type": "json_object"}}
    _extras(req, endpoint, written)
    return written


def _sampling(req: ChatRequest, known: Family, written: Written) -> None:
    asked = {"temperature": req.temperature, "top_p": req.top_p}
    given = {name: value for name, value in asked.items() if value is not None}
    if known.samples(req.reasoning_effort):
        written.body.update(given)
    elif given:
        written.notes.append(
            f"{' and '.join(given)} left out: {written.body['model']} is a reasoning model"
        )


def _extras(req: ChatRequest, endpoint: Endpoint, written: Written) -> None:
    if req.cache_key and endpoint.extras:
        written.body["prompt_cache_key"] = req.cache_key
    if req.thinking_budget is not None:
        written.notes.append("thinking_budget left out: OpenAI's models take reasoning_effort")


def _system_text(req: ChatRequest) -> str:
    """The request's system text first, then the system messages in order."""
    found = [req.system, *(m.content for m in req.messages if m.role == "system")]
    if req.json_mode and not _mentions_json(req):
        found.append(_JSON_HINT)
    return "\n\n".join(text for text in found if text)


def _mentions_json(req: ChatRequest) -> bool:
    """JSON mode is refused unless the conversation says "JSON" somewhere."""
    known = [req.system or "", *(m.content for m in req.messages)]
    return any("json" in text.lower() for text in known)


def _chat_messages(req: ChatRequest, known: Family, endpoint: Endpoint) -> list[Json]:
    messages: list[Json] = []
    if system := _system_text(req):
        role = known.system_role if endpoint.extras else "system"
        messages.append({"role": role, "content": system})
    messages += [_chat_message(m, endpoint) for m in req.messages if m.role != "system"]
    return messages


def _chat_message(message: Message, endpoint: Endpoint) -> Json:
    if message.role == "tool":
        return {
            "role": "tool",
            "tool_call_id": _call_id(message),
            "content": _text_only(message),
        }
    written: Json = {"role": message.role, "content": chat_content(message)}
    if message.name and endpoint.extras and _is_name(message.name):
        written["name"] = message.name
    if message.role == "assistant":
        written["content"] = _text_only(message)
        if message.tool_calls:
            written["content"] = written["content"] or None
            written["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _arguments(call)},
                }
                for call in message.tool_calls
            ]
        if refusal := _state(message).get("refusal"):
            written["refusal"] = refusal
    return written


def _items(message: Message) -> list[Json]:
    """A message as input items; system text travels as `instructions`."""
    if message.role == "system":
        return []
    if message.role == "tool":
        output = responses_content(message)
        return [{"type": "function_call_output", "call_id": _call_id(message), "output": output}]
    if message.role == "user":
        return [{"role": "user", "content": responses_content(message)}]
    kept = _state(message).get("items")
    if isinstance(kept, list) and kept:
        return kept
    text = _text_only(message)
    calls: list[Json] = [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": _arguments(call),
        }
        for call in message.tool_calls
    ]
    return ([{"role": "assistant", "content": text}] if text or not calls else []) + calls


def _state(message: Message) -> Json:
    """What an earlier turn of this vendor left for us; nothing of another vendor's."""
    state = message.vendor_state or {}
    return state if state.get("vendor") == "openai" else {}


def _arguments(call: ToolCall) -> str:
    if call.raw_arguments.strip():
        return call.raw_arguments
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def _call_id(message: Message) -> str:
    if not message.tool_call_id:
        raise InvalidRequest(
            "openai: a tool message needs the tool_call_id that it answers",
            provider="openai",
            sent=False,
        )
    return message.tool_call_id


def _text_only(message: Message) -> str:
    found = [message.content] if message.content else []
    for part in message.parts:
        if part.kind != "text":
            raise InvalidRequest(
                f"openai: a {message.role} message takes text only here, not {part.mime_type}",
                provider="openai",
                sent=False,
            )
        found.append(part.text)
    return "\n\n".join(found)


def _function(tool: Any) -> Json:
    written: Json = {"name": tool.name, "parameters": parameters_schema(tool)}
    if tool.description:
        written["description"] = tool.description
    return written


def _choice(choice: str, named: Any) -> Any:
    word = {"any": "required"}.get(choice, choice)
    return word if word in ("auto", "none", "required") else named(choice)


def _is_name(name: str) -> bool:
    return len(name) <= 64 and not any(c.isspace() or c in "<|\\/>" for c in name)


def _schema(req: ChatRequest) -> Json:
    schema = req.response_schema or {}
    return {"name": "answer", "schema": schema, "strict": fits_strict(schema)}


def fits_strict(schema: Any) -> bool:
    """Tell whether a schema is one that OpenAI's strict mode takes.

    There every object forbids additional properties and requires all of its own; others are
    sent as a wish, and the answer is validated by the caller as always.
    """
    if isinstance(schema, list):
        return all(fits_strict(entry) for entry in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = set(schema.get("properties") or {})
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != names:
            return False
    if any(word in schema for word in _NOT_STRICT):
        return False
    properties = schema.get("properties")
    values = [v for k, v in schema.items() if k not in ("properties", "enum", "const", "default")]
    if isinstance(properties, dict):
        values += properties.values()
    for name in ("$defs", "definitions"):
        if isinstance(schema.get(name), dict):
            values += schema[name].values()
    return all(fits_strict(value) for value in values)


_NOT_STRICT = ("allOf", "oneOf", "not", "if", "patternProperties", "dependentRequired")
