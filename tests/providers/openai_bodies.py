"""Bodies of requests to OpenAI's two APIs, as an adapter makes them."""

from typing import Any

from providers.openai_profile import Endpoint, endpoint
from providers.openai_requests import chat_body, responses_body
from providers.spi import ChatRequest, Message, ToolDefinition, ToolParameter

OWN = endpoint(None)
OTHER = endpoint("http://127.0.0.1:8000/v1")

WEATHER = ToolDefinition(
    "get_weather",
    "Get current weather",
    [
        ToolParameter("location", "string", "City name", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "City name"},
        "units": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["location"],
}
STRICT = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}


def chat(where: Endpoint = OWN, model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    fields.setdefault("messages", [Message("user", "Hi")])
    return chat_body(ChatRequest(**fields), model, where).body


def responses(model: str = "gpt-4o", **fields: Any) -> dict[str, Any]:
    fields.setdefault("messages", [Message("user", "Hi")])
    return responses_body(ChatRequest(**fields), model, OWN).body
