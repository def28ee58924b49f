"""The body of `POST /v1/chat/completions`: read, checked, and put into our own words.

What OpenAI's clients can say is either done, ignored because it changes no answer (`IGNORED`), or
refused by name: nothing that would change the answer is passed over in silence. One field is ours:
`requires`, capabilities with the least level that will do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import orjson
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from pydantic import BaseModel, ValidationError

from contracts.messages import Message, ToolCall, ToolDefinition
from contracts.parts import FileInlinePart, Part, TextPart
from serving.bodies import (
    AssistantMessage,
    Body,
    Called,
    ContentPart,
    Effort,
    ImagePart,
    NamedTool,
    ObjectForm,
    Requires,
    SchemaForm,
    SystemMessage,
    ToolMessage,
    UserMessage,
    UserPart,
)
from serving.errors import ApiError, invalid
from serving.pictures import check_sizes, picture

IGNORED = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
}
"""Fields that are taken with these values only: others would have to change the answer."""

B = TypeVar("B", bound=BaseModel)

MESSAGE_BYTES = 250
"""What a message takes beside its text, where it is stored and counted."""


@dataclass(frozen=True)
class Wishes:
    """How an answer is wanted; None is the agent's own way.

    `json_schema` {} is any JSON object. `requires` has the least level by capability.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    reasoning_effort: Effort | None = None
    json_form: bool = False
    json_schema: dict[str, Any] | None = None
    tool_choice: str | None = None
    requires: dict[str, str] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether something is wanted that the agent does not do by itself."""
        return self != Wishes()


@dataclass(frozen=True)
class Asked:
    """A whole request. `prompt_bytes` is what its texts take at most, without its pictures."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...]
    wishes: Wishes
    stream: bool
    include_usage: bool
    prompt_bytes: int

    @property
    def text_bytes(self) -> int:
        """The size of its texts alone."""
        beside = (p for m in self.messages for p in m.parts if isinstance(p, TextPart))
        whole = sum(len(message.content.encode()) for message in self.messages)
        return whole + sum(len(part.text.encode()) for part in beside)

    @property
    def pictures(self) -> tuple[FileInlinePart, ...]:
        """The pictures that it shows, in order."""
        return tuple(p for m in self.messages for p in m.parts if isinstance(p, FileInlinePart))


def parse(raw: bytes) -> Asked:
    """Read a body. Raises ApiError (400), which names the field."""
    body = checked(Body, load(raw))
    _refuse_unknown(body)
    tools = _tools(body)
    messages = _messages(body)
    return Asked(
        model=body.model,
        messages=messages,
        tools=tools,
        wishes=_wishes(body, tools),
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        prompt_bytes=len(raw) - _url_bytes(body) + MESSAGE_BYTES * len(messages),
    )


def load(raw: bytes) -> Any:
    """Return what JSON says. Raises ApiError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"the body is no JSON: {error}") from None


def checked(model: type[B], data: Any) -> B:
    """Return a body as its model has it. Raises ApiError, which names the first wrong field."""
    if not isinstance(data, dict):
        raise invalid("the body must be a JSON object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = _spelled(_place(first["loc"], data, missing=first["type"] == "missing"))
        said = CONTENT if first["loc"][-1] == "parts" else first["msg"]
        raise invalid(f"{param}: {said}", param) from None


CONTENT = "must be a text, or a list of parts"


def _place(loc: Sequence[int | str], data: Any, *, missing: bool) -> list[int | str]:
    """Return where in the body a mistake is: the model's place without the names of its unions.

    The last step of a field that is missing is in no body.
    """
    found: list[int | str] = []
    for number, step in enumerate(loc):
        if _holds(data, step):
            data = data[step]
        elif not (missing and number == len(loc) - 1):
            continue
        found.append(step)
    return found


def _holds(data: Any, step: int | str) -> bool:
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, dict) and step in data


def _spelled(steps: list[int | str]) -> str:
    written = ""
    for step in steps:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else step
    return written or "body"


def _refuse_unknown(body: Body) -> None:
    for name, value in (body.model_extra or {}).items():
        if name in IGNORED or value is None:
            continue
        if name not in _NEUTRAL:
            raise invalid(f"{name}: is not supported here", name, "unsupported_parameter")
        if value not in _NEUTRAL[name]:
            taken = " or ".join(orjson.dumps(one).decode() for one in _NEUTRAL[name])
            raise invalid(f"{name}: only {taken} is supported here", name, "unsupported_parameter")


def _wishes(body: Body, tools: tuple[ToolDefinition, ...]) -> Wishes:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if not all(stop):
        raise invalid("stop: must not be empty", "stop")
    form = body.response_format
    return Wishes(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=stop or None,
        seed=body.seed,
        reasoning_effort=body.reasoning_effort,
        json_form=isinstance(form, ObjectForm | SchemaForm),
        json_schema=_schema(form) if isinstance(form, SchemaForm) else None,
        tool_choice=_choice(body, tools),
        requires=levels(body.requires),
    )


def levels(requires: Requires | None) -> dict[str, str]:
    """Return the least level by capability."""
    if isinstance(requires, list):
        return dict.fromkeys(requires, "simulated")
    return dict(requires or {})


def _schema(form: SchemaForm) -> dict[str, Any]:
    schema = form.json_schema.schema_
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        place = "response_format.json_schema.schema"
        raise invalid(f"{place}: is no JSON Schema: {error.message}", place) from None
    return schema


def _tools(body: Body) -> tuple[ToolDefinition, ...]:
    if body.tool_choice == "none":
        return ()
    names: set[str] = set()
    found = []
    for number, tool in enumerate(body.tools or ()):
        function = tool.function
        if function.name in names:
            raise invalid(f"tools[{number}]: there are two tools {function.name}", "tools")
        names.add(function.name)
        schema = function.parameters or {"type": "object", "properties": {}}
        found.append(ToolDefinition(function.name, function.description or "", schema=schema))
    return tuple(found)


def _choice(body: Body, tools: tuple[ToolDefinition, ...]) -> str | None:
    choice = body.tool_choice
    if choice in (None, "auto", "none"):
        return None
    if not tools:
        raise invalid("tool_choice: there are no tools", "tool_choice")
    if choice == "required":
        return "required"
    assert isinstance(choice, NamedTool)
    if choice.function.name not in {tool.name for tool in tools}:
        raise invalid(f"tool_choice: there is no tool {choice.function.name}", "tool_choice")
    return choice.function.name


def _messages(body: Body) -> tuple[Message, ...]:
    found: list[Message] = []
    called: dict[str, str] = {}
    for number, one in enumerate(body.messages):
        place = f"messages[{number}]"
        match one:
            case SystemMessage():
                found.append(Message("system", _text(one.content)))
            case UserMessage():
                found.append(user_message(one.content, f"{place}.content", place, one.name))
            case AssistantMessage():
                calls = tuple(_call(call, place) for call in one.tool_calls or ())
                called |= {call.id: call.name for call in calls}
                text = _text(one.content) if one.content is not None else one.refusal or ""
                if not text and not calls:
                    raise invalid(f"{place}: has neither content nor tool_calls", place)
                found.append(Message("assistant", text, tool_calls=calls))
            case ToolMessage():
                if one.tool_call_id not in called:
                    _orphan(place, one.tool_call_id)
                name = called[one.tool_call_id]
                text = _text(one.content)
                found.append(Message("tool", text, name=name, tool_call_id=one.tool_call_id))
    _check_end(found)
    return tuple(found)


def _orphan(place: str, call_id: str) -> NoReturn:
    raise invalid(f"{place}: no message before it has the tool call {call_id!r}", place)


def _check_end(messages: list[Message]) -> None:
    last = messages[-1]
    if last.role not in ("user", "tool"):
        place = f"messages[{len(messages) - 1}]"
        raise invalid(f"{place}: the last message must be the user's or a tool's", place)
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    for number, message in enumerate(messages):
        for call in message.tool_calls:
            if call.id not in answered:
                place = f"messages[{number}]"
                raise invalid(f"{place}: the tool call {call.id!r} has no result", place)


def _call(call: Called, place: str) -> ToolCall:
    try:
        arguments = orjson.loads(call.function.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise invalid(f"{place}: the arguments of {call.id!r} are no JSON object", place)
    return ToolCall(call.id, call.function.name, arguments, raw_arguments=call.function.arguments)


def _text(content: str | list[ContentPart]) -> str:
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ApiError(400, "the text contains half characters (surrogates)") from None
    return text


def user_message(
    content: str | list[UserPart], at: str, place: str, name: str | None = None
) -> Message:
    """Return what a user says; what is between and behind pictures stands where it stood.

    `at` is where the content is in the body, `place` its message. Raises ApiError (400, 413).
    """
    parts = _user_parts(content, at, place)
    seen = next((n for n, p in enumerate(parts) if not isinstance(p, TextPart)), len(parts))
    text = "".join(part.text for part in parts[:seen] if isinstance(part, TextPart))
    if seen == len(parts) and not text.strip():
        raise invalid(f"{place}: is empty", place)
    return Message("user", text, name=name, parts=tuple(parts[seen:]))


def _user_parts(content: str | list[UserPart], at: str, place: str) -> list[Part]:
    if isinstance(content, str):
        return [TextPart(text=_text(content))]
    found: list[Part] = []
    for number, part in enumerate(content):
        if isinstance(part, ImagePart):
            found.append(picture(part.image_url.url, f"{at}[{number}].image_url.url"))
        else:
            found.append(TextPart(text=_text([part])))
    check_sizes((part for part in found if isinstance(part, FileInlinePart)), place)
    return found


def _url_bytes(body: Body) -> int:
    """Return how much of the body is pictures."""
    contents = (m.content for m in body.messages if isinstance(m, UserMessage))
    parts = (part for content in contents if not isinstance(content, str) for part in content)
    return sum(len(part.image_url.url) for part in parts if isinstance(part, ImagePart))
