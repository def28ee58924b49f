"""What is asked of the simulated provider: a report, forms for the answer, tools."""

from contracts.messages import ChatRequest, Message, ToolDefinition, ToolParameter
from providers.simulated import SimulatedClient

REPORT = """The outage began at 09:14 when the primary database ran out of disk space.
Orders placed in the web shop failed for 47 minutes. About 1,200 customers saw an error page.

The alert for disk space had been muted during maintenance in May. Nobody turned it on again.
The on-call engineer found the cause after 30 minutes, because the dashboards showed no error.

We will monitor free disk space on every database. Muted alerts will expire after one day.
The web shop will keep orders in a queue when the database is not reachable."""


def fast(**options) -> SimulatedClient:
    return SimulatedClient(tokens_per_second=0, **options)


def ask(prompt: str | list[Message], **fields) -> ChatRequest:
    messages = [Message("user", prompt)] if isinstance(prompt, str) else prompt
    return ChatRequest(messages, **fields)


async def answer(prompt: str | list[Message], **fields) -> str:
    return (await fast().chat(ask(prompt, **fields))).text


SCHEMAS = [
    {"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}},
    {
        "type": "array",
        "minItems": 2,
        "items": {
            "type": "object",
            "required": ["title", "text"],
            "additionalProperties": False,
            "properties": {
                "title": {"type": "string", "maxLength": 30},
                "text": {"type": "string"},
            },
        },
    },
    {
        "type": "object",
        "required": ["severity", "again", "minutes", "when", "owner"],
        "properties": {
            "severity": {"enum": ["low", "medium", "high"]},
            "again": {"type": "boolean"},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 600},
            "when": {"type": "string", "pattern": r"\d\d:\d\d"},
            "owner": {"type": ["string", "null"]},
        },
    },
    {
        "$defs": {"point": {"type": "object", "properties": {"rank": {"type": "integer"}}}},
        "type": "object",
        "properties": {
            "points": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/point"}},
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "step": {"type": "integer", "multipleOf": 5, "minimum": 7, "maximum": 40},
            "choice": {"anyOf": [{"type": "null"}, {"const": "fixed"}]},
            "both": {"allOf": [{"type": "string"}, {"maxLength": 12}]},
        },
        "required": ["points", "share", "step", "choice", "both"],
    },
]


WEATHER = ToolDefinition(
    "get_weather",
    "Current weather for a location",
    [
        ToolParameter("location", "string", required=True),
        ToolParameter("units", "string", enum=["celsius", "fahrenheit"]),
    ],
)
READ = ToolDefinition("read_file", "Read a file", [ToolParameter("path", "string", required=True)])
