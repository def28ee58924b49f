"""Messages, tools, usage and the request and chunks of one chat call (seed 000).

They are dataclasses, so that positional arguments work as the seed shows, and validated, all but
`ChatChunk`: a value out of range raises `pydantic.ValidationError`, which is a `ValueError`,
before any connection is opened. Errors name the field and its value, unless that could be a
text; reprs tell how long texts are, and never show them.
"""

from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from contracts.discreet import discreet
from contracts.parts import Part

_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

Role = Literal["user", "assistant", "system", "tool"]


@dataclass(config=_config)
class ToolCall:
    """One invocation that a model asks for.

    `arguments` is the parsed JSON object; where the vendor sent something else it is empty and
    `arguments_error` says what was wrong with `raw_arguments`.
    `signature` is the vendor's opaque proof of thought, echoed back to the same vendor.
    """

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    raw_arguments: str = ""
    arguments_error: str | None = None
    signature: str | None = None


@discreet(texts=("content", "vendor_state"), words=("role",))
@dataclass(config=_config)
class Message:
    """One turn of a conversation. `parts` carries images and documents beside `content`.

    An assistant turn may hold `tool_calls`; a `tool` turn answers one by `tool_call_id`, its
    `name` being the tool's. `vendor_state` is opaque state of the vendor that wrote the turn
    (signed thoughts, response items), sent back only to that vendor: {"vendor": …, …}.
    """

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    parts: tuple[Part, ...] = ()
    vendor_state: dict[str, Any] | None = None


@discreet(texts=("description", "enum"), words=("type", "name"))
@dataclass(config=_config)
class ToolParameter:
    """One parameter of a tool. `type` is JSON Schema's: string, number, integer, boolean, …"""

    name: Annotated[str, Field(min_length=1)]
    type: Literal["string", "number", "integer", "boolean", "object", "array"]
    description: str | None = None
    required: bool = False
    enum: list[str] | None = None


@discreet(texts=("description", "schema"), words=("name", "type"))
@dataclass(config=_config)
class ToolDefinition:
    """A tool that a model may call. `schema`, where given, replaces `parameters` on the wire."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str = ""
    parameters: list[ToolParameter] = field(default_factory=list)
    schema: dict[str, Any] | None = None


@dataclass(config=_config)
class Usage:
    """Tokens of one call, normalised (docs/providers.md has the table by vendor).

    `prompt_tokens` counts the whole prompt, cached and cache-written tokens included;
    `completion_tokens` includes reasoning. `total_tokens` is their sum unless given.
    `cache_write_1h_tokens` are those of `cache_write_tokens` that were written to last an hour.
    `estimated` marks numbers that the vendor did not report. `raw` is the wire's own object.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    raw: dict[str, Any] | None = None
    cache_write_1h_tokens: int = 0

    def __post_init__(self) -> None:
        if not self.total_tokens:
            object.__setattr__(self, "total_tokens", self.prompt_tokens + self.completion_tokens)


@plain_dataclass(slots=True)
class ChatChunk:
    """What a stream yields: any of a text delta, a complete tool call, the finish, the usage.

    `finish_reason` is one of stop, length, tool_calls, content_filter, refusal, pause.
    `delta_reasoning` is thought text where the vendor shows it; it is no part of the answer.
    `notes` tell what the adapter had to change of the request. `sequence` is the number of the
    vendor's event, where an answer can be taken up again after it.

    There are thousands of them and each lives for a moment within one process: not validated
    and not frozen, which is a tenth of the cost. Nobody changes one that has been yielded.
    """

    delta_text: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    tool_call: ToolCall | None = None
    delta_reasoning: str | None = None
    model: str | None = None
    response_id: str | None = None
    vendor_state: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    sequence: int | None = None


@discreet(
    texts=("system", "stop", "response_schema"), words=("role", "reasoning_effort", "name", "type")
)
@dataclass(config=_config)
class ChatRequest:
    """One chat call (seed 000), and what later seeds need of it.

    None means the vendor's default and is absent on the wire. `response_schema` asks for JSON
    that fits the schema; `json_mode` for any JSON object. `reasoning_effort` is one of none,
    minimal, low, medium, high, xhigh, max; `thinking_budget` is in tokens. `metadata` labels the
    call ("run", "agent", "attempt") for the provider's own log; it is never sent as prompt.
    `cache_lasts_s`: how long a prefix that a `cache_key` names is to last unused, where the
    vendor leaves a choice.
    """

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, allow_inf_nan=False)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    stop: list[str] | None = None
    model: str | None = None
    system: str | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: str | None = None
    response_schema: dict[str, Any] | None = None
    json_mode: bool = False
    seed: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    thinking_budget: Annotated[int | None, Field(ge=0)] = None
    cache_key: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    cache_lasts_s: Annotated[float | None, Field(gt=0)] = None

    @field_validator("stop")
    @classmethod
    def _stop_not_empty(cls, stop: list[str] | None) -> list[str] | None:
        if stop is not None and not all(stop):
            raise ValueError("stop sequences must not be empty strings")
        return stop or None
