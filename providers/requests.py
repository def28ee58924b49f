"""What can be wrong with a request whoever is asked: found before anything is sent.

`check_request` looks at how a request's parts fit each other; that each has a possible value its
own class has checked (`contracts.messages`), and what one vendor refuses is its adapter's matter.
Errors name the field and the cure, and repeat no text.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from contracts.messages import ChatRequest, ToolDefinition
from providers.exceptions import InvalidRequest
from providers.toolspecs import parameters_schema

_CHOICES = ("auto", "none", "required", "any")
_LONGEST_VALUE = 40


class MalformedRequest(InvalidRequest, ValueError):
    """The request cannot be right for any provider; told before anything is sent."""

    @property
    def kind(self) -> str:
        """The failure's kind: that of its base."""
        return InvalidRequest.__name__


def check_request(req: ChatRequest) -> None:
    """Raise `MalformedRequest` (a `ValueError`) for a request that nobody can serve as meant."""
    if not isinstance(req, ChatRequest):
        raise _malformed(f"a request is a ChatRequest, not a value of {type(req).__name__}")
    check_texts(req)
    _check_content(req)
    _check_tools(req)
    _check_tool_results(req)
    if req.response_schema is not None:
        _check_schema("response_schema", req.response_schema)
    if req.model is not None and (not req.model or any(c.isspace() for c in req.model)):
        told = _told(req.model)
        raise _malformed(f"model: a model's name is not empty and holds no white space: {told}")


def check_texts(req: ChatRequest) -> None:
    """Raise `MalformedRequest` for what no JSON can hold: half a character, wrong arguments.

    `check_request` asks this, too; counting tokens and making caches ask nothing else.
    """
    for place, text in _texts(req):
        if text and not text.isascii():
            at = _half(text)
            if at is not None:
                raise _malformed(
                    f"{place}: there is half a character (U+{ord(text[at]):04X}) at position "
                    f"{at}, which nobody can read. Take it out, or replace it"
                )
    for number, message in enumerate(req.messages):
        for index, call in enumerate(message.tool_calls):
            problem = _no_json(call.arguments)
            if problem:
                place = f"messages.{number}.tool_calls.{index}"
                raise _malformed(f"{place}: the arguments are not JSON ({problem})")


def _texts(req: ChatRequest) -> Iterator[tuple[str, str | None]]:
    """All texts that go to the vendor as they are, each with its place."""
    yield "system", req.system
    for number, stop in enumerate(req.stop or ()):
        yield f"stop.{number}", stop
    for number, tool in enumerate(req.tools or ()):
        yield f"tools.{number}.description", tool.description
    for number, message in enumerate(req.messages):
        place = f"messages.{number}"
        yield f"{place}.content", message.content
        yield f"{place}.name", message.name
        yield f"{place}.tool_call_id", message.tool_call_id
        for index, part in enumerate(message.parts):
            for name in ("text", "uri", "name"):
                yield f"{place}.parts.{index}.{name}", getattr(part, name, None)
        for index, call in enumerate(message.tool_calls):
            yield f"{place}.tool_calls.{index}", call.id + call.name + call.raw_arguments


def _half(text: str) -> int | None:
    """The position of the first half of a character, if there is one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _no_json(value: Any) -> str:
    """Why a value cannot be written as JSON; "" if it can."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return type(error).__name__
    return ""


def _check_content(req: ChatRequest) -> None:
    turns = any(m.content.strip() or m.parts or m.tool_calls for m in req.messages)
    results = any(m.role == "tool" for m in req.messages)
    if not (turns or results or (req.system or "").strip()):
        raise _malformed("messages: none of them holds a text or a file; there is nothing to send")


def _check_tools(req: ChatRequest) -> None:
    tools = req.tools or ()
    known: set[str] = set()
    for number, tool in enumerate(tools):
        place = f"tools.{number} ({tool.name})"
        if tool.name in known:
            raise _malformed(f"{place}: another tool has the same name")
        known.add(tool.name)
        _check_tool(place, tool)
    choice = req.tool_choice
    if choice in (None, "auto", "none") or choice in known or (tools and choice in _CHOICES):
        return
    raise _malformed(
        f"tool_choice: {_told(choice)} is neither {', '.join(_CHOICES)} nor the name of one of "
        f"the request's tools ({', '.join(sorted(known)) or 'it has none'})"
    )


def _check_tool(place: str, tool: ToolDefinition) -> None:
    for name, count in Counter(parameter.name for parameter in tool.parameters).items():
        if count > 1:
            raise _malformed(f"{place}: two parameters have the name {_told(name)}")
    schema = parameters_schema(tool)
    _check_schema(place, schema)
    if schema.get("type", "object") != "object":
        raise _malformed(
            f'{place}: arguments are an object; the schema needs "type": "object", '
            f"not {_told(schema['type'])}"
        )


def _check_tool_results(req: ChatRequest) -> None:
    """Results answer calls of the same conversation, unless its beginning lies in a cache."""
    called: set[str] = set()
    for number, message in enumerate(req.messages):
        called |= {call.id for call in message.tool_calls}
        if message.role != "tool" or (message.tool_call_id in called):
            continue
        if not message.tool_call_id:
            raise _malformed(f"messages.{number}: a tool's result needs its tool_call_id")
        if req.cache_key is None:
            raise _malformed(
                f"messages.{number}: it answers the call {_told(message.tool_call_id)}, which no "
                "message before it holds. Pass all previous messages of the conversation, the "
                "assistant's turn with its tool_calls among them"
            )


def _check_schema(place: str, schema: dict[str, Any]) -> None:
    problem = _no_json(schema)
    if problem:
        raise _malformed(f"{place}: the schema is not JSON ({problem})")
    problem = _problem(json.dumps(schema, sort_keys=True))
    if problem:
        raise _malformed(f"{place}: {problem}")


@lru_cache(maxsize=256)
def _problem(text: str) -> str:
    """Return why a schema is none; "" if it is one. The same few schemas come again and again."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    schema = json.loads(text)
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        path = ".".join(str(step) for step in error.absolute_path) or "the schema itself"
        return f"not a JSON Schema: {path} must not be {_told(error.instance)}"
    return ""


def _told(value: Any) -> str:
    """The value if it is short and simple, else what it is."""
    text = repr(value)
    if not isinstance(value, dict | list) and len(text) <= _LONGEST_VALUE:
        return text
    return f"this {type(value).__name__}"


def _malformed(why: str) -> MalformedRequest:
    return MalformedRequest(why, sent=False)
