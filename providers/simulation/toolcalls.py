"""Which tool a prompt calls for, with arguments taken from the prompt.

The first tool is called whose name or description the question meets (or that the request
demands) and whose required arguments can be filled from it; each tool at most once per question,
so that a loop of turns comes to an end.
"""

import json
import re
from typing import Any

from contracts.messages import ChatRequest, ToolCall, ToolDefinition
from providers.simulation.asking import Asked, understand
from providers.simulation.reading import nearest, stem, words
from providers.simulation.structured import fill
from providers.toolspecs import parameters_schema

_VERBS = frozenset(["get", "set", "do", "run", "make", "call", "fetch", "tool", "function", "use"])
_QUOTED = re.compile(r"[\"“`']([^\"”`'\n]{1,200})[\"”`']")
_PATH = re.compile(r"(?<!\w)(?:\.{0,2}/)?[\w-]+(?:/[\w.-]+)+|\b[\w-]+\.\w{1,5}\b")
_URL = re.compile(r"https?://[^\s)>\"']+")
_NAME = re.compile(r"(?<!^)(?<![.!?] )\b[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_FIGURE = re.compile(r"-?\d+(?:\.\d+)?")


def choose(request: ChatRequest) -> ToolCall | None:
    """Return the call to make, or None where the request is to be answered in words."""
    if not request.tools or request.tool_choice == "none":
        return None
    called = _called(request)
    open_tools = [tool for tool in request.tools if tool.name not in called]
    asked = understand(request)
    wanted = [tool for tool in open_tools if _meets(tool, asked.question)]
    if not called and request.tool_choice in {"required", "any"}:
        wanted += [tool for tool in open_tools if tool not in wanted]
    elif request.tool_choice not in {None, "auto", "required", "any"}:
        named = [tool for tool in open_tools if tool.name == request.tool_choice]
        wanted = [] if called else named
    for forced in (False, bool(wanted) and request.tool_choice not in {None, "auto"}):
        for tool in wanted:
            arguments = _arguments(tool, asked, forced=forced)
            if arguments is not None:
                return _call(tool, arguments, len(called))
    return None


def _call(tool: ToolDefinition, arguments: dict[str, Any], number: int) -> ToolCall:
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call_{number + 1}", tool.name, arguments, raw_arguments=written)


def _called(request: ChatRequest) -> set[str]:
    """Return the tools called since the last question."""
    called: set[str] = set()
    for message in reversed(request.messages):
        if message.role == "user":
            break
        called |= {call.name for call in message.tool_calls}
    return called


def _meets(tool: ToolDefinition, question: str) -> bool:
    """Tell whether a question names a tool or speaks of what it does."""
    if tool.name in question:
        return True
    parts = [stem(part) for part in words(re.sub(r"[_.-]|(?<=[a-z])(?=[A-Z])", " ", tool.name))]
    telling = [part for part in parts if part not in _VERBS] or parts
    asked = {stem(word) for word in words(question)}
    return any(part in asked for part in telling)


def _arguments(tool: ToolDefinition, asked: Asked, *, forced: bool) -> dict[str, Any] | None:
    """Fill a tool's arguments; None where a required one is not in the prompt."""
    schema = parameters_schema(tool)
    required = set(schema.get("required") or ())
    text = "\n".join(part for part in (asked.question, asked.source[:2000]) if part)
    taken: set[str] = set()
    arguments: dict[str, Any] = {}
    for name, entry in (schema.get("properties") or {}).items():
        value = _argument(name, entry, text, taken)
        if value is None and name in required:
            if not forced:
                return None
            value = fill({"type": "object", "properties": {name: entry}}, asked)[name]
        if value is not None:
            arguments[name] = value
            taken.add(str(value))
    return arguments


def _argument(name: str, schema: dict[str, Any], text: str, taken: set[str]) -> Any:
    if schema.get("enum"):
        options = [str(option) for option in schema["enum"]]
        best, _ = nearest(options, text)
        return schema["enum"][options.index(best)] if best else None
    match schema.get("type"):
        case "integer" | "number":
            return _figure(text, taken, whole=schema["type"] == "integer")
        case "boolean":
            return True if stem(words(name)[-1]) in {stem(w) for w in words(text)} else None
        case "string" | None:
            return next((found for found in _strings(name, text) if found not in taken), None)
    return None


def _figure(text: str, taken: set[str], *, whole: bool) -> int | float | None:
    for found in _FIGURE.findall(text):
        if found not in taken:
            return int(float(found)) if whole else float(found)
    return None


def _strings(name: str, text: str) -> list[str]:
    """Return what in a text may be meant by a string argument, likeliest first."""
    quoted, names = _QUOTED.findall(text), _NAME.findall(text)
    if re.search(r"path|file|folder|dir", name):
        return [*_PATH.findall(text), *quoted]
    if re.search(r"url|uri|link|address", name):
        return [*_URL.findall(text), *quoted]
    if re.search(r"query|question|search|text|prompt|message|input|expression|content", name):
        figures = re.findall(r"[\d(][\d\s+*/().-]{2,}", text) if name == "expression" else []
        return [*(f.strip() for f in figures), *quoted, text.split("\n", 1)[0].strip()]
    after = re.findall(
        r"\b(?:in|for|at|of|from|to|named|called)\s+([A-Z][\w-]+(?: [A-Z][\w-]+)*)", text
    )
    return [*quoted, *after, *names]
