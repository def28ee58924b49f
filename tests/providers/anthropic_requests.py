"""Requests for tests of what becomes of them on Anthropic's wire."""

from typing import Any

from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition, ToolParameter
from providers.anthropic_profile import profile
from providers.anthropic_request import MessagesBody, messages_body

OWN = {
    "vendor": "anthropic",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "SIG"},
        {"type": "thinking", "thinking": "unsigned"},
        {"type": "text", "text": "Yes"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ],
}


WEATHER = ToolDefinition(
    "get_weather",
    "Get the weather",
    [
        ToolParameter("location", "string", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)


def written(model: str = "claude-sonnet-4-5", /, **fields: Any) -> MessagesBody:
    fields.setdefault("messages", [Message("user", "Hi")])
    return messages_body(ChatRequest(**fields), model, profile(model))


def body(model: str = "claude-sonnet-4-5", /, **fields: Any) -> dict[str, Any]:
    return written(model, **fields).json


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def turn(call_id: str) -> list[Message]:
    return [
        Message("user", "Go"),
        Message("assistant", "", tool_calls=(ToolCall(call_id, "f"),)),
        Message("tool", "1", tool_call_id=call_id),
    ]
