"""A chat request as one turn of the Claude Code program: arguments, variables, what it is told.

Promise: what the caller asked for reaches the model, or `notes` say what was left out and why, or
`InvalidRequest` names it before anything starts. Nothing is dropped in silence. Pure; the SDK is
not needed.

Strategy: the body that Anthropic's API would get is written first (`providers.anthropic_request`
knows the models), then said in the program's words. Earlier turns keep their roles: the program
takes them one by one before the question. Earlier tool calls become text, for the program
declares no tools and the API takes no calls without them.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.messages import ChatRequest, Message, ToolCall
from contracts.parts import TextPart
from providers.anthropic_profile import profile
from providers.anthropic_request import MessagesBody, messages_body
from providers.exceptions import InvalidRequest

PROVIDER = "claude_agent"

_FLAGS = (
    *("--output-format", "stream-json", "--input-format", "stream-json", "--verbose"),
    "--include-partial-messages",
    # No tools, no commands, no settings, no memory of earlier sessions, one turn.
    *("--tools", "", "--permission-mode", "dontAsk", "--max-turns", "1"),
    *("--strict-mcp-config", "--setting-sources=", "--disable-slash-commands"),
    "--no-session-persistence",
    # An answer that is cut off, empty or malformed makes the program ask again. Any answer costs
    # more than this, so that it may not.
    *("--max-budget-usd", "0.0000001"),
)


@dataclass(frozen=True)
class AgentRequest:
    """What to start the program with, and what to tell it.

    `turns` are Anthropic's messages, the last one the user's; `system` goes into a file.
    `stops` are to be cut by the reader.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    system: str
    turns: list[dict[str, Any]]
    stops: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def agent_request(req: ChatRequest, model: str) -> AgentRequest:
    """Return the program's turn for a request. Raises `InvalidRequest` for what it cannot do."""
    _refuse_unsupported(req)
    notes: list[str] = []
    plain = replace(
        req,
        messages=_as_text(req.messages, notes),
        temperature=None,
        top_p=None,
        stop=None,
        seed=None,
        cache_key=None,
        cache_lasts_s=None,
        metadata={},
    )
    body = messages_body(plain, model, profile(model))
    turns = body.json["messages"]
    if turns[-1]["role"] != "user":
        raise _invalid("messages: the last turn must be the user's; Claude Code has no prefill")
    thinking, environment = _thinking(body)
    environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(body.json["max_tokens"])
    if not req.cache_key:
        environment["DISABLE_PROMPT_CACHING"] = "1"
    return AgentRequest(
        arguments=(*_FLAGS, f"--model={model}", *thinking),
        environment=environment,
        system="\n\n".join(block["text"] for block in body.json.get("system", ())),
        turns=turns,
        stops=tuple(req.stop or ()),
        notes=[*_left_out(req), *notes, *body.notes],
    )


def _refuse_unsupported(req: ChatRequest) -> None:
    given = {
        "tools": bool(req.tools),
        "response_schema": req.response_schema is not None,
        "json_mode": req.json_mode,
        "parts": any(
            not isinstance(part, TextPart) for message in req.messages for part in message.parts
        ),
    }
    lacking = {
        "tools": "calls no tools of the caller",
        "response_schema": "has no JSON schema output",
        "json_mode": "has no JSON mode",
        "parts": "reads no images and documents",
    }
    for name, is_given in given.items():
        if is_given:
            raise _invalid(f"{name}: Claude Code {lacking[name]}; use the provider 'anthropic'")


def _left_out(req: ChatRequest) -> list[str]:
    given = {"temperature": req.temperature, "top_p": req.top_p, "seed": req.seed}
    names = [name for name, value in given.items() if value is not None]
    if "user_id" in req.metadata:
        names.append("user_id")
    return [f"{' and '.join(names)} left out: Claude Code takes none"] if names else []


def _thinking(body: MessagesBody) -> tuple[list[str], dict[str, str]]:
    """The flags and variables for thinking and effort; none asked for is none sent."""
    wanted = body.json.get("thinking", {})
    effort = body.json.get("output_config", {}).get("effort")
    flags: list[str] = []
    variables: dict[str, str] = {}
    if wanted.get("type") == "adaptive":
        flags = ["--thinking", "adaptive"]
    elif wanted.get("type") == "enabled":
        flags = ["--max-thinking-tokens", str(wanted["budget_tokens"])]
    else:
        variables["CLAUDE_CODE_DISABLE_THINKING"] = "1"
    if effort:
        flags += ["--effort", effort]
    else:
        variables["CLAUDE_CODE_EFFORT_LEVEL"] = "unset"
    return flags, variables


def _as_text(messages: list[Message], notes: list[str]) -> list[Message]:
    """The messages as plain text, calls and results of tools written out."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    found: list[Message] = []
    for message in messages:
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if message.role == "tool":
            name = message.name or names.get(message.tool_call_id or "") or "a tool"
            found.append(Message("user", "\n".join([f"[Result of {name}]", message.content])))
        else:
            texts += [message.content, *map(_call, message.tool_calls)]
            found.append(Message(message.role, "\n".join(filter(None, texts))))
    if names or any(message.role == "tool" for message in messages):
        notes.append("earlier tool calls and their results were sent as text")
    return found


def _call(call: ToolCall) -> str:
    arguments = call.raw_arguments or json.dumps(
        call.arguments, ensure_ascii=False, separators=(",", ":")
    )
    return f"[Called {call.name} with {arguments}]"


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(f"{PROVIDER}: {why}", provider=PROVIDER, sent=False)
